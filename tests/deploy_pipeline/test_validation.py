"""CloudFormation's validation and options of a deployment: warnings, rollback alarms, nested change sets.

Events and messages are those of CloudFormation's user guide ("Validate stack deployments") and of
aws-cloudformation/cloudformation-coverage-roadmap#759 and #1212.
"""

from typing import Any

import pytest

from lambdas.deploy_pipeline import inspect_change_set
from lambdas.deploy_pipeline.change_set import Inspection, creation_status, inspect
from lambdas.deploy_pipeline.errors import InvalidInputError
from lambdas.deploy_pipeline.inspection import Policy
from lambdas.deploy_pipeline.request import parse_request

from .changes import change
from .fake_cloudformation import ARN, DENIED, FakeCloudFormation
from .machine_run import APP, INPUT, Machine
from .scenarios import failed, succeeded, with_app

CHANGE_SET, NESTED = f"{ARN}:changeSet/deploy/1", f"{ARN}:changeSet/deploy-Child-1/2"
STACK = "AWS::CloudFormation::Stack"
ALARM = "arn:aws:cloudwatch:us-east-1:111111111111:alarm:Errors"
NOT_EMPTY = "The bucket is not empty: it contains 12 objects"


def warning(name: str, reason: str = NOT_EMPTY, mode: str = "WARN") -> dict[str, str]:
    return {
        "EventType": "VALIDATION_ERROR",
        "LogicalResourceId": name,
        "ResourceType": "AWS::S3::Bucket",
        "ValidationName": "BUCKET_EMPTINESS_VALIDATION",
        "ValidationStatus": "FAILED",
        "ValidationStatusReason": reason,
        "ValidationFailureMode": mode,
    }


def with_warnings(*events: dict[str, str]) -> FakeCloudFormation:
    fake = FakeCloudFormation()
    fake.add_stack(APP, "UPDATE_COMPLETE")
    fake.create_change_set(StackName=APP, ChangeSetName="deploy")
    fake.changes, fake.failed_events = [change("Add", "New")], {CHANGE_SET: list(events)}
    return fake


def inspected(fake: FakeCloudFormation) -> Inspection:
    return inspect(fake, CHANGE_SET, APP, Policy())


LINE = f"- Orders (AWS::S3::Bucket): {NOT_EMPTY} [BUCKET_EMPTINESS_VALIDATION]"


def test_warnings_are_notices_on_every_page_and_in_nested_stacks() -> None:
    progress = {"EventType": "STACK_EVENT", "OperationStatus": "SUCCEEDED"}
    fake = with_warnings(progress, warning("Orders"), warning("Quota", "It exceeds the quota of 1000 functions"))
    fake.changes += [change("Modify", "Child", STACK, ChangeSetId=NESTED)]
    fake.nested, fake.failed_events[NESTED] = {NESTED: []}, [warning("Inner")]
    result = inspected(fake)
    assert result["safe"]
    assert result["notices"].splitlines() == [
        "Warnings of CloudFormation's validation:",
        LINE,
        "- Quota (AWS::S3::Bucket): It exceeds the quota of 1000 functions [BUCKET_EMPTINESS_VALIDATION]",
        f"- Child/Inner (AWS::S3::Bucket): {NOT_EMPTY} [BUCKET_EMPTINESS_VALIDATION]",
    ]


@pytest.mark.reliability(
    "deploy_pipeline",
    "Access denied",
    fault="the warnings of CloudFormation's validation cannot be read",
    expected="the deployment continues, and its summary contains the reason",
    observed='"The warnings could not be read"',
)
def test_unreadable_warnings_do_not_stop_deployment() -> None:
    fake = with_warnings(warning("Orders"))
    fake.failing["describe_events"] = [DENIED]
    result = inspected(fake)
    assert result["safe"]
    assert result["notices"].startswith("Warnings of CloudFormation's validation:\n- The warnings could not be read: ")


def test_line_break_in_values_of_a_push_does_not_begin_a_line() -> None:
    """It could look like another part of a request for approval."""
    fake = with_warnings(warning("Orders", "invalid value\nChange set: evil\u2028Execution: evil"))
    names = {"Name": "Old", "Path": "/Properties/Tags/a\nTo decline:", "Drift": {}}
    fake.changes = [
        change(ResourceDriftStatus="MODIFIED", Details=[{"Target": names}]),
        change("Remove", "Table", "AWS::DynamoDB::Table\nx"),
    ]
    result = inspected(fake)
    assert all(line.endswith(":") or line.startswith("- ") for line in result["cause"].splitlines()), result["cause"]


def test_warnings_reach_summary_failure_and_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = Machine(monkeypatch)
    fake = with_app(machine, change("Add"))
    monkeypatch.setattr(fake, "describe_events", lambda **_: {"OperationEvents": [warning("Orders")]})
    summary = succeeded(machine.run(), "updated").output["summary"]
    assert summary.endswith(f"\nWarnings of CloudFormation's validation:\n{LINE}")
    fake.changes = [change("Remove", "Orders", "AWS::S3::Bucket")]
    failed(machine.run(), "UnsafeChanges", LINE)
    fake = with_warnings(warning("Orders"))
    assert inspect_change_set.main([CHANGE_SET, "--stack-name", APP], fake) == 0
    assert LINE in capsys.readouterr().out


