"""Results and log records of the tasks, other than those that the state machine's tests check."""

import importlib
import json
import logging
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambdas.deploy_pipeline import task_handler
from lambdas.deploy_pipeline.change_set import MAX_VIOLATIONS_CHARACTERS, creation_status, inspect
from lambdas.deploy_pipeline.errors import InvalidInputError, InvalidTemplateError, StackNotReadyError
from lambdas.deploy_pipeline.inspection import Policy
from lambdas.deploy_pipeline.request import fingerprint, parse_request
from lambdas.deploy_pipeline.stack import change_set_name
from lambdas.deploy_pipeline.truncation import truncate

from .changes import change
from .fake_cloudformation import ARN, DENIED, THROTTLED, FakeCloudFormation, error
from .machine_run import APP, INPUT, FakeS3, zipped

STACK = "AWS::CloudFormation::Stack"


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeCloudFormation:
    cloudformation = FakeCloudFormation()
    monkeypatch.setattr(task_handler, "CLOUDFORMATION", cloudformation)
    return cloudformation


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> FakeS3:
    fake_s3 = FakeS3({"artifacts/App/1.zip": zipped(template_yaml="Parameters: {}")})
    monkeypatch.setattr(task_handler, "S3", fake_s3)
    monkeypatch.setenv("STACK_NAMES", APP)
    monkeypatch.setenv("ARTIFACT_BUCKET", "artifacts")
    monkeypatch.setenv("DEPLOYED_INPUT", fingerprint(INPUT))
    monkeypatch.setenv("ROLLOUT", "{}")
    monkeypatch.setenv("BUCKET", "inputs")
    monkeypatch.setenv("ASSET_BUCKET", "assets")
    monkeypatch.setenv("ENVIRONMENT", "aws://111111111111/us-east-1")
    monkeypatch.setenv("BUCKET_URL", "https://inputs.s3.us-east-1.amazonaws.com")
    return fake_s3


def plan(execution: str = "run-1", **fields: Any) -> dict[str, Any]:
    """Return the plan of an execution; `fields` are added to its input."""
    event: Any = {"input": INPUT | fields, "execution": execution, "executionArn": f"arn:{execution}"}
    result: dict[str, Any] = json.loads(json.dumps(task_handler.check_stack(event, None)))
    return result


@pytest.mark.usefixtures("s3", "fake")
@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="the input names an artifact in another bucket that the function can read",
    expected="rejected before it is read",
    observed='"accepted: only artifacts"',
)
def test_artifact_in_another_bucket_is_rejected() -> None:
    with pytest.raises(InvalidInputError, match="given theirs; accepted: only artifacts"):
        plan(revisionS3Bucket="theirs")


@pytest.mark.parametrize("name", ["approve.example", "run(www.approve.example)", "a'!curl'", "run@example"])
@pytest.mark.usefixtures("s3")
@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="somebody starts an execution whose name is an address, or has a quote",
    expected="rejected: requests for approval contain the name in a command and in a link",
    observed='"accepted: 1 to 80 letters, digits, hyphens and underscores"',
)
def test_check_stack_rejects_name_that_becomes_link_or_command(fake: FakeCloudFormation, name: str) -> None:
    """Step Functions accepts these names."""
    with pytest.raises(InvalidInputError, match="accepted: 1 to 80 letters, digits, hyphens and underscores"):
        plan(name)
    assert not fake.calls


@pytest.mark.parametrize("name", ["app-payments", "app-green-payments", "app-green-0123ABCD", "application", "ap"])
@pytest.mark.usefixtures("s3")
@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="the input names another stack, even one with the same prefix",
    expected="rejected, and no role can change it",
    observed='"this pipeline deploys only prod-app and its blue/green stacks"',
)
def test_check_stack_rejects_other_stack(fake: FakeCloudFormation, name: str) -> None:
    """A caller who may start executions or write the input cannot choose a stack."""
    with pytest.raises(InvalidInputError, match=f"given prod-{name}; this pipeline deploys only {APP} and its"):
        plan(stackName=name)
    assert not fake.calls


@pytest.mark.usefixtures("fake", "s3")
def test_check_stack_accepts_blue_green_stack() -> None:
    name = plan()["blueGreenName"].removeprefix("prod-")
    assert plan(stackName=name)["stackName"] == f"prod-{name}"


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize(
    "status",
    ["CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE", "IMPORT_ROLLBACK_COMPLETE"],
)
def test_plan_stack_in_updatable_status_is_updated(fake: FakeCloudFormation, status: str) -> None:
    """CloudFormation can update a stack only in one of these statuses."""
    fake.add_stack(APP, status)
    result = plan()
    assert (result["action"], result["changeSetType"]) == ("update", "UPDATE")


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize("status", ["UPDATE_FAILED", "UPDATE_ROLLBACK_FAILED", "DELETE_FAILED", "UPDATE_IN_PROGRESS"])
def test_plan_stack_in_other_status_is_rejected(fake: FakeCloudFormation, status: str) -> None:
    fake.add_stack(APP, status)
    with pytest.raises(StackNotReadyError, match=f"is {status}"):
        plan()


