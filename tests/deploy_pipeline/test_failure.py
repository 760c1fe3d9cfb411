"""Why a stack operation failed, from events as CloudFormation writes them.

The events are made up: no emulator rolls back, deletes nested stacks, and validates as CloudFormation does.
"""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambdas.deploy_pipeline.failure import explain
from lambdas.deploy_pipeline.messages import LARGEST_CAUSE

from .fake_cloudformation import DENIED, FakeCloudFormation, error
from .machine_run import APP

STACK = "AWS::CloudFormation::Stack"
QUEUE = "AWS::SQS::Queue"
EMBEDDED = "Embedded stack was not successfully created: The following resource(s) failed to create: [Queue]."


@pytest.fixture
def fake() -> FakeCloudFormation:
    return FakeCloudFormation()


class Events:
    """Writes the events of one stack, the oldest first."""

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


def test_first_failure_is_the_earliest_that_is_no_consequence(fake: FakeCloudFormation) -> None:
    arn = fake.add_stack(APP, "ROLLBACK_COMPLETE")
    fake.events[arn] = [
        fake.event(arn, "Old", "AWS::SQS::Queue", "UPDATE_FAILED", reason="of the operation before"),
        fake.event(arn, APP, STACK, "UPDATE_IN_PROGRESS", arn),
        fake.event(arn, "Second", "AWS::SNS::Topic", "CREATE_FAILED", reason="Resource creation cancelled"),
        fake.event(arn, "First", "AWS::SQS::Queue", "UPDATE_FAILED", reason="The copy was cancelled"),
        fake.event(arn, "Third", "AWS::SNS::Topic", "CREATE_FAILED", reason="also too long"),
        fake.event(arn, APP, STACK, "UPDATE_ROLLBACK_IN_PROGRESS", arn, "[First] failed"),
        fake.event(arn, "First", "AWS::SQS::Queue", "UPDATE_COMPLETE"),
    ]
    said = explain(fake, arn, APP, "UPDATE_ROLLBACK_COMPLETE")
    assert said.splitlines() == [
        f"{APP} is UPDATE_ROLLBACK_COMPLETE: First (AWS::SQS::Queue) failed first: The copy was cancelled",
        "Also failed:",
        "- Third (AWS::SNS::Topic): also too long",
    ]


def test_failure_is_looked_for_in_nested_stacks(fake: FakeCloudFormation) -> None:
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


def test_operation_without_a_failed_resource_is_told_as_it_is(fake: FakeCloudFormation) -> None:
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
def test_operation_without_a_failed_resource_gives_the_stacks_own_reason(
    fake: FakeCloudFormation, start: str, status: str, reason: str
) -> None:
    events = Events(fake).itself("CREATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS", reason="of the operation before")
    events.itself(start, reason="it was asked for").resource("Queue", "UPDATE_FAILED", "Resource update cancelled")
    events.itself(status.replace("COMPLETE", "IN_PROGRESS"), reason=reason).itself(status)
    assert events.explained(status) == f"{APP} is {status}: {reason}"


@pytest.mark.parametrize("last", ["DELETE_COMPLETE", "DELETE_FAILED"])
def test_nested_stack_that_its_parent_deleted_gives_the_inner_reason(fake: FakeCloudFormation, last: str) -> None:
    child = Events(fake, "child").itself("CREATE_IN_PROGRESS").resource("Queue", "CREATE_FAILED", "too long")
    child.itself("CREATE_FAILED", "DELETE_IN_PROGRESS")
    child.resource("Bucket", "DELETE_FAILED", "it is not empty", "AWS::S3::Bucket").itself(last)
    parent = Events(fake).itself("CREATE_IN_PROGRESS")
    parent.resource("Child", "CREATE_FAILED", EMBEDDED, STACK, child.arn).itself("ROLLBACK_IN_PROGRESS")
    parent.resource("Child", last, "", STACK, child.arn).itself("ROLLBACK_FAILED")
    said = parent.explained("ROLLBACK_FAILED").splitlines()
    assert said[0] == f"{APP} is ROLLBACK_FAILED: Child/Queue ({QUEUE}) failed first: too long"
    rollback = ["Failed during the rollback:", "- Child/Bucket (AWS::S3::Bucket): it is not empty"]
    assert said[1:] == (rollback if last == "DELETE_FAILED" else [])


@pytest.mark.parametrize("last", ["UPDATE_FAILED", "UPDATE_ROLLBACK_FAILED"])
def test_failed_rollback_gives_the_cause_and_what_failed_later(fake: FakeCloudFormation, last: str) -> None:
    child = Events(fake, "child").itself("UPDATE_IN_PROGRESS").resource("Queue", "UPDATE_FAILED", "too long")
    child.itself("UPDATE_FAILED", "UPDATE_ROLLBACK_IN_PROGRESS").resource(
        "Role", "UPDATE_FAILED", "denied", "AWS::IAM::Role"
    )
    parent = Events(fake).itself("UPDATE_IN_PROGRESS").resource("Child", "UPDATE_FAILED", EMBEDDED, STACK, child.arn)
    parent.itself("UPDATE_ROLLBACK_IN_PROGRESS").resource("Child", last, "", STACK, child.arn)
    said = parent.itself("UPDATE_ROLLBACK_FAILED").explained("UPDATE_ROLLBACK_FAILED")
    assert said.splitlines() == [
        f"{APP} is UPDATE_ROLLBACK_FAILED: Child/Queue ({QUEUE}) failed first: too long",
        "Failed during the rollback:",
        "- Child/Role (AWS::IAM::Role): denied",
    ]


