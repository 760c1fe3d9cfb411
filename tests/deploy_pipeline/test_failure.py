"""Explaining why a stack operation failed, from its events.

The events are synthetic, because no emulator rolls back, deletes nested stacks and validates as CloudFormation does.
"""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambdas.deploy_pipeline.failure import explain
from lambdas.deploy_pipeline.truncation import MAX_CAUSE_CHARACTERS

from .fake_cloudformation import DENIED, FakeCloudFormation, error
from .machine_run import APP

STACK = "AWS::CloudFormation::Stack"
QUEUE = "AWS::SQS::Queue"
EMBEDDED = "Embedded stack was not successfully created: The following resource(s) failed to create: [Queue]."


@pytest.fixture
def fake() -> FakeCloudFormation:
    return FakeCloudFormation()


class Events:
    """Adds the events of one stack, the oldest first."""

    def __init__(self, fake: FakeCloudFormation, name: str = APP) -> None:
        self.fake, self.name = fake, name
        self.arn = fake.add_stack(name, "ROLLBACK_COMPLETE")

    def itself(self, *statuses: str, reason: str = "", operation: str = "") -> "Events":
        for status in statuses:
            event = self.fake.event(self.arn, self.name, STACK, status, self.arn, reason)
            self.fake.events[self.arn].append(event | ({"OperationId": operation} if operation else {}))
        return self

    def resource(self, name: str, status: str, reason: str = "", kind: str = QUEUE, physical_id: str = "") -> "Events":
        self.fake.events[self.arn].append(self.fake.event(self.arn, name, kind, status, physical_id, reason))
        return self

    def explained(self, status: str) -> str:
        return explain(self.fake, self.arn, self.name, status)


@pytest.mark.reliability("deploy_pipeline", "Partial failure", fault="a resource of an update fails")
def test_explain_cancelled_resource_is_not_first_failure(fake: FakeCloudFormation) -> None:
    arn = fake.add_stack(APP, "ROLLBACK_COMPLETE")
    fake.events[arn] = [
        fake.event(arn, "Old", "AWS::SQS::Queue", "UPDATE_FAILED", reason="of an earlier operation"),
        fake.event(arn, APP, STACK, "UPDATE_IN_PROGRESS", arn),
        fake.event(arn, "Second", "AWS::SNS::Topic", "CREATE_FAILED", reason="Resource creation cancelled"),
        fake.event(arn, "First", "AWS::SQS::Queue", "UPDATE_FAILED", reason="The copy was cancelled"),
        fake.event(arn, "Third", "AWS::SNS::Topic", "CREATE_FAILED", reason="also too long"),
        fake.event(arn, APP, STACK, "UPDATE_ROLLBACK_IN_PROGRESS", arn, "[First] failed"),
        fake.event(arn, "First", "AWS::SQS::Queue", "UPDATE_COMPLETE"),
    ]
    message = explain(fake, arn, APP, "UPDATE_ROLLBACK_COMPLETE")
    assert message.splitlines() == [
        f"{APP} is UPDATE_ROLLBACK_COMPLETE: First (AWS::SQS::Queue) failed first: The copy was cancelled",
        "Also failed:",
        "- Third (AWS::SNS::Topic): also too long",
    ]


@pytest.mark.reliability("deploy_pipeline", "Partial failure", fault="a resource of an update fails")
def test_explain_nested_stack_names_inner_resource(fake: FakeCloudFormation) -> None:
    child = fake.add_stack("child", "ROLLBACK_COMPLETE")
    fake.events[child] = [
        fake.event(child, "child", STACK, "CREATE_IN_PROGRESS", child),
        fake.event(child, "Queue", "AWS::SQS::Queue", "CREATE_FAILED", reason="too long"),
    ]
    arn = fake.add_stack(APP, "ROLLBACK_COMPLETE")
    fake.events[arn] = [
        fake.event(arn, APP, STACK, "CREATE_IN_PROGRESS", arn),
        fake.event(arn, "Child", STACK, "CREATE_FAILED", child, "Embedded stack was not successfully created"),
    ]
    assert "Child/Queue (AWS::SQS::Queue) failed first: too long" in explain(fake, arn, APP, "ROLLBACK_COMPLETE")