@pytest.mark.usefixtures("s3")
def test_tasks_log_standard_keys(fake: FakeCloudFormation, caplog: pytest.LogCaptureFixture) -> None:
    stack_id = fake.add_stack(APP, "UPDATE_COMPLETE")
    plan()
    change_set_id = fake.create_change_set(StackName=APP, ChangeSetName="deploy")["Id"]
    event: Any = {"changeSetId": change_set_id, "stackName": APP}
    task_handler.change_set(event, None)
    task_handler.change_set(event | {"policy": Policy().as_json()}, None)
    task_handler.first_failure(
        {"stackId": stack_id, "stackName": APP, "status": "CREATE_FAILED", "statusReason": "x"}, None
    )
    assert task_handler.publish_assets({"input": INPUT}, None) == {"assets": 0, "uploaded": 0}, "no assembly"
    records = [vars(record) for record in caplog.records]
    assert [record["stack_name"] for record in records] == [APP] * 5
    assert (records[0]["execution"], records[0]["action"]) == ("run-1", "update")
    assert records[1]["status"] == "ready"
    assert records[2]["unsafe_change_count"] == 0
    assert (records[3]["levelname"], records[3]["status"]) == ("WARNING", "CREATE_FAILED")
    assert records[3]["reason"].startswith(f"{APP} is CREATE_FAILED")
    assert (records[4]["assets"], records[4]["uploaded"]) == (0, 0)


@pytest.mark.parametrize("module", ["task_handler", "trigger_handler"])
def test_log_level_is_read_from_environment(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    handler = importlib.import_module(f"lambdas.deploy_pipeline.{module}")
    logger = logging.getLogger("lambdas.deploy_pipeline.trigger")
    try:
        for level in ("ERROR", "INFO"):
            monkeypatch.setenv("LOG_LEVEL", level)
            importlib.reload(handler)
            assert logging.getLevelName(logger.getEffectiveLevel()) == level
    finally:
        monkeypatch.delenv("LOG_LEVEL")
        importlib.reload(handler)


def metrics(printed: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, printed.splitlines()) if "_aws" in line]


@pytest.mark.usefixtures("fake", "s3")
@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="the input is edited in the bucket, or an execution uses another input",
    expected="an alarm; exemptions are listed in every result",
    observed="the metric `EditedInput` is 1; each result contains the list",
)
def test_edited_input_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    plan(revisionS3Key="App/1.zip")
    assert not metrics(capsys.readouterr().out), "the artifact is not part of the input that was deployed"
    plan(policy={"exemptLogicalIds": ["Queue"]})
    (line,) = metrics(capsys.readouterr().out)
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "DeployPipeline"
    assert [line[metric["Name"]] for metric in directive["Metrics"]] == [1]
    assert line["execution"] == "run-1"


def test_fingerprint_ignores_how_step_functions_writes_numbers() -> None:
    assert fingerprint({"approvalTimeoutMinutes": 60.0}) == fingerprint({"approvalTimeoutMinutes": 60})
    rollback = {"alarms": [], "monitoringMinutes": 10}
    assert fingerprint({"rollback": rollback | {"monitoringMinutes": 10.0}}) == fingerprint({"rollback": rollback})
    assert fingerprint({"approvalTimeoutMinutes": 61}) != fingerprint({"approvalTimeoutMinutes": 60})
    minutes = [fingerprint({"rollback": {"monitoringMinutes": number}}) for number in (5.0, 5, 6)]
    assert minutes[0] == minutes[1] != minutes[2]


def test_fingerprint_ignores_layout() -> None:
    deployed = {"stackName": "app", "parameters": {"Size": 3.0, "On": True}}
    assert fingerprint({"parameters": {"On": True, "Size": 3}, "stackName": "app"}) == fingerprint(deployed)
    assert fingerprint({"parameters": {"On": 1, "Size": 3}, "stackName": "app"}) != fingerprint(deployed)


@pytest.mark.parametrize(
    ("original", "edited"),
    [(9007199254740993, 9007199254740992), (True, 1), ("1.0", 1), (["a", "b"], ["a", "c"]), (0.1, 0.2)],
)
def test_fingerprint_distinguishes_parameters_of_stack(original: Any, edited: Any) -> None:
    assert fingerprint({"parameters": {"Size": original}}) != fingerprint({"parameters": {"Size": edited}})