def test_rollback_that_fails_without_a_resource_gives_the_stacks_reason(fake: FakeCloudFormation) -> None:
    events = Events(fake).itself("CREATE_IN_PROGRESS").resource("Queue", "CREATE_FAILED", "too long")
    events.itself("ROLLBACK_IN_PROGRESS", "ROLLBACK_FAILED")
    said = explain(fake, events.arn, APP, "ROLLBACK_FAILED", "The role cannot be assumed")
    assert said.splitlines()[1:] == ["The rollback failed: The role cannot be assumed"]


def test_nested_stack_gives_its_own_reason(fake: FakeCloudFormation) -> None:
    child = Events(fake, "child").itself("CREATE_IN_PROGRESS").itself("CREATE_FAILED", reason="no such transform")
    parent = (
        Events(fake).itself("CREATE_IN_PROGRESS").resource("Child", "CREATE_FAILED", "It failed.", STACK, child.arn)
    )
    assert parent.explained("ROLLBACK_COMPLETE").endswith(
        f": Child ({STACK}) failed first: It failed. no such transform"
    )


@pytest.mark.parametrize("refusal", [DENIED, error("ValidationError", "Stack [child] does not exist")])
def test_nested_stack_that_cannot_be_read_does_not_hide_the_rest(
    fake: FakeCloudFormation, refusal: ClientError
) -> None:
    child = Events(fake, "child")
    parent = Events(fake).itself("CREATE_IN_PROGRESS").resource("Child", "CREATE_FAILED", EMBEDDED, STACK, child.arn)
    parent.resource("Queue", "CREATE_FAILED", "too long")
    fake.failing["describe_stack_events"] = [None, refusal]
    said = parent.explained("ROLLBACK_COMPLETE")
    assert EMBEDDED in said
    assert refusal.response["Error"]["Message"] in said
    assert said.endswith(f"- Queue ({QUEUE}): too long")


def test_reason_of_a_creation_is_not_lost_when_the_stack_is_deleted(fake: FakeCloudFormation) -> None:
    events = Events(fake).itself("CREATE_IN_PROGRESS").resource("Queue", "CREATE_FAILED", "too long")
    events.itself("ROLLBACK_IN_PROGRESS", "DELETE_IN_PROGRESS", "DELETE_COMPLETE")
    said = events.explained("DELETE_COMPLETE")
    assert said == f"{APP} was deleted by somebody else meanwhile: Queue ({QUEUE}) failed first: too long"


@pytest.mark.parametrize(
    ("status", "said"),
    [("DELETE_COMPLETE", "was deleted by somebody else"), ("ROLLBACK_COMPLETE", "is ROLLBACK_COMPLETE")],
)
def test_events_that_cannot_be_read_do_not_hide_the_state(fake: FakeCloudFormation, status: str, said: str) -> None:
    fake.failing["describe_stack_events"] = [DENIED]
    explained = explain(fake, Events(fake).arn, APP, status, "it was asked for")
    assert f"{APP} {said}" in explained
    assert "(it was asked for); its events could not be read: " in explained
    assert "not authorized" in explained


def test_reason_of_a_rollback_that_does_not_end_is_given(fake: FakeCloudFormation) -> None:
    events = Events(fake).itself("UPDATE_IN_PROGRESS").resource("Queue", "UPDATE_FAILED", "too long")
    said = events.itself("UPDATE_ROLLBACK_IN_PROGRESS").explained("UPDATE_ROLLBACK_IN_PROGRESS")
    assert said.endswith(f"waiting for it has been given up: Queue ({QUEUE}) failed first: too long")


def refused(operation: str = "now", **more: Any) -> dict[str, Any]:
    """An event of DescribeEvents: a validation that failed."""
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


def test_creation_that_validation_refused_gives_what_and_why(fake: FakeCloudFormation) -> None:
    hint = "The following hook(s)/validation failed: [AWS::EarlyValidation::PropertyValidation]."
    events = Events(fake).itself("CREATE_IN_PROGRESS", operation="now")
    events.itself("CREATE_FAILED", reason=hint, operation="now")
    fake.refusals[events.arn] = [
        refused("before", ValidationStatusReason="of the operation before"),
        refused(ValidationFailureMode="WARN", ValidationStatusReason="only a warning"),
        refused(ValidationStatus="SKIPPED", ValidationStatusReason="skipped"),
        refused(EventType="STACK_EVENT", ValidationStatusReason="no refusal"),
        refused(),
    ]
    assert events.explained("CREATE_FAILED").splitlines() == [
        f"{APP} is CREATE_FAILED: {hint}",
        f"- Queue ({QUEUE}): #: required key [Size] not found [PROPERTY_VALIDATION, /Resources/Queue/Properties]",
    ]