def test_explain_events_without_reason_reports_that(fake: FakeCloudFormation) -> None:
    arn = fake.add_stack(APP, "ROLLBACK_COMPLETE")
    fake.events[arn] = [fake.event(arn, APP, STACK, "CREATE_IN_PROGRESS", arn)]
    assert explain(fake, arn, APP, "ROLLBACK_COMPLETE").endswith("its events give no reason.")


@pytest.mark.parametrize(
    ("start", "status", "reason"),
    [
        ("CREATE_IN_PROGRESS", "ROLLBACK_COMPLETE", "Transform 111111111111::Own failed with: it is a test."),
        (
            "UPDATE_IN_PROGRESS",
            "UPDATE_ROLLBACK_COMPLETE",
            "Export Orders cannot be deleted as it is in use",
        ),
        ("UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE", "User Initiated"),
        ("IMPORT_IN_PROGRESS", "IMPORT_ROLLBACK_COMPLETE", "the identifier is not that of a queue"),
    ],
)
@pytest.mark.reliability(
    "deploy_pipeline",
    "Partial failure",
    fault="a stack fails without a failed resource: a transform, an export in use, a canceled update",
    expected="fails with the reason of the stack",
    observed="CloudFormation's message",
)
def test_explain_without_failed_resource_gives_stack_reason(
    fake: FakeCloudFormation, start: str, status: str, reason: str
) -> None:
    events = Events(fake).itself("CREATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS", reason="of an earlier operation")
    events.itself(start, reason="User Initiated").resource("Queue", "UPDATE_FAILED", "Resource update cancelled")
    events.itself(status.replace("COMPLETE", "IN_PROGRESS"), reason=reason).itself(status)
    assert events.explained(status) == f"{APP} is {status}: {reason}"


@pytest.mark.parametrize("last", ["DELETE_COMPLETE", "DELETE_FAILED"])
@pytest.mark.reliability(
    "deploy_pipeline",
    "Partial failure",
    fault="a nested stack fails and the rollback deletes it, or fails to delete it",
    expected="fails with the reason of the nested resource; failures of the rollback are listed separately",
    observed="`Child/Queue ... failed first`, then `Failed during the rollback`",
)
def test_explain_deleted_nested_stack_gives_inner_reason(fake: FakeCloudFormation, last: str) -> None:
    child = Events(fake, "child").itself("CREATE_IN_PROGRESS").resource("Queue", "CREATE_FAILED", "too long")
    child.itself("CREATE_FAILED", "DELETE_IN_PROGRESS")
    child.resource("Bucket", "DELETE_FAILED", "it is not empty", "AWS::S3::Bucket").itself(last)
    parent = Events(fake).itself("CREATE_IN_PROGRESS")
    parent.resource("Child", "CREATE_FAILED", EMBEDDED, STACK, child.arn).itself("ROLLBACK_IN_PROGRESS")
    parent.resource("Child", last, "", STACK, child.arn).itself("ROLLBACK_FAILED")
    message = parent.explained("ROLLBACK_FAILED").splitlines()
    assert message[0] == f"{APP} is ROLLBACK_FAILED: Child/Queue ({QUEUE}) failed first: too long"
    rollback = ["Failed during the rollback:", "- Child/Bucket (AWS::S3::Bucket): it is not empty"]
    assert message[1:] == (rollback if last == "DELETE_FAILED" else [])


