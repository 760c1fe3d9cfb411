"""Scenarios of failures with a change set, and before a change set is created."""

from dataclasses import dataclass
from functools import partial

import pytest
from botocore.exceptions import BotoCoreError, IncompleteReadError, ReadTimeoutError

from stacks.deploy_pipeline import definition

from .changes import change
from .fake_cloudformation import DENIED, THROTTLED, error
from .machine_run import APP, Ended, Machine
from .scenarios import MANY, PENDING, SCENARIOS, failed, scenario, succeeded, with_app

__all__ = ["SCENARIOS"]

# Failures with a change set.


@scenario
def failed_change_set_gives_reason(machine: Machine) -> Ended:
    with_app(machine).change_set = [
        {"Status": "FAILED", "ExecutionStatus": "UNAVAILABLE", "StatusReason": "Transform does not exist"}
    ]
    return failed(machine.run(), "ChangeSetFailed", "Transform does not exist")


@scenario
@pytest.mark.reliability("deploy_pipeline", "Timeout", fault="an operation on a stack or a change set never ends")
def endless_change_set_fails(machine: Machine) -> Ended:
    with_app(machine).change_set = [PENDING]
    ended = failed(machine.run(), "ChangeSetFailed", "still CREATE_PENDING")
    assert ended.states.count("Wait Change Set Creation") == definition.CHANGE_SET_POLLS
    return ended


@scenario
def denied_change_set_fails(machine: Machine) -> Ended:
    with_app(machine).failing["create_change_set"] = [DENIED] * MANY
    return failed(machine.run(), "CloudFormation.CloudFormationException", "Create Change Set: ")


@scenario
def change_set_of_deleted_stack_fails(machine: Machine) -> Ended:
    fake = with_app(machine)
    fake.before["create_change_set"] = fake.stacks.clear
    return failed(machine.run(), "CloudFormation.CloudFormationException", f"Stack [{APP}] does not exist")


@scenario
@pytest.mark.reliability("deploy_pipeline", "Lost event or response", fault="the response to a call that succeeded")
def lost_response_leaves_no_change_set(machine: Machine) -> Ended:
    fake = with_app(machine)
    create = fake.create_change_set

    def create_and_lose_response(**fields: str) -> None:
        create(**fields)
        raise DENIED

    fake.create_change_set = create_and_lose_response  # type: ignore[assignment,method-assign]
    return failed(machine.run(), "CloudFormation.CloudFormationException", "Create Change Set: ")


@scenario
def deleted_change_set_is_reported(machine: Machine) -> Ended:
    fake = with_app(machine)
    fake.before["describe_change_set"] = fake.change_sets.clear
    return failed(machine.run(), "ChangeSetDeletedError", "Somebody else deleted the change set")


@scenario
@pytest.mark.reliability(
    "deploy_pipeline",
    "Deleted externally",
    fault="the change set, before or after it is inspected",
)
def change_set_deleted_before_inspection_is_reported(machine: Machine) -> Ended:
    fake = with_app(machine)
    fake.failing["describe_change_set"] = [None, error("ChangeSetNotFound")]
    return failed(machine.run(), "ChangeSetDeletedError", "Somebody else deleted the change set")


@scenario
def unreadable_change_set_fails(machine: Machine) -> Ended:
    with_app(machine).failing["describe_change_set"] = [DENIED]
    failed(machine.run(), "ClientError", "Get Change Set Creation Status: ", "not authorized")
    machine.cloudformation.failing["describe_change_set"] = [None, DENIED]
    return failed(machine.run(), "ClientError", "Inspect Change Set Changes: ", "not authorized")


@scenario
def rejected_execution_of_change_set_fails(machine: Machine) -> Ended:
    for client_error in (DENIED, error("InvalidChangeSetStatus", "OBSOLETE"), error("ChangeSetNotFound")):
        fake = with_app(machine)
        fake.failing["execute_change_set"] = [client_error] * MANY
        ended = machine.run()
        assert ended.status == "FAILED", ended
        assert "Execute Change Set: " in ended.cause
        assert not fake.left(), "a change set is left"
        assert not fake.executed
    return ended


@scenario
def busy_change_set_is_deleted_later(machine: Machine) -> Ended:
    fake = with_app(machine, change("Remove"))
    fake.failing["delete_change_set"] = [error("InvalidChangeSetStatus")] * 7
    return failed(machine.run(), "UnsafeChanges")


@scenario
def missing_change_set_is_not_an_error(machine: Machine) -> Ended:
    fake = with_app(machine, change("Remove"))
    fake.before["delete_change_set"] = fake.change_sets.clear
    fake.failing["delete_change_set"] = [error("ChangeSetNotFound")]
    return failed(machine.run(), "UnsafeChanges")


# Failures before anything is changed.


@scenario
def invalid_input_names_fields(machine: Machine) -> Ended:
    ended = failed(machine.run(stackName="my app", tags=7), "InvalidInputError", "stackName", "tags")
    assert ended.states == ["Check Stack Existence", "Deployment Failed"]
    assert not machine.cloudformation.calls
    return ended


