"""Failures without a reason, and of resources whose physical ID is an ARN."""

from lambdas.deploy_pipeline.failure import explain

from .fake_cloudformation import FakeCloudFormation
from .machine_run import APP

STACK = "AWS::CloudFormation::Stack"


def explained(status: str, *events: tuple[str, str, str, str], reason: str = "") -> str:
    """Explain the status of a stack with these events: logical ID, type, status and physical ID."""
    fake = FakeCloudFormation()
    arn = fake.add_stack(APP, status)
    fake.events[arn].append(fake.event(arn, APP, STACK, "CREATE_IN_PROGRESS", arn))
    for name, kind, resource_status, physical_id in events:
        fake.events[arn].append(fake.event(arn, name, kind, resource_status, physical_id, reason))
    return explain(fake, arn, APP, status, reason)


def test_deleted_stack_without_failure_has_no_reason() -> None:
    message = explained("DELETE_COMPLETE", reason="Deleted by a user")
    assert message == f"{APP} was deleted by somebody else during the deployment."


def test_running_stack_without_failure_has_no_reason() -> None:
    message = explained("UPDATE_IN_PROGRESS", reason="User Initiated")
    assert message == f"{APP} is still UPDATE_IN_PROGRESS; the deployment no longer waits for it."


def test_failed_resource_with_arn_is_not_read_as_stack() -> None:
    topic = "arn:aws:sns:us-east-1:111111111111:alarms"
    message = explained("CREATE_FAILED", ("Topic", "AWS::SNS::Topic", "CREATE_FAILED", topic), reason="too long")
    assert message == f"{APP} is CREATE_FAILED: Topic (AWS::SNS::Topic) failed first: too long"


def test_nested_stack_that_was_not_created_fails_itself() -> None:
    message = explained("CREATE_FAILED", ("Child", STACK, "CREATE_FAILED", ""), reason="Template URL is invalid")
    assert message == f"{APP} is CREATE_FAILED: Child ({STACK}) failed first: Template URL is invalid"