@pytest.mark.parametrize("last", ["UPDATE_FAILED", "UPDATE_ROLLBACK_FAILED"])
@pytest.mark.reliability(
    "deploy_pipeline",
    "Partial failure",
    fault="a nested stack fails and the rollback deletes it, or fails to delete it",
)
def test_explain_failed_rollback_separates_its_failures(fake: FakeCloudFormation, last: str) -> None:
    child = Events(fake, "child").itself("UPDATE_IN_PROGRESS").resource("Queue", "UPDATE_FAILED", "too long")
    child.itself("UPDATE_FAILED", "UPDATE_ROLLBACK_IN_PROGRESS").resource(
        "Role", "UPDATE_FAILED", "denied", "AWS::IAM::Role"
    )
    parent = Events(fake).itself("UPDATE_IN_PROGRESS").resource("Child", "UPDATE_FAILED", EMBEDDED, STACK, child.arn)
    parent.itself("UPDATE_ROLLBACK_IN_PROGRESS").resource("Child", last, "", STACK, child.arn)
    message = parent.itself("UPDATE_ROLLBACK_FAILED").explained("UPDATE_ROLLBACK_FAILED")
    assert message.splitlines() == [
        f"{APP} is UPDATE_ROLLBACK_FAILED: Child/Queue ({QUEUE}) failed first: too long",
        "Failed during the rollback:",
        "- Child/Role (AWS::IAM::Role): denied",
    ]


def test_explain_failed_rollback_gives_stack_reason(fake: FakeCloudFormation) -> None:
    events = Events(fake).itself("CREATE_IN_PROGRESS").resource("Queue", "CREATE_FAILED", "too long")
    events.itself("ROLLBACK_IN_PROGRESS", "ROLLBACK_FAILED")
    message = explain(fake, events.arn, APP, "ROLLBACK_FAILED", "The role cannot be assumed")
    assert message.splitlines()[1:] == ["The rollback failed: The role cannot be assumed"]


@pytest.mark.reliability(
    "deploy_pipeline",
    "Partial failure",
    fault="a stack fails without a failed resource: a transform, an export in use, a canceled update",
)
def test_explain_nested_stack_without_resource_gives_reason(fake: FakeCloudFormation) -> None:
    child = Events(fake, "child").itself("CREATE_IN_PROGRESS").itself("CREATE_FAILED", reason="no such transform")
    parent = (
        Events(fake).itself("CREATE_IN_PROGRESS").resource("Child", "CREATE_FAILED", "It failed.", STACK, child.arn)
    )
    assert parent.explained("ROLLBACK_COMPLETE").endswith(
        f": Child ({STACK}) failed first: It failed. no such transform"
    )


@pytest.mark.parametrize("client_error", [DENIED, error("ValidationError", "Stack [child] does not exist")])
@pytest.mark.reliability(
    "deploy_pipeline",
    "Access denied",
    fault="access to the events of a stack, a nested stack or a validation is denied",
)
def test_explain_unreadable_nested_stack_keeps_other_reasons(
    fake: FakeCloudFormation, client_error: ClientError
) -> None:
    child = Events(fake, "child")
    parent = Events(fake).itself("CREATE_IN_PROGRESS").resource("Child", "CREATE_FAILED", EMBEDDED, STACK, child.arn)
    parent.resource("Queue", "CREATE_FAILED", "too long")
    fake.failing["describe_stack_events"] = [None, client_error]
    message = parent.explained("ROLLBACK_COMPLETE")
    assert EMBEDDED in message
    assert client_error.response["Error"]["Message"] in message
    assert message.endswith(f"- Queue ({QUEUE}): too long")


@pytest.mark.reliability(
    "deploy_pipeline",
    "Deleted externally",
    fault="the stack, after its creation failed",
    expected="the reason is not lost",
    observed="both in the cause",
)
def test_explain_deleted_stack_keeps_creation_reason(fake: FakeCloudFormation) -> None:
    events = Events(fake).itself("CREATE_IN_PROGRESS").resource("Queue", "CREATE_FAILED", "too long")
    events.itself("ROLLBACK_IN_PROGRESS", "DELETE_IN_PROGRESS", "DELETE_COMPLETE")
    message = events.explained("DELETE_COMPLETE")
    assert (
        message == f"{APP} was deleted by somebody else during the deployment: Queue ({QUEUE}) failed first: too long"
    )


@pytest.mark.parametrize(
    ("status", "message"),
    [("DELETE_COMPLETE", "was deleted by somebody else"), ("ROLLBACK_COMPLETE", "is ROLLBACK_COMPLETE")],
)
@pytest.mark.reliability(
    "deploy_pipeline",
    "Access denied",
    fault="access to the events of a stack, a nested stack or a validation is denied",
    expected="known reasons are still reported",
    observed="the stack's status and reason, and the error",
)
def test_explain_unreadable_events_keeps_stack_status(fake: FakeCloudFormation, status: str, message: str) -> None:
    fake.failing["describe_stack_events"] = [DENIED]
    explained = explain(fake, Events(fake).arn, APP, status, "User Initiated")
    assert f"{APP} {message}" in explained
    assert "(User Initiated); its events could not be read: " in explained
    assert "not authorized" in explained