def test_creation_without_an_event_that_failed_gives_what_validation_refused(fake: FakeCloudFormation) -> None:
    events = Events(fake)
    fake.refusals[events.arn] = [refused(ValidationStatusReason="it exists", ValidationName="", ValidationPath="")]
    assert events.explained("CREATE_FAILED").splitlines()[1:] == [f"- Queue ({QUEUE}): it exists"]


def test_reason_that_only_the_description_has_is_given(fake: FakeCloudFormation) -> None:
    events, reason = Events(fake).itself("CREATE_IN_PROGRESS", operation="now"), "Call DescribeEvents for the issues."
    fake.refusals["now"] = [refused(ValidationName="", ValidationPath="")]
    assert explain(fake, events.arn, APP, "CREATE_FAILED", reason).splitlines() == [
        f"{APP} is CREATE_FAILED: {reason}",
        f"- Queue ({QUEUE}): #: required key [Size] not found",
    ]


def test_resource_that_a_hook_refused_gives_the_hooks_reason(fake: FakeCloudFormation) -> None:
    events = Events(fake).itself("CREATE_IN_PROGRESS")
    events.resource("Queue", "CREATE_FAILED", "The following hook(s) failed: [Own::Rules::Hook]")
    hook = {"EventType": "HOOK_INVOCATION_ERROR", "HookType": "Own::Rules::Hook", "HookStatusReason": "not encrypted"}
    fake.refusals[events.arn] = [
        hook | {"LogicalResourceId": "Queue", "ResourceType": QUEUE, "HookFailureMode": "FAIL"}
    ]
    assert f"- Queue ({QUEUE}): not encrypted [Own::Rules::Hook]" in events.explained("ROLLBACK_COMPLETE").splitlines()


def test_refusals_that_only_their_operation_has_are_read_from_it(fake: FakeCloudFormation) -> None:
    """After a rollback, DescribeEvents of the stack may give the rollback's events only (awslabs/mcp#4275)."""
    events = Events(fake).itself("UPDATE_IN_PROGRESS", operation="update")
    hint = "Validation failed with 1 error(s). Call DescribeEvents to retrieve the full list of issues."
    events.itself("UPDATE_ROLLBACK_IN_PROGRESS", reason=hint, operation="update")
    events.itself("UPDATE_ROLLBACK_COMPLETE", operation="rollback")
    fake.refusals["update"] = [refused("update", ValidationName="", ValidationPath="")]
    assert events.explained("UPDATE_ROLLBACK_COMPLETE").splitlines() == [
        f"{APP} is UPDATE_ROLLBACK_COMPLETE: {hint}",
        f"- Queue ({QUEUE}): #: required key [Size] not found",
    ]


def test_operations_are_not_read_when_nothing_says_that_they_have_refusals(fake: FakeCloudFormation) -> None:
    events = Events(fake).itself("CREATE_IN_PROGRESS", operation="now")
    events.itself("CREATE_FAILED", reason="No export named Vpc found", operation="now")
    events.explained("CREATE_FAILED")
    assert fake.calls.count("describe_events") == 1


def test_details_that_cannot_be_read_do_not_hide_the_reason(fake: FakeCloudFormation) -> None:
    events = Events(fake).itself("CREATE_IN_PROGRESS").itself("CREATE_FAILED", reason="validation failed")
    fake.failing["describe_events"] = [DENIED]
    said = events.explained("CREATE_FAILED").splitlines()
    assert said[0] == f"{APP} is CREATE_FAILED: validation failed"
    assert "could not be read" in said[1]
    assert "not authorized" in said[1]


def test_details_are_left_out_by_an_sdk_that_is_too_old(
    fake: FakeCloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lambda's runtimes bring an SDK of their own choice; DescribeEvents is of November 2025."""
    monkeypatch.delattr(FakeCloudFormation, "describe_events")
    events = Events(fake).itself("CREATE_IN_PROGRESS").itself("CREATE_FAILED", reason="validation failed")
    assert events.explained("CREATE_FAILED").startswith(f"{APP} is CREATE_FAILED: validation failed\n- The details")


def test_very_many_failures_fit_into_a_cause(fake: FakeCloudFormation) -> None:
    events = Events(fake).itself("CREATE_IN_PROGRESS")
    for number in range(500):
        events.resource(f"Queue{number}", "CREATE_FAILED", "x" * 200)
    said = events.explained("ROLLBACK_COMPLETE")
    assert len(said) <= LARGEST_CAUSE
    assert said.startswith(f"{APP} is ROLLBACK_COMPLETE: Queue0 ({QUEUE}) failed first: ")
