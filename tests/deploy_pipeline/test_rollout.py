"""The field `rollout` of the input: what is accepted, and what the role of the state machine may do for it."""

import json
import re
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from hypothesis import given, strategies as st

from lambdas.deploy_pipeline.errors import InvalidInputError
from lambdas.deploy_pipeline.request import parse_request
from lambdas.deploy_pipeline.rollout import ALIAS_ARN, Rollout
from settings import Settings, SettingsError

from ..conftest import as_list
from .assembly_scenarios import SEVERAL, WITHOUT_PATH
from .fake_rollout import FUNCTION, ROLLOUT, STATE_MACHINE
from .machine_run import INPUT
from .template_queries import granted_actions, logical_id, statements
from .test_plan import plan_of

STACK = "DeployPipeline"
OTHER = f"{STATE_MACHINE}Other"
RULE = "StepFunctionsGetEventsForStepFunctionsExecutionRule"


def refusal(rollout: Any, **fields: Any) -> str:
    with pytest.raises(InvalidInputError) as caught:
        parse_request(INPUT | {"rollout": rollout} | fields)
    return str(caught.value)


@pytest.mark.parametrize(
    ("rollout", "expected"),
    [
        ("live", 'rollout: given "live"; accepted: an object'),
        ({"stateMachineArn": STATE_MACHINE}, "rollout.aliasArn: missing; accepted: the ARN of an alias, such as arn:"),
        (ROLLOUT | {"aliasArn": FUNCTION}, "rollout.aliasArn: given"),
        (ROLLOUT | {"aliasArn": f"{FUNCTION}:7"}, "rollout.aliasArn: given"),
        (ROLLOUT | {"aliasArn": f"{FUNCTION}:$LATEST"}, "rollout.aliasArn: given"),
        (ROLLOUT | {"aliasArn": FUNCTION.replace("shop", "*:live")}, "rollout.aliasArn: given"),
        ({"aliasArn": f"{FUNCTION}:live"}, "rollout.stateMachineArn: missing; accepted: the ARN of a state machine"),
        (ROLLOUT | {"stateMachineArn": f"{STATE_MACHINE}*"}, "rollout.stateMachineArn: given"),
        (ROLLOUT | {"version": "3"}, "rollout.version: unknown field (valid: aliasArn, stateMachineArn)"),
    ],
)
def test_invalid_rollout_names_field(rollout: Any, expected: str) -> None:
    assert expected in refusal(rollout)


def test_rollout_of_several_stacks_is_rejected() -> None:
    with pytest.raises(InvalidInputError, match=r"rollout: not together with assembly\.stacks"):
        parse_request(WITHOUT_PATH | SEVERAL | {"rollout": ROLLOUT})


@given(st.from_regex(ALIAS_ARN, fullmatch=True))
def test_accepted_alias_has_the_form_of_the_api(arn: str) -> None:
    model: Any = botocore.session.get_session().get_service_model("lambda").operation_model("GetAlias")
    members = model.input_shape.members
    rollout = Rollout(arn, STATE_MACHINE)
    for name, value in (("FunctionName", rollout.function_arn), ("Name", rollout.alias)):
        shape = members[name].metadata
        assert re.fullmatch(shape["pattern"], value), f"{value} is not a {name}"
        assert len(value) <= shape["max"]


@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="the input is edited to roll out another function, or with another state machine",
    expected="fails before anything is changed",
    observed="`InvalidInputError` with the accepted ARN",
)
@pytest.mark.parametrize(
    ("given_rollout", "configured", "expected"),
    [
        (ROLLOUT | {"stateMachineArn": OTHER}, ROLLOUT, f"given {OTHER}; accepted: {STATE_MACHINE}. To change this"),
        (ROLLOUT | {"aliasArn": f"{FUNCTION}:beta"}, ROLLOUT, f"accepted: {FUNCTION}:live. To change this"),
        (ROLLOUT, {}, f"rollout.aliasArn: given {FUNCTION}:live; accepted: no rollout. To change this"),
    ],
)
def test_other_rollout_is_refused(given_rollout: dict[str, str], configured: dict[str, str], expected: str) -> None:
    with pytest.raises(InvalidInputError, match=re.escape(expected)):
        parse_request(INPUT | {"rollout": given_rollout}).rollout.refuse_other(configured)


def test_missing_rollout_is_accepted() -> None:
    parse_request(INPUT).rollout.refuse_other(ROLLOUT)
    assert plan_of("UPDATE_COMPLETE")["rollout"]["aliasArn"] == ""


@pytest.mark.parametrize(
    ("fields", "hours"),
    [({}, 15), ({"onUnsafe": "ask"}, 7), ({"onUnsafe": "ask", "approvalTimeoutMinutes": 720}, 3)],
)
def test_rollout_has_the_time_that_an_approval_leaves(fields: dict[str, Any], hours: int) -> None:
    rollout = plan_of("UPDATE_COMPLETE", rollout=ROLLOUT, **fields)["rollout"]
    assert rollout == {
        "aliasArn": f"{FUNCTION}:live",
        "functionArn": FUNCTION,
        "alias": "live",
        "stateMachineArn": STATE_MACHINE,
        "timeoutSeconds": hours * 3600,
    }


def test_inspection_has_no_rollout() -> None:
    assert plan_of("UPDATE_COMPLETE", rollout=ROLLOUT, inspectOnly=True)["rollout"]["aliasArn"] == ""


def test_invalid_rollout_in_input_file_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "input.json"
    file.write_text(json.dumps(INPUT | {"rollout": {"aliasArn": f"{FUNCTION}:live"}}))
    with pytest.raises(SettingsError, match=r"rollout\.stateMachineArn: missing"):
        Settings.from_context({"deploy_pipeline:input": str(file)})


def test_only_configured_rollout_is_allowed(template: dict[str, Any], full_template: dict[str, Any]) -> None:
    actions = {
        "lambda:PublishVersion": [FUNCTION],
        "lambda:GetAlias": [FUNCTION, f"{FUNCTION}:live"],
        "states:StartExecution": [STATE_MACHINE],
        "states:DescribeExecution": [f"{STATE_MACHINE.replace('stateMachine', 'execution')}:*"],
        "states:StopExecution": [f"{STATE_MACHINE.replace('stateMachine', 'execution')}:*"],
    }
    role = logical_id(full_template, "AWS::IAM::Role", "StateMachine")
    for action, resources in actions.items():
        (statement,) = (s for s in statements(full_template, role) if action in as_list(s["Action"]))
        assert as_list(statement["Resource"]) == resources
    (statement,) = (s for s in statements(full_template, role) if "events:PutRule" in as_list(s["Action"]))
    assert set(statement["Action"]) == {"events:PutRule", "events:PutTargets", "events:DescribeRule"}
    assert json.dumps(statement["Resource"]).endswith(f':rule/{RULE}"]]}}'), statement["Resource"]
    without = granted_actions(template, logical_id(template, "AWS::IAM::Role", "StateMachine"))
    assert not without & {*actions, "events:PutRule"}