def test_explain_endless_rollback_gives_reason(fake: FakeCloudFormation) -> None:
    events = Events(fake).itself("UPDATE_IN_PROGRESS").resource("Queue", "UPDATE_FAILED", "too long")
    message = events.itself("UPDATE_ROLLBACK_IN_PROGRESS").explained("UPDATE_ROLLBACK_IN_PROGRESS")
    assert message.endswith(f"the deployment no longer waits for it: Queue ({QUEUE}) failed first: too long")


def failed_event(operation: str = "now", **more: Any) -> dict[str, Any]:
    """Return an event of DescribeEvents: a failed validation."""
    return {
        "EventType": "VALIDATION_ERROR",
        "OperationId": operation,
        "LogicalResourceId": "Queue",
        "ResourceType": QUEUE,
        "ValidationStatus": "FAILED",
        "ValidationFailureMode": "FAIL",
        "ValidationName": "PROPERTY_VALIDATION",
        "ValidationStatusReason": "#: required key [Size] not found",
        "ValidationPath": "/Resources/Queue/Properties",
    } | more


@pytest.mark.reliability(
    "deploy_pipeline",
    "Partial failure",
    fault="CloudFormation's validation or a hook rejects a change set or a stack",
)
def test_explain_failed_validation_names_resource_and_reason(fake: FakeCloudFormation) -> None:
    hint = "The following hook(s)/validation failed: [AWS::EarlyValidation::PropertyValidation]."
    events = Events(fake).itself("CREATE_IN_PROGRESS", operation="now")
    events.itself("CREATE_FAILED", reason=hint, operation="now")
    fake.failed_events[events.arn] = [
        failed_event("before", ValidationStatusReason="of an earlier operation"),
        failed_event(ValidationFailureMode="WARN", ValidationStatusReason="only a warning"),
        failed_event(ValidationFailureMode=None, HookFailureMode="WARN", ValidationStatusReason="of a hook"),
        failed_event(ValidationStatus="SKIPPED", ValidationStatusReason="skipped"),
        failed_event(EventType="STACK_EVENT", ValidationStatusReason="no client_error"),
        failed_event(),
    ]
    assert events.explained("CREATE_FAILED").splitlines() == [
        f"{APP} is CREATE_FAILED: {hint}",
        f"- Queue ({QUEUE}): #: required key [Size] not found [PROPERTY_VALIDATION, /Resources/Queue/Properties]",
    ]


def test_explain_validation_without_failed_event_is_read(fake: FakeCloudFormation) -> None:
    events = Events(fake)
    fake.failed_events[events.arn] = [
        failed_event(ValidationStatusReason="it exists", ValidationName="", ValidationPath="")
    ]
    assert events.explained("CREATE_FAILED").splitlines()[1:] == [f"- Queue ({QUEUE}): it exists"]


@pytest.mark.reliability(
    "deploy_pipeline",
    "Partial failure",
    fault="CloudFormation's validation or a hook rejects a change set or a stack",
)
def test_explain_uses_reason_of_stack_description(fake: FakeCloudFormation) -> None:
    events, reason = Events(fake).itself("CREATE_IN_PROGRESS", operation="now"), "Call DescribeEvents for the issues."
    fake.failed_events["now"] = [failed_event(ValidationName="", ValidationPath="")]
    assert explain(fake, events.arn, APP, "CREATE_FAILED", reason).splitlines() == [
        f"{APP} is CREATE_FAILED: {reason}",
        f"- Queue ({QUEUE}): #: required key [Size] not found",
    ]