@pytest.mark.parametrize(("value", "same"), [(3.0, 3), (True, "true"), (["a", 1.0], "a,1")])
def test_fingerprint_is_that_of_parameter_values(value: Any, same: Any) -> None:
    """Step Functions can write 3.0 as 3, so both are the same parameter."""
    assert fingerprint({"parameters": {"Size": value}}) == fingerprint({"parameters": {"Size": same}})
    request = parse_request(INPUT | {"parameters": {"Size": value}})
    assert request.parameters == parse_request(INPUT | {"parameters": {"Size": same}}).parameters


def test_plan_passes_template_url(fake: FakeCloudFormation, s3: FakeS3) -> None:
    result = plan()
    address = result["templateUrl"].removeprefix("https://inputs.s3.us-east-1.amazonaws.com/")
    assert s3.objects[f"inputs/{address}"] == b"Parameters: {}"
    assert fake.calls == ["describe_stacks", "get_template_summary"]


def test_plan_adds_environment_name_if_declared(fake: FakeCloudFormation, s3: FakeS3) -> None:
    assert plan()["parameters"] == [], "environmentName is passed only to a template that declares it"
    fake.declared = ["environmentName", "Size"]
    named = {"ParameterKey": "environmentName", "ParameterValue": "prod"}
    assert plan(parameters={"Size": 3})["parameters"] == [named, {"ParameterKey": "Size", "ParameterValue": "3"}]
    assert plan(parameters={"environmentName": "x"})["parameters"] == [named | {"ParameterValue": "x"}]
    assert s3.objects


def test_plan_names_undeclared_parameter(fake: FakeCloudFormation, s3: FakeS3) -> None:
    fake.declared = ["Size"]
    message = r"parameters\.Sise: template\.yaml does not declare this parameter \(declared: Size\)"
    with pytest.raises(Exception, match=message) as caught:
        plan(parameters={"Sise": 3})
    assert type(caught.value).__name__ == "InvalidTemplateError"
    assert s3.objects


@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="thousands of unsafe changes or failures, or hundreds of unknown parameters",
)
def test_plan_limits_message_about_unknown_parameters(fake: FakeCloudFormation, s3: FakeS3) -> None:
    with pytest.raises(
        InvalidTemplateError, match=r"and 180 more: template\.yaml does not declare this parameter"
    ) as caught:
        plan(parameters={f"{'x' * 100}{number}": 1 for number in range(200)})
    assert len(str(caught.value)) < 8000, "Step Functions keeps 32,768 characters of a cause"
    assert s3.objects
    assert fake.calls


def test_change_set_name_is_valid_and_unique() -> None:
    for name in ("3f0b-1", "a_b.c d", "x" * 80):
        result = change_set_name(name)
        assert len(result) <= 128
        assert result.replace("-", "").isalnum()
    assert change_set_name("a_b") != change_set_name("a.b"), "two executions have the same change set"


@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="thousands of unsafe changes or failures, or hundreds of unknown parameters",
    expected="all are counted, and each message is truncated to its service's limit",
    observed="5,000 counted, within each limit",
)
def test_inspect_counts_and_truncates_many_violations(fake: FakeCloudFormation) -> None:
    fake.add_stack(APP, "CREATE_COMPLETE")
    fake.changes = [change("Remove", f"Queue{number:05}") for number in range(5000)]
    created = fake.create_change_set(StackName=APP, ChangeSetName="deploy")
    result = inspect(fake, created["Id"], APP, Policy())
    assert (result["safe"], result["count"]) == (False, 5000)
    assert len(json.dumps(result["violations"])) < MAX_VIOLATIONS_CHARACTERS * 1.1
    assert result["cause"].startswith("5000 unsafe changes")
    shown = result["cause"].count("\n- ")
    assert result["cause"].endswith(f"... and {5000 - shown} more lines")
    assert len(result["cause"]) <= 32_768, "the limit of Step Functions for a cause"
    shortened = truncate(f"UnsafeChanges: {result['cause']}", 5000)
    assert len(shortened) <= 5000
    assert shortened.startswith("UnsafeChanges: 5000 unsafe changes")


NESTED = f"{ARN}:changeSet/deploy-Child-1/2"
NESTED_FAILED = {
    "Status": "FAILED",
    "ExecutionStatus": "UNAVAILABLE",
    "StatusReason": f"Nested change set {NESTED} was not successfully created: Currently in FAILED.",
}