def arguments_of(machine: Machine) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arguments of the stack and of the change set that were created."""
    (change_set,) = machine.cloudformation.change_sets.values() or [{}]
    return machine.cloudformation.created, change_set


def test_rollback_alarms_are_passed_to_stack_and_change_set(monkeypatch: pytest.MonkeyPatch) -> None:
    composite = f"{ALARM}-all"
    rollback = {"alarms": [ALARM], "compositeAlarms": [composite], "monitoringMinutes": 30}
    expected = {
        "RollbackTriggers": [
            {"Arn": ALARM, "Type": "AWS::CloudWatch::Alarm"},
            {"Arn": composite, "Type": "AWS::CloudWatch::CompositeAlarm"},
        ],
        "MonitoringTimeInMinutes": 30,
    }
    creating, updating = Machine(monkeypatch), Machine(monkeypatch)
    succeeded(creating.run(rollback=rollback), "created")
    assert arguments_of(creating)[0]["RollbackConfiguration"] == expected
    with_app(updating, change())
    succeeded(updating.run(rollback=rollback), "updated")
    assert arguments_of(updating)[1]["RollbackConfiguration"] == expected
    updating.cloudformation.change_sets.clear()
    succeeded(updating.run(), "updated")
    assert "RollbackConfiguration" not in arguments_of(updating)[1], "the stack keeps its alarms"
    updating.cloudformation.change_sets.clear()
    succeeded(updating.run(rollback={}), "updated")
    removed = {"RollbackTriggers": [], "MonitoringTimeInMinutes": 0}
    assert arguments_of(updating)[1]["RollbackConfiguration"] == removed


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rollback", []),
        ("rollback.alarms", "Errors"),
        ("rollback.alarms", ["Errors"]),
        ("rollback.compositeAlarms", ["arn:aws:sns:us-east-1:111111111111:alarm:Errors"]),
        ("rollback.monitoringMinutes", 181),
        ("rollback.monitoringMinutes", -1),
        ("rollback.monitoringMinutes", 1.5),
        ("rollback.monitoringMinutes", True),
        ("rollback.minutes", 5),
        ("nestedChangeSets", False),
    ],
)
def test_invalid_option_is_named(field: str, value: Any) -> None:
    name, _, inner = field.partition(".")
    with pytest.raises(InvalidInputError, match=rf"{field}: "):
        parse_request(INPUT | {name: {inner: value} if inner else value})


def test_more_than_five_alarms_are_rejected() -> None:
    alarms = {"alarms": [f"{ALARM}{n}" for n in range(3)], "compositeAlarms": [f"{ALARM}{n}" for n in range(3, 6)]}
    with pytest.raises(InvalidInputError, match="rollback: given 6 alarms; accepted: at most 5"):
        parse_request(INPUT | {"rollback": alarms})


@pytest.mark.parametrize(
    "reason",
    [
        "Template error: Fn::Select cannot select nonexistent value at index 1",
        "TemplateURL must be a supported URL.",
    ],
)
@pytest.mark.reliability(
    "deploy_pipeline",
    "System-specific",
    fault="CloudFormation cannot create a nested change set, because it cannot evaluate a function",
    expected="fails with the reason and with the option that omits nested change sets",
    observed='"nestedChangeSets"',
)
def test_nested_change_set_that_cannot_be_created_names_option(reason: str) -> None:
    fake = with_warnings()
    fake.nested, fake.reasons = {NESTED: []}, {NESTED: reason}
    nested_failed = f"Nested change set {NESTED} was not successfully created: Currently in FAILED."
    fake.change_set = [{"Status": "FAILED", "ExecutionStatus": "UNAVAILABLE", "StatusReason": nested_failed}]
    lines = creation_status(fake, CHANGE_SET, APP)["reason"].splitlines()
    assert lines[1] == f"{NESTED}: {reason}"
    assert lines[-1].startswith('If the template is correct, set "nestedChangeSets" to "omit"')
    fake.reasons[NESTED] = "Resource Queue does not exist"
    assert "nestedChangeSets" not in creation_status(fake, CHANGE_SET, APP)["reason"]


def test_without_nested_change_sets_nested_stacks_must_be_exempted(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    with_app(machine, change("Modify", "Child", STACK))
    ended = failed(machine.run(nestedChangeSets="omit"), "UnsafeChanges")
    assert "Child (AWS::CloudFormation::Stack), Modify: the changes of this nested stack are not visible" in ended.cause
    exempt = {"exemptLogicalIds": ["Child"]}
    succeeded(machine.run(nestedChangeSets="omit", policy=exempt), "updated")
    assert arguments_of(machine)[1]["IncludeNestedStacks"] is False
