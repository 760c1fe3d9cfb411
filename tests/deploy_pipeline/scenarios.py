"""Scenarios of deployments: each function sets up a situation, runs the state machine and returns the result."""

from collections.abc import Callable

import pytest

from stacks.deploy_pipeline import definition

from .changes import change
from .fake_cloudformation import DENIED, THROTTLED, FakeCloudFormation
from .machine_run import APP, Ended, Machine

Scenario = Callable[[Machine], Ended]
SCENARIOS: list[Scenario] = []
NEVER_WORKED = ("CREATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "ROLLBACK_COMPLETE")
PENDING = {"Status": "CREATE_PENDING", "ExecutionStatus": "UNAVAILABLE"}
READY = {"Status": "CREATE_COMPLETE", "ExecutionStatus": "AVAILABLE"}
MANY = 9  # more than the attempts of any call


def scenario(function: Scenario) -> Scenario:
    SCENARIOS.append(function)
    return function


def failed(ended: Ended, name: str, *texts: str) -> Ended:
    assert (ended.status, ended.error) == ("FAILED", name), ended
    for text in texts:
        assert text in ended.cause, f"{text!r} is not in {ended.cause!r}"
    assert ended.states[-1] == "Deployment Failed"
    return ended


def succeeded(ended: Ended, outcome: str, stack: str = APP) -> Ended:
    assert ended.status == "SUCCEEDED", ended
    assert (ended.output["outcome"], ended.output["stackName"]) == (outcome, stack)
    return ended


def with_app(machine: Machine, *changes: object, status: str = "CREATE_COMPLETE") -> FakeCloudFormation:
    machine.cloudformation.add_stack(APP, status)
    machine.cloudformation.changes = list(changes) or [change()]  # type: ignore[arg-type]
    return machine.cloudformation


# Path 1: the stack does not exist.


@scenario
def missing_stack_is_created(machine: Machine) -> Ended:
    machine.cloudformation.statuses["create"] = ["CREATE_IN_PROGRESS", "CREATE_IN_PROGRESS", "CREATE_COMPLETE"]
    ended = succeeded(machine.run(), "created")
    assert ended.states.count("Wait Stack Creation") == 3
    assert ended.output["summary"] == f"{APP} is created"
    return ended


@scenario
def failed_creation_names_first_resource(machine: Machine) -> Ended:
    fake = machine.cloudformation
    fake.statuses["create"] = ["ROLLBACK_IN_PROGRESS", "ROLLBACK_COMPLETE"]

    def fail() -> None:
        (arn,) = fake.events
        fake.events[arn] = [
            fake.event(arn, APP, "AWS::CloudFormation::Stack", "CREATE_IN_PROGRESS", arn),
            fake.event(arn, "Queue", "AWS::SQS::Queue", "CREATE_FAILED", reason="no such name"),
            fake.event(arn, "Topic", "AWS::SNS::Topic", "CREATE_FAILED", reason="Resource creation cancelled"),
        ]

    fake.before["describe_stack_events"] = fail
    return failed(
        machine.run(), "StackFailed", f"{APP} is ROLLBACK_COMPLETE", "Queue (AWS::SQS::Queue)", "no such name"
    )


@scenario
def denied_creation_fails(machine: Machine) -> Ended:
    machine.cloudformation.failing["create_stack"] = [DENIED] * MANY
    return failed(machine.run(), "CloudFormation.CloudFormationException", "Create Stack: ", "not authorized")


@scenario
@pytest.mark.reliability("deploy_pipeline", "Throttling", fault="CloudFormation temporarily throttles calls")
def throttled_creation_is_retried(machine: Machine) -> Ended:
    machine.cloudformation.failing["create_stack"] = [THROTTLED] * 3
    ended = succeeded(machine.run(), "created")
    assert machine.cloudformation.calls.count("create_stack") == 4
    return ended


@scenario
def stack_deleted_during_creation_is_reported(machine: Machine) -> Ended:
    machine.cloudformation.statuses["create"] = ["CREATE_IN_PROGRESS", "DELETE_COMPLETE"]
    return failed(machine.run(), "StackFailed", f"{APP} was deleted by somebody else")


@scenario
def unreadable_creation_fails(machine: Machine) -> Ended:
    machine.cloudformation.failing["describe_stacks"] = [None] + [DENIED] * MANY
    return failed(machine.run(), "CloudFormation.CloudFormationException", "Get Stack Creation Status: ")


@scenario
@pytest.mark.reliability(
    "deploy_pipeline",
    "Timeout",
    fault="an operation on a stack or a change set never ends",
    expected="fails before the execution reaches its time or history limit",
    observed='"is still CREATE_IN_PROGRESS"',
)
def endless_creation_fails(machine: Machine) -> Ended:
    machine.cloudformation.statuses["create"] = ["CREATE_IN_PROGRESS"]
    ended = failed(machine.run(), "StackFailed", f"{APP} is still CREATE_IN_PROGRESS")
    assert ended.states.count("Wait Stack Creation") == definition.STACK_POLLS
    return ended


@scenario
@pytest.mark.reliability(
    "deploy_pipeline",
    "Access denied",
    fault="the reason for a failure cannot be read",
    expected="the failure is still reported",
    observed="its status and the error; for nested change sets, the parent's reason",
)
def unexplained_failure_is_reported(machine: Machine) -> Ended:
    machine.cloudformation.statuses["create"] = ["ROLLBACK_COMPLETE"]
    machine.cloudformation.failing["describe_stack_events"] = [DENIED]
    machine.cloudformation.status_reason = "Rollback requested by user."
    cause = f"{APP} is ROLLBACK_COMPLETE (Rollback requested by user.)"
    return failed(machine.run(), "StackFailed", cause, "not authorized")


@scenario
@pytest.mark.reliability(
    "deploy_pipeline",
    "Access denied",
    fault="access to the events of a stack, a nested stack or a validation is denied",
)
def failed_explanation_gives_stack_reason(machine: Machine) -> Ended:
    machine.cloudformation.statuses["create"] = ["ROLLBACK_COMPLETE"]
    machine.cloudformation.status_reason = "Rollback requested by user."
    machine.failing["${FirstFailure}"] = ["Sandbox.Timedout"]
    return failed(
        machine.run(), "StackFailed", f"{APP} is ROLLBACK_COMPLETE (Rollback requested by user.); the cause could"
    )


# A stack whose creation has failed.


@scenario
def stack_that_never_worked_is_recreated(machine: Machine) -> Ended:
    fake = machine.cloudformation
    fake.add_stack(APP, "ROLLBACK_COMPLETE", NEVER_WORKED)
    fake.statuses["delete"] = ["DELETE_IN_PROGRESS", "DELETE_COMPLETE"]
    ended = succeeded(machine.run(), "created")
    assert [call for call in fake.calls if call in ("delete_stack", "create_stack")] == ["delete_stack", "create_stack"]
    return ended


@scenario
@pytest.mark.reliability("deploy_pipeline", "Partial failure", fault="the creation of a stack fails")
def failed_creation_is_repeated(machine: Machine) -> Ended:
    """A stack that was created without a rollback, or whose rollback failed, can be deleted."""
    for status in ("CREATE_FAILED", "ROLLBACK_FAILED"):
        fake = machine.cloudformation
        fake.add_stack(APP, status, ("CREATE_IN_PROGRESS", status))
        ended = succeeded(machine.run(), "created")
        assert fake.calls[-3:] == ["describe_stacks", "create_stack", "describe_stacks"]
        assert "delete_stack" in fake.calls
        fake.calls.clear()
        fake.add_stack(APP, status, ("CREATE_COMPLETE", "CREATE_IN_PROGRESS", status))
        failed(machine.run(), "StackNotReadyError", f"{APP} is {status} and has worked before")
        failed(machine.run(policy={"recreate": "never"}), "StackNotReadyError", f"{APP} is {status} and policy")
        assert "delete_stack" not in fake.calls
        fake.calls.clear()
    return ended


@scenario
@pytest.mark.reliability("deploy_pipeline", "Partial failure", fault="the creation of a stack fails")
def stack_that_worked_is_not_deleted(machine: Machine) -> Ended:
    machine.cloudformation.add_stack(APP, "ROLLBACK_COMPLETE", ("CREATE_COMPLETE", *NEVER_WORKED))
    ended = failed(machine.run(), "StackNotReadyError", "has worked before")
    assert "delete_stack" not in machine.cloudformation.calls
    return ended


@scenario
def recreate_policy_is_applied(machine: Machine) -> Ended:
    machine.cloudformation.add_stack(APP, "ROLLBACK_COMPLETE", NEVER_WORKED)
    failed(machine.run(policy={"recreate": "never"}), "StackNotReadyError", "policy.recreate is never")
    machine.cloudformation.add_stack(APP, "ROLLBACK_COMPLETE", ("CREATE_COMPLETE", *NEVER_WORKED))
    return succeeded(machine.run(policy={"recreate": "always"}), "created")


@scenario
def failed_deletion_is_explained(machine: Machine) -> Ended:
    fake = machine.cloudformation
    arn = fake.add_stack(APP, "ROLLBACK_COMPLETE", NEVER_WORKED)
    fake.events[arn] += [
        fake.event(arn, APP, "AWS::CloudFormation::Stack", "DELETE_IN_PROGRESS", arn),
        fake.event(arn, "Bucket", "AWS::S3::Bucket", "DELETE_FAILED", reason="it is not empty"),
    ]
    fake.statuses["delete"] = ["DELETE_FAILED"]
    return failed(machine.run(), "StackFailed", "DELETE_FAILED", "Bucket (AWS::S3::Bucket)", "it is not empty")


@scenario
def denied_deletion_fails(machine: Machine) -> Ended:
    machine.cloudformation.add_stack(APP, "ROLLBACK_COMPLETE", NEVER_WORKED)
    machine.cloudformation.failing["delete_stack"] = [DENIED] * MANY
    return failed(machine.run(), "CloudFormation.CloudFormationException", "Delete Failed Stack: ")


@scenario
def unreadable_deletion_fails(machine: Machine) -> Ended:
    machine.cloudformation.add_stack(APP, "ROLLBACK_COMPLETE", NEVER_WORKED)
    machine.cloudformation.failing["describe_stacks"] = [None] + [DENIED] * MANY
    return failed(machine.run(), "CloudFormation.CloudFormationException", "Get Failed Stack Deletion Status: ")


# Path 2: the changes are safe.


@scenario
def safe_changes_are_executed(machine: Machine) -> Ended:
    fake = with_app(machine, change(), change("Add", "Topic"), change("Modify", "Third"))
    fake.statuses["update"] = ["UPDATE_IN_PROGRESS", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_COMPLETE"]
    ended = succeeded(machine.run(), "updated")
    assert ended.states.count("Wait Stack Update") == 3, "success was reported before the update ended"
    assert fake.executed == [fake.changes]
    return ended


@scenario
def stack_in_review_is_created(machine: Machine) -> Ended:
    fake = with_app(machine, change("Add"), status="REVIEW_IN_PROGRESS")
    ended = succeeded(machine.run(), "created")
    (change_set,) = fake.change_sets.values()
    assert change_set["ChangeSetType"] == "CREATE"
    return ended


@scenario
def no_change_succeeds(machine: Machine) -> Ended:
    reason = "The submitted information didn't contain changes. Submit different information to create a change set."
    with_app(machine).change_set = [{"Status": "FAILED", "ExecutionStatus": "UNAVAILABLE", "StatusReason": reason}]
    ended = succeeded(machine.run(), "unchanged")
    assert not machine.cloudformation.change_sets, "the empty change set is left"
    return ended


@scenario
def pending_change_set_is_polled(machine: Machine) -> Ended:
    nested = {"Status": "CREATE_COMPLETE", "ExecutionStatus": "UNAVAILABLE"}
    with_app(machine).change_set = [PENDING, nested, READY]
    ended = succeeded(machine.run(), "updated")
    assert ended.states.count("Wait Change Set Creation") == 3
    return ended


@scenario
@pytest.mark.reliability("deploy_pipeline", "Throttling", fault="CloudFormation temporarily throttles calls")
def throttled_change_set_is_retried(machine: Machine) -> Ended:
    fake = with_app(machine)
    for call in ("create_change_set", "execute_change_set"):
        fake.failing[call] = [THROTTLED, THROTTLED]
    return succeeded(machine.run(), "updated")


@scenario
def rolled_back_update_names_first_resource(machine: Machine) -> Ended:
    fake = with_app(machine)
    fake.statuses["update"] = ["UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE"]
    arn = fake.stacks[APP]["StackId"]
    fake.events[arn] = [
        fake.event(arn, "Old", "AWS::SQS::Queue", "CREATE_FAILED", reason="an earlier failure"),
        fake.event(arn, APP, "AWS::CloudFormation::Stack", "UPDATE_IN_PROGRESS", arn),
        fake.event(arn, "Queue", "AWS::SQS::Queue", "UPDATE_FAILED", reason="too long"),
        fake.event(arn, "Topic", "AWS::SNS::Topic", "UPDATE_FAILED", reason="Resource update cancelled"),
    ]
    return failed(machine.run(), "StackFailed", "UPDATE_ROLLBACK_COMPLETE", "Queue (AWS::SQS::Queue)", "too long")


@scenario
def unreadable_update_fails(machine: Machine) -> Ended:
    with_app(machine).failing["describe_stacks"] = [None] + [DENIED] * MANY
    return failed(machine.run(), "CloudFormation.CloudFormationException", "Get Stack Update Status: ")


@scenario
def stack_deleted_during_update_is_reported(machine: Machine) -> Ended:
    with_app(machine).statuses["update"] = ["UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS", "DELETE_COMPLETE"]
    return failed(machine.run(), "StackFailed", f"{APP} was deleted by somebody else")


# Path 3: the changes are not safe.


@scenario
def unsafe_changes_are_rejected(machine: Machine) -> Ended:
    with_app(machine, change(), change("Remove", "Topic", "AWS::SNS::Topic"), change("Modify", Replacement="True"))
    return failed(machine.run(), "UnsafeChanges", f"2 unsafe changes to {APP}", "Topic (AWS::SNS::Topic), Remove")


@scenario
def blue_green_stack_is_created(machine: Machine) -> Ended:
    fake = with_app(machine, change("Remove", "Topic", "AWS::SNS::Topic"))
    ended = machine.run(onUnsafe="blue_green")
    green_stack = ended.output["stackName"]
    assert green_stack.startswith(f"{APP}-"), ended
    succeeded(ended, "blue_green", green_stack)
    assert ended.output["unsafe"]["violations"][0]["logicalId"] == "Topic"
    assert f"created as a blue/green stack of {APP}" in ended.output["summary"]
    assert set(fake.stacks) == {APP, green_stack}
    return ended


@scenario
def failed_blue_green_stack_is_explained(machine: Machine) -> Ended:
    with_app(machine, change("Remove")).statuses["create"] = ["ROLLBACK_COMPLETE"]
    return failed(machine.run(onUnsafe="blue_green"), "StackFailed", f"{APP}-", "ROLLBACK_COMPLETE")