@pytest.mark.parametrize("action", ["Add", "Modify", "Remove", "Import", "Dynamic"])
@pytest.mark.reliability(
    "deploy_pipeline",
    "System-specific",
    fault=(
        "a change deletes or replaces a resource, or may do so, even on the last page of the change set "
        "or in a nested stack"
    ),
)
def test_inspect_checks_nested_stack_for_any_action(fake: FakeCloudFormation, action: str) -> None:
    fake.add_stack(APP, "CREATE_COMPLETE")
    fake.changes = [change(action, "Child", STACK, ChangeSetId=NESTED)]
    fake.nested[NESTED] = [change("Remove", "Topic")]
    created = fake.create_change_set(StackName=APP, ChangeSetName="deploy")
    result = inspect(fake, created["Id"], APP, Policy(exempt_logical_ids=frozenset({"Child"})))
    assert [violation["logicalId"] for violation in result["violations"]] == ["Child/Topic"]


def failed_change_set(fake: FakeCloudFormation, reason: str = NESTED_FAILED["StatusReason"]) -> str:
    """Return the reason of a change set that failed because of a nested change set."""
    fake.add_stack(APP, "CREATE_COMPLETE")
    created = fake.create_change_set(StackName=APP, ChangeSetName="deploy")
    fake.change_set = [NESTED_FAILED | {"StatusReason": reason}]
    result = creation_status(fake, created["Id"], APP)
    assert result["status"] == "failed"
    return result["reason"]


@pytest.mark.reliability(
    "deploy_pipeline",
    "Partial failure",
    fault="a nested change set fails",
    expected="fails with its reason, not only its ARN",
    observed="both reasons in the cause",
)
def test_creation_status_gives_reason_of_nested_change_set(fake: FakeCloudFormation) -> None:
    fake.nested[NESTED], fake.reasons[NESTED] = [], "Template error: resource Queu does not exist"
    assert failed_change_set(fake).endswith(f"\n{NESTED}: Template error: resource Queu does not exist")


@pytest.mark.reliability(
    "deploy_pipeline",
    "Partial failure",
    fault="CloudFormation's validation or a hook rejects a change set or a stack",
    expected="fails with the resources and reasons, which are read before the change set is deleted",
    observed="resource, reason, validation and path",
)
def test_creation_status_lists_validations_of_all_stacks(fake: FakeCloudFormation) -> None:
    def failed_event(name: str, reason: str, mode: str = "FAIL") -> dict[str, str]:
        return {
            "EventType": "VALIDATION_ERROR",
            "LogicalResourceId": name,
            "ResourceType": "AWS::SQS::Queue",
            "ValidationStatusReason": reason,
            "ValidationFailureMode": mode,
        }

    other = f"{ARN}:changeSet/deploy-Other-1/3"
    fake.nested = {NESTED: [], other: []}
    fake.reasons[NESTED] = "The following hook(s)/validation failed"
    fake.failed_events = {
        f"{ARN}:changeSet/deploy/1": [
            failed_event("A", "it exists"),
            failed_event("B", "a warning", "WARN"),
            failed_event("C", "no"),
        ],
        NESTED: [failed_event("D", "too long")],
    }
    fake.failing["describe_events"] = [None] * 4 + [DENIED]
    message = failed_change_set(fake, NESTED_FAILED["StatusReason"] + f" {other}").splitlines()
    assert message[1:4] == [
        "- A (AWS::SQS::Queue): it exists",
        "- C (AWS::SQS::Queue): no",
        f"{NESTED}: {fake.reasons[NESTED]}",
    ]
    assert message[4:6] == ["- D (AWS::SQS::Queue): too long", f"{other}: no reason given"]
    assert "could not be read" in message[6]


@pytest.mark.parametrize("client_error", [THROTTLED, DENIED, error("ChangeSetNotFound")])
@pytest.mark.reliability("deploy_pipeline", "Access denied", fault="the reason for a failure cannot be read")
def test_creation_status_unreadable_nested_keeps_outer(fake: FakeCloudFormation, client_error: ClientError) -> None:
    fake.failing["describe_change_set"] = [None, client_error]
    message = failed_change_set(fake)
    assert NESTED_FAILED["StatusReason"] in message
    assert f"{NESTED} could not be read: " in message


def test_creation_status_circular_change_sets_end(fake: FakeCloudFormation) -> None:
    other = f"{ARN}:changeSet/deploy-Other-1/3"
    fake.nested, fake.reasons = {NESTED: [], other: []}, {NESTED: f"see {other}", other: f"see {NESTED}"}
    assert f"see {NESTED}" in failed_change_set(fake)


@pytest.mark.parametrize("limit", [10, 11, 25, 60, 1000])
def test_truncate_ends_at_line(limit: int) -> None:
    text = "3 changes:\n" + "\n".join(f"- number {number}" for number in range(20))
    cut = truncate(text, limit)
    assert len(cut) <= limit
    assert cut.startswith("3 chang")
    assert limit < 60 or cut == text or "more lines" in cut
