"""The state machine: every transition between its states, and every failure.

It runs in the sandbox's interpreter, with the stack's functions and a fake of CloudFormation, because moto does not
have CloudFormation's errors and timing.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from lambdas.deploy_pipeline.request import MAX_APPROVAL_TIMEOUT_MINUTES
from lambdas.deploy_pipeline.rollout import MAX_ROLLOUT_MINUTES
from stacks.deploy_pipeline import definition

from ..conftest import need
from . import approval_scenarios, rollout_scenarios, several_stacks_scenarios
from .assemblies import assembly
from .assembly_scenarios import with_assembly
from .changes import change
from .failure_scenarios import SCENARIOS
from .fake_cloudformation import DENIED
from .machine_run import APP, Ended, Machine
from .scenarios import MANY, PENDING, READY, Scenario, failed, with_app


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


@cache
def result_of(scenario: Scenario) -> tuple[Machine, Ended]:
    """Run a scenario; each runs once for all tests of this module."""
    with pytest.MonkeyPatch.context() as patch:
        machine = Machine(patch)
        return machine, scenario(machine)


@pytest.mark.parametrize(
    "scenario", [pytest.param(s, id=s.__name__, marks=getattr(s, "pytestmark", [])) for s in SCENARIOS]
)
def test_state_machine(scenario: Scenario) -> None:
    machine, _ = result_of(scenario)
    assert not machine.cloudformation.left(), "a change set is left that could be executed"


@pytest.mark.reliability(
    "deploy_pipeline",
    "Access denied",
    fault="the change set cannot be deleted",
    expected="fails, and names the change set",
    observed="its name and the name of the stack in the cause",
)
def test_undeletable_change_set_is_reported(machine: Machine) -> None:
    with_app(machine, change("Remove")).failing["delete_change_set"] = [DENIED] * MANY
    (ended, name) = machine.run(), next(iter(machine.cloudformation.change_sets))
    failed(ended, "UnsafeChanges", "1 unsafe change", f"The change set {name} of {APP} could not be deleted")


EXEMPTIONS = {
    "exemptLogicalIds": ["Waiting", "Child/Queue"],
    "exemptTypes": ["AWS::CDK::Metadata", "AWS::SQS::Queue"],
    "conditional": "allow",
    "dynamic": "allow",
    "recreate": "always",
}
IN_FORCE = (
    "Exemptions in force: resources Child/Queue, Waiting; types AWS::SQS::Queue;"
    " conditional replacements; dynamic changes; recreation of a stack that has worked"
)


@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="the input is edited in the bucket, or an execution uses another input",
)
def test_every_result_lists_exemptions_in_force(machine: Machine) -> None:
    with_app(machine, change())
    assert machine.run(policy=EXEMPTIONS).output["summary"].startswith(f"{APP} is updated. {IN_FORCE}. All changes: ")
    machine.cloudformation.changes = [change("Remove", kind="AWS::SNS::Topic")]
    failed(machine.run(policy=EXEMPTIONS), "UnsafeChanges", f"{IN_FORCE}\n1 unsafe change")
    summary = machine.run(policy=EXEMPTIONS, onUnsafe="blue_green").output["summary"]
    assert f" is created as a blue/green stack of {APP}. {IN_FORCE}. 1 unsafe change" in summary
    machine.cloudformation.failing["create_change_set"] = [DENIED] * MANY
    failed(machine.run(policy=EXEMPTIONS), "CloudFormation.CloudFormationException", f"{IN_FORCE}\nCreate Change Set: ")


def test_many_exemptions_are_truncated(machine: Machine) -> None:
    ids = [f"Resource{number}" for number in range(2000)]
    assert len(machine.run(policy={"exemptLogicalIds": ids}).output["summary"]) < 1100


def edges() -> Iterator[tuple[str, str]]:
    """Return every transition of the definition."""
    for name, state in definition.definition(rollout=True)["States"].items():
        transitions = [state, *state.get("Choices", []), *state.get("Catch", []), {"Next": state.get("Default")}]
        yield from {(name, transition["Next"]) for transition in transitions if transition.get("Next")}


def test_every_transition_is_covered(monkeypatch: pytest.MonkeyPatch) -> None:
    covered: set[tuple[str, str]] = set()
    for scenario in SCENARIOS:
        covered |= set(pairwise(result_of(scenario)[1].states))
    with_app(last := Machine(monkeypatch), change("Remove")).failing["delete_change_set"] = [DENIED] * MANY
    covered |= set(pairwise(last.run().states))
    missing = set(edges()) - covered
    assert not missing, f"not covered: {sorted(missing)}"


@pytest.mark.parametrize("polls", [1, 2, 7])
def test_transitions_and_invocations_match_documentation(monkeypatch: pytest.MonkeyPatch, polls: int) -> None:
    waiting = [*["CREATE_IN_PROGRESS"] * (polls - 1), "CREATE_COMPLETE"]
    creating, updating, rejecting = (Machine(monkeypatch) for _ in range(3))
    creating.cloudformation.statuses["create"] = list(waiting)
    for machine, changes in ((updating, [change()]), (rejecting, [change("Remove")])):
        fake = with_app(machine, *changes)
        fake.change_set = [PENDING] * (polls - 1) + [READY]
        fake.statuses["update"] = [status.replace("CREATE", "UPDATE") for status in waiting]
    approving = Machine(monkeypatch)
    fake = with_app(approving, change("Remove"))
    fake.change_set = [PENDING] * (polls - 1) + [READY]
    fake.statuses["update"] = [status.replace("CREATE", "UPDATE") for status in waiting]
    assert len(approval_scenarios.ask(approving, approval_scenarios.APPROVE).states) == 9 + 6 * polls
    assert len(approving.invoked) == 3 + polls, "and the function that passes the decision on"
    packaged = with_assembly(Machine(monkeypatch), assembly())
    packaged.cloudformation.statuses["create"] = list(waiting)
    rolling_out = Machine(monkeypatch)
    fake = with_app(rolling_out)
    fake.change_set = [PENDING] * (polls - 1) + [READY]
    fake.statuses["update"] = [status.replace("CREATE", "UPDATE") for status in waiting]
    assert len(rollout_scenarios.roll_out(rolling_out).states) == 11 + 6 * polls
    assert len(rolling_out.invoked) == 2 + polls
    for machine, transitions, functions in (
        (packaged, 6 + 3 * polls, 2),
        (creating, 4 + 3 * polls, 1),
        (updating, 7 + 6 * polls, 2 + polls),
        (rejecting, 8 + 3 * polls, 2 + polls),
    ):
        assert (len(machine.run().states), len(machine.invoked)) == (transitions, functions)


def test_approved_stack_costs_as_safe_update(machine: Machine) -> None:
    """With one poll each, and two transitions for the assets."""
    ended = several_stacks_scenarios.approved_changes_are_deployed_without_another_request(machine)
    assert len(ended.states) == 7 + 3 + 3 + 2


@pytest.mark.parametrize("rollout", [False, True])
def test_cfn_lint_finds_no_error_in_definition(tmp_path: Path, rollout: bool) -> None:
    """cfn-lint 1 rejects expressions in TimeoutSeconds, which JSONata states can have, so a number replaces them."""
    need("cfnlint")
    text = re.sub(r'("TimeoutSeconds": )"{%.*?%}"', r"\1300", json.dumps(definition.definition(rollout=rollout)))
    arn = "arn:aws:iam::111111111111:role/machine"
    substitutions = dict.fromkeys(re.findall(r"\$\{(\w+)\}", text), arn)
    properties = {"DefinitionString": text, "DefinitionSubstitutions": substitutions, "RoleArn": arn}
    template = {"Resources": {"Machine": {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}}}
    path = tmp_path / "template.json"
    path.write_text(json.dumps(template))
    command: list[str | Path] = [Path(sys.executable).with_name("cfn-lint"), "--ignore-checks=W", path]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.reliability(
    "deploy_pipeline",
    "Access denied",
    fault="the role may not create the rule with which Step Functions waits for a rollout",
    expected="without a rollout, the state machine does not need it",
    observed="only a definition with a rollout has the task",
)
def test_definition_without_rollout_starts_no_state_machine() -> None:
    states = definition.definition(rollout=False)["States"]
    assert "Roll Out" in definition.definition(rollout=True)["States"]
    assert "startExecution" not in json.dumps(states)
    following = [*states.values(), *(t for s in states.values() for t in [*s.get("Choices", []), *s.get("Catch", [])])]
    assert {target for t in following for key in ("Next", "Default") if (target := t.get(key))} <= states.keys()


def test_every_task_has_retry_catch_and_timeout() -> None:
    for name, state in definition.definition(rollout=True)["States"].items():
        if state["Type"] != "Task":
            continue
        assert state["TimeoutSeconds"], f"{name} has no timeout"
        assert state["Catch"][-1]["ErrorEquals"] == ["States.ALL"], f"{name} does not catch everything"
        for retry in state["Retry"]:
            assert retry["BackoffRate"] > 1, name
            assert retry["JitterStrategy"] == "FULL", name
        is_deadline = name in ("Request Approval", "Roll Out")
        assert is_deadline != any("States.Timeout" in retry["ErrorEquals"] for retry in state["Retry"]), name


@pytest.mark.reliability("deploy_pipeline", "Timeout", fault="an operation on a stack or a change set never ends")
def test_polling_ends_before_execution_limits() -> None:
    stack, deletion = definition.STACK_POLLS, definition.DELETION_POLLS
    seconds = definition.STACK_TIMEOUT + definition.DELETION_TIMEOUT + definition.CHANGE_SET_TIMEOUT
    seconds += MAX_APPROVAL_TIMEOUT_MINUTES * definition.MINUTE
    assert seconds < definition.definition(rollout=True)["TimeoutSeconds"] < 24 * definition.HOUR
    # A rollout has what an approval leaves, and follows an update, for which no stack is deleted.
    updating = definition.STACK_TIMEOUT + definition.CHANGE_SET_TIMEOUT + MAX_ROLLOUT_MINUTES * definition.MINUTE
    assert updating < definition.definition(rollout=True)["TimeoutSeconds"]
    assert 9 * (stack + deletion + definition.CHANGE_SET_POLLS) < 25_000, "events of one execution"


def test_changing_calls_are_idempotent_with_service_role() -> None:
    states = definition.definition(rollout=True)["States"]
    tokens = {"Delete Failed Stack", "Execute Change Set"}
    for name in tokens:
        assert "ClientRequestToken" in states[name]["Arguments"], name
    assert states["Delete Failed Stack"]["Arguments"]["RoleARN"] == "${ServiceRole}", "the role of the state machine"
    assert states["Delete Failed Stack"]["Arguments"]["StackName"] == "{% $stackId %}", (
        "not a new stack of the same name"
    )


def test_new_stack_has_token_and_service_role(machine: Machine) -> None:
    machine.run()
    arguments = machine.cloudformation.created
    assert arguments["ClientRequestToken"].endswith("-create")
    assert arguments["RoleARN"] == "${ServiceRole}", "otherwise it uses the role of the state machine"


def test_change_set_has_token_service_role_and_nested_stacks(machine: Machine) -> None:
    with_app(machine, change())
    machine.run(capabilities=["CAPABILITY_IAM"], tags={"team": "orders"})
    ((name, arguments),) = machine.cloudformation.change_sets.items()
    assert arguments["ClientToken"] == name
    assert arguments["IncludeNestedStacks"] is True, "otherwise changes of nested stacks are not visible"
    assert arguments["RoleARN"] == "${ServiceRole}", "otherwise it uses the role of the state machine"
    assert arguments["Capabilities"] == ["CAPABILITY_IAM"], "a list of one item stays a list"
    assert arguments["Tags"] == [{"Key": "team", "Value": "orders"}]