@pytest.mark.reliability(
    "deploy_pipeline",
    "Partial failure",
    fault="CloudFormation's validation or a hook rejects a change set or a stack",
)
def test_explain_failed_hook_gives_its_reason(fake: FakeCloudFormation) -> None:
    events = Events(fake).itself("CREATE_IN_PROGRESS")
    events.resource("Queue", "CREATE_FAILED", "The following hook(s) failed: [Own::Rules::Hook]")
    hook = {"EventType": "HOOK_INVOCATION_ERROR", "HookType": "Own::Rules::Hook", "HookStatusReason": "not encrypted"}
    fake.failed_events[events.arn] = [
        hook | {"LogicalResourceId": "Queue", "ResourceType": QUEUE, "HookFailureMode": "FAIL"}
    ]
    assert f"- Queue ({QUEUE}): not encrypted [Own::Rules::Hook]" in events.explained("ROLLBACK_COMPLETE").splitlines()


@pytest.mark.reliability(
    "deploy_pipeline",
    "Partial failure",
    fault="CloudFormation's validation or a hook rejects a change set or a stack",
)
def test_explain_validation_is_read_by_operation_id(fake: FakeCloudFormation) -> None:
    """After a rollback, DescribeEvents may return only the rollback's events for a stack (awslabs/mcp#4275)."""
    events = Events(fake).itself("UPDATE_IN_PROGRESS", operation="update")
    hint = "Validation failed with 1 error(s). Call DescribeEvents to retrieve the full list of issues."
    events.itself("UPDATE_ROLLBACK_IN_PROGRESS", reason=hint, operation="update")
    events.itself("UPDATE_ROLLBACK_COMPLETE", operation="rollback")
    fake.failed_events["update"] = [failed_event("update", ValidationName="", ValidationPath="")]
    assert events.explained("UPDATE_ROLLBACK_COMPLETE").splitlines() == [
        f"{APP} is UPDATE_ROLLBACK_COMPLETE: {hint}",
        f"- Queue ({QUEUE}): #: required key [Size] not found",
    ]


def test_explain_without_hint_does_not_read_operations(fake: FakeCloudFormation) -> None:
    events = Events(fake).itself("CREATE_IN_PROGRESS", operation="now")
    events.itself("CREATE_FAILED", reason="No export named Vpc found", operation="now")
    events.explained("CREATE_FAILED")
    assert fake.calls.count("describe_events") == 1


@pytest.mark.reliability(
    "deploy_pipeline",
    "Access denied",
    fault="access to the events of a stack, a nested stack or a validation is denied",
)
def test_explain_unreadable_validation_keeps_reason(fake: FakeCloudFormation) -> None:
    events = Events(fake).itself("CREATE_IN_PROGRESS").itself("CREATE_FAILED", reason="validation failed")
    fake.failing["describe_events"] = [DENIED]
    message = events.explained("CREATE_FAILED").splitlines()
    assert message[0] == f"{APP} is CREATE_FAILED: validation failed"
    assert "could not be read" in message[1]
    assert "not authorized" in message[1]


@pytest.mark.reliability(
    "deploy_pipeline",
    "Access denied",
    fault="access to the events of a stack, a nested stack or a validation is denied",
)
def test_explain_old_sdk_omits_validation_details(fake: FakeCloudFormation, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK of a Lambda runtime can be older than DescribeEvents, which was added in November 2025."""
    monkeypatch.delattr(FakeCloudFormation, "describe_events")
    events = Events(fake).itself("CREATE_IN_PROGRESS").itself("CREATE_FAILED", reason="validation failed")
    assert events.explained("CREATE_FAILED").startswith(f"{APP} is CREATE_FAILED: validation failed\n- The details")


@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="thousands of unsafe changes or failures, or hundreds of unknown parameters",
)
def test_explain_many_failures_fit_into_cause(fake: FakeCloudFormation) -> None:
    events = Events(fake).itself("CREATE_IN_PROGRESS")
    for number in range(500):
        events.resource(f"Queue{number}", "CREATE_FAILED", "x" * 200)
    message = events.explained("ROLLBACK_COMPLETE")
    assert len(message) <= MAX_CAUSE_CHARACTERS
    assert message.startswith(f"{APP} is ROLLBACK_COMPLETE: Queue0 ({QUEUE}) failed first: ")