@scenario
def missing_template_is_reported(machine: Machine) -> Ended:
    return failed(machine.run(templatePath="other.yaml"), "InvalidArtifactError", "other.yaml")


@scenario
def broken_template_is_reported(machine: Machine) -> Ended:
    client_error = error("ValidationError", "Template format error: unsupported structure")
    machine.cloudformation.failing["get_template_summary"] = [client_error]
    return failed(machine.run(), "InvalidTemplateError", "template.yaml: Template format error")


@scenario
@pytest.mark.reliability("deploy_pipeline", "Access denied", fault="the stack cannot be described")
def error_is_not_treated_as_missing_stack(machine: Machine) -> Ended:
    no_role = error("AccessDenied", "Role prod-deployer does not exist")
    for client_error in (THROTTLED, DENIED, no_role, error("ValidationError", "1 validation error detected")):
        machine.cloudformation.failing["describe_stacks"] = [client_error]
        ended = failed(machine.run(), "ClientError", "Check Stack Existence: ")
        assert "create_stack" not in machine.cloudformation.calls
    return ended


@scenario
@pytest.mark.reliability(
    "deploy_pipeline",
    "Delayed or out of order",
    fault="another operation on the stack is in progress",
    expected="fails immediately and recommends what to do",
    observed="advice for each status",
)
def busy_or_broken_stack_is_not_changed(machine: Machine) -> Ended:
    for status, expected in (
        ("UPDATE_IN_PROGRESS", "another operation is in progress"),
        ("UPDATE_FAILED", "roll it back (RollbackStack)"),
        ("UPDATE_ROLLBACK_FAILED", "continue the rollback"),
        ("DELETE_FAILED", "retaining the resources"),
        ("A_NEW_STATUS", "bring it to a *_COMPLETE status"),
    ):
        with_app(machine, status=status)
        ended = failed(machine.run(), "StackNotReadyError", status, expected)
    return ended


@scenario
@pytest.mark.reliability(
    "deploy_pipeline",
    "Timeout",
    fault="the connection to S3 is lost while the artifact is read",
    expected="fails before anything is changed",
    observed="`7 read, but total bytes expected is 70`, `Read timeout on endpoint URL`",
)
def interrupted_artifact_read_is_reported(machine: Machine) -> Ended:
    @dataclass
    class Broken:
        loss: BotoCoreError

        def read(self) -> bytes:
            raise self.loss

    for loss, expected in (
        (IncompleteReadError(actual_bytes=7, expected_bytes=70), "7 read, but total bytes expected is 70"),
        (ReadTimeoutError(endpoint_url="https://s3.us-east-1.amazonaws.com"), "Read timeout on endpoint URL"),
    ):
        machine.s3.get_object = partial(dict, Body=Broken(loss))  # type: ignore[method-assign]
        ended = failed(
            machine.run(),
            "InvalidArtifactError",
            "The source artifact s3://artifacts/App/1.zip cannot be read: " + expected,
        )
    assert set(machine.cloudformation.calls) == {"describe_stacks"}
    return ended


@scenario
@pytest.mark.reliability(
    "deploy_pipeline",
    "Timeout",
    fault="a function times out",
    expected="fails, and the change set is deleted",
    observed="`Sandbox.Timedout`, no change set left",
)
def function_timeout_leaves_no_change_set(machine: Machine) -> Ended:
    with_app(machine)
    machine.failing["${ChangeSet}"] = ["Sandbox.Timedout"]  # the error name of Step Functions
    ended = failed(machine.run(), "Sandbox.Timedout", "Get Change Set Creation Status: ")
    assert "delete_change_set" in machine.cloudformation.calls
    return ended


@scenario
@pytest.mark.reliability(
    "deploy_pipeline",
    "Lost event or response",
    fault="the response to a call that succeeded",
    expected="the call is retried with the same token, or its change set is deleted",
    observed="one update; no change set left",
)
def lost_response_is_retried_with_same_token(machine: Machine) -> Ended:
    fake = with_app(machine)
    execute, tokens = fake.execute_change_set, []

    def execute_and_lose_first_response(**fields: str) -> object:
        tokens.append(fields["ClientRequestToken"])
        response = execute(**fields)
        if len(tokens) == 1:
            raise THROTTLED
        return response

    fake.execute_change_set = execute_and_lose_first_response  # type: ignore[assignment,method-assign]
    ended = succeeded(machine.run(), "updated")
    assert len(tokens) == 2
    assert len(set(tokens)) == 1, "CloudFormation would treat the second call as another request"
    return ended


@scenario
@pytest.mark.reliability(
    "deploy_pipeline",
    "Throttling",
    fault="Lambda throttles or cannot run a function of the state machine",
    expected="retried",
    observed="the stack is created after three errors",
)
def unavailable_function_is_retried(machine: Machine) -> Ended:
    machine.failing["${CheckStack}"] = ["Lambda.ServiceException", "Lambda.TooManyRequestsException", "States.Timeout"]
    return succeeded(machine.run(), "created")
