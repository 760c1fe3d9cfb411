"""Several stacks of a cloud assembly: their names, actions and permissions. Their executions are scenarios."""

import json
from pathlib import Path
from typing import Any

import pytest

from lambdas.deploy_pipeline.approved_changes import NOT_APPROVED, approved_changes
from lambdas.deploy_pipeline.errors import InvalidInputError
from lambdas.deploy_pipeline.request import MAX_STACKS, fingerprint, parse_request, refuse_other_stack
from settings import Settings, SettingsError

from ..conftest import Assembly, resources_of_type, synthesize
from .assembly_scenarios import SEVERAL, WITHOUT_PATH
from .fake_services import FakeServices, failure_of, result_of
from .machine_run import APP, INPUT as INPUT_OF_ONE_STACK, FakeExecutions
from .template_queries import logical_id, pipeline_actions, statements
from .test_quotas import INLINE_POLICIES, resolved_length

STACK = "DeployPipeline"
INPUT = {
    "environmentName": "prod",
    "stackName": "shop",
    "assembly": {"path": "cdk.out", "stacks": ["Network", "Data", "Api", "Web", "Jobs"]},
}


def test_name_of_stack_ends_with_selection() -> None:
    request = parse_request(WITHOUT_PATH | SEVERAL)
    assert (request.stack_name, request.assembly and request.assembly.stack) == (f"{APP}-Shop", "Shop")
    refuse_other_stack(request, f"{APP}-Web,{APP}-Shop")
    for configured in (f"{APP}-Web", APP, f"{APP}-Shop2"):
        with pytest.raises(InvalidInputError):
            refuse_other_stack(request, configured)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"stack": "Other"}, 'stack: given "Other"; accepted: Shop or Web'),
        ({"assembly": {"path": "cdk.out", "stacks": ["Shop"]}}, "assembly.stacks: given"),
        ({"assembly": {"path": "cdk.out", "stacks": ["Shop", "Shop"]}}, "assembly.stacks: given"),
        ({"assembly": {"path": "cdk.out", "stacks": ["Shop", "Prod/Web"]}}, "assembly.stacks: given"),
        ({"assembly": {"path": "cdk.out", "stacks": [f"S{n}" for n in range(MAX_STACKS + 1)]}}, "2 to 5 different"),
        ({"assembly": {"path": "cdk.out", "stacks": ["Shop", "S" * 93]}}, "names of stacks with at most 92 letters"),
        ({"onUnsafe": "blue_green"}, "onUnsafe: given blue_green; accepted with several stacks: fail or ask"),
        ({"inspectOnly": "yes"}, "inspectOnly: given"),
        (
            {"inspection": "arn:aws:states:1"},
            'inspection: given "arn:aws:states:1"; accepted: the name of an execution',
        ),
        ({"inspection": ""}, "inspection: given"),
        ({"inspection": "run-1", "inspectOnly": True}, "inspection: not together with inspectOnly"),
    ],
)
def test_invalid_selection_is_named(fields: Any, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_request(WITHOUT_PATH | SEVERAL | fields)
    assert message in str(caught.value)
    assert "Invalid input" in str(caught.value)


def test_selection_is_required() -> None:
    without = {name: value for name, value in SEVERAL.items() if name != "stack"}
    with pytest.raises(InvalidInputError, match="stack: missing; accepted: Shop or Web"):
        parse_request(WITHOUT_PATH | without)


def test_inspection_needs_several_stacks() -> None:
    with pytest.raises(InvalidInputError, match=r"inspection: only together with assembly\.stacks"):
        parse_request(INPUT_OF_ONE_STACK | {"inspection": "run-1"})


def test_fingerprint_covers_what_the_trigger_does_not_add() -> None:
    selection = {"stack": "Web", "inspectOnly": True, "inspection": "run-1"}
    assert fingerprint(INPUT | selection) == fingerprint(INPUT)
    assert fingerprint(INPUT_OF_ONE_STACK | {"inspectOnly": True}) != fingerprint(INPUT_OF_ONE_STACK)


@pytest.mark.parametrize("approval", [{}, {"approved": False}])
def test_inspection_without_approval_approves_nothing(approval: Any) -> None:
    execution_input = {**WITHOUT_PATH, **SEVERAL}
    inspected = {
        "status": "SUCCEEDED",
        "input": json.dumps({**execution_input, "inspectOnly": True}),
        "output": json.dumps({"unsafe": {"digest": "0"}, "approval": approval}),
    }
    event: Any = {"input": {**execution_input, "inspection": "run-1"}, "executionArn": "arn:run-2"}
    assert approved_changes(FakeExecutions({"arn:run-1": inspected | {"name": "run-1"}}), event) == NOT_APPROVED


def test_trigger_adds_selection_of_action() -> None:
    services = FakeServices()
    selection = {"stack": "Web", "inspectOnly": False, "inspection": "run-1"}
    services.file = b'{"stackName": "app", "stack": "Api", "inspectOnly": true, "inspection": "run-0"}'
    parameters = {"s3Bucket": "inputs", "stateMachineFile": "input.json", **selection}
    result_of(services, UserParameters=json.dumps(parameters))
    (started,) = services.started
    assert selection.items() <= json.loads(started["input"]).items()
    assert "UserParameters" in failure_of(FakeServices(), UserParameters="{}")


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    folder = tmp_path_factory.mktemp("several")
    (folder / "input.json").write_text(json.dumps(INPUT))
    return synthesize(folder / "out", {"deploy_pipeline:input": str(folder / "input.json")}, STACK)


def test_every_stack_is_inspected_before_the_first_is_deployed(several: Assembly) -> None:
    template = several.template(STACK)
    names = ["Network", "Data", "Api", "Web", "Jobs"]
    actions = pipeline_actions(template)
    assert list(actions) == [
        "Source/Source",
        *(f"Prod/Inspect-{name}" for name in names),
        *(f"Prod/Deploy-{name}" for name in names),
    ]
    assert {actions[f"Prod/Inspect-{name}"]["RunOrder"] for name in names} == {1}
    assert [actions[f"Prod/Deploy-{name}"]["RunOrder"] for name in names] == [2, 3, 4, 5, 6]
    text = json.dumps(actions["Prod/Inspect-Web"]["Configuration"]["UserParameters"])
    assert '\\"stack\\":\\"Web\\"' in text
    assert '\\"inspectOnly\\":true' in text
    # Not only without the field: one in the file in the bucket would let deployments only inspect.
    assert '\\"inspectOnly\\":false' in json.dumps(actions["Prod/Deploy-Web"]["Configuration"]["UserParameters"])
    assert actions["Prod/Inspect-Web"]["Namespace"] == "Inspect-Web"
    assert '\\"inspection\\":\\"#{Inspect-Web.execution}\\"' in json.dumps(actions["Prod/Deploy-Web"])
    assert not several.findings


def test_variable_of_the_pipeline_cannot_replace_other_parameters(several: Assembly) -> None:
    """Who may end the job of an inspection chooses the variable. Of two fields with the same name, the last counts."""
    action = pipeline_actions(several.template(STACK))["Prod/Deploy-Web"]
    text = "".join(
        p if isinstance(p, str) else "inputs" for p in action["Configuration"]["UserParameters"]["Fn::Join"][1]
    )
    others = {"stack": "Api", "inspectOnly": True, "s3Bucket": "mine", "stateMachineFile": "mine.json"}
    hostile = f'run-1", {json.dumps(others)[1:-1]}, "x": "'
    parameters = json.loads(text.replace("#{Inspect-Web.execution}", hostile))
    assert others.items() & parameters.items() == set()


def test_roles_reach_only_these_stacks(several: Assembly) -> None:
    template = several.template(STACK)
    functions = [f for f in resources_of_type(template, "AWS::Lambda::Function") if "Environment" in f]
    variables = [f["Environment"]["Variables"].get("STACK_NAMES") for f in functions]
    complete = "prod-shop-Network,prod-shop-Data,prod-shop-Api,prod-shop-Web,prod-shop-Jobs"
    assert set(variables) == {complete, None}
    policy = statements(template, logical_id(template, "AWS::IAM::Role", "StateMachine"))
    text = json.dumps(policy)
    assert ":stack/prod-shop-Data/*" in text
    assert "stack/prod-shop/*" not in text
    assert "-green-" not in text
    assert resolved_length(policy) < INLINE_POLICIES


def test_function_reads_only_executions_of_state_machine(several: Assembly) -> None:
    """In a separate policy, because the state machine depends on the role's default policy."""
    template = several.template(STACK)
    policies = [
        (name, policy)
        for name, policy in template["Resources"].items()
        if policy["Type"] == "AWS::IAM::Policy" and "states:DescribeExecution" in json.dumps(policy)
    ]
    ((name, policy),) = [(name, policy) for name, policy in policies if "CheckStack" in json.dumps(policy)]
    (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Action"] == "states:DescribeExecution"
    machine = logical_id(template, "AWS::StepFunctions::StateMachine", "StateMachine")
    assert [machine, "Name"] in [part.get("Fn::GetAtt") for part in parts(statement["Resource"])]
    pipeline = template["Resources"][logical_id(template, "AWS::CodePipeline::Pipeline", "Pipeline")]
    assert name in pipeline["DependsOn"], "the pipeline can run before the function has this permission"


def test_settings_name_invalid_stacks(tmp_path: Path) -> None:
    for stacks in (["Shop"], "Shop", [1, 2], {"a": 1}):
        content = INPUT | {"assembly": {"path": "cdk.out", "stacks": stacks}}
        (tmp_path / "input.json").write_text(json.dumps(content))
        with pytest.raises(SettingsError, match=r"assembly\.stacks"):
            Settings.from_context({"deploy_pipeline:input": str(tmp_path / "input.json")})


def test_settings_refuse_what_the_pipeline_sets(tmp_path: Path) -> None:
    """With `inspectOnly` in the file, somebody would expect a pipeline that changes nothing."""
    for name, value in (("inspectOnly", True), ("stack", "Web"), ("inspection", "run-1")):
        (tmp_path / "input.json").write_text(json.dumps(INPUT | {name: value}))
        with pytest.raises(SettingsError, match=f"{name}: set by the pipeline with assembly.stacks"):
            Settings.from_context({"deploy_pipeline:input": str(tmp_path / "input.json")})


def parts(arn: Any) -> list[dict[str, Any]]:
    """Return the references in an ARN that a template joins."""
    return [part for part in arn["Fn::Join"][1] if isinstance(part, dict)]
