"""Scenarios with `rollout`: the new version of a function of the app goes through a canary."""

from typing import Any

import pytest

from .changes import change
from .fake_rollout import FIGURES, FUNCTION, ROLLOUT, lambda_error
from .machine_run import APP, Ended, Machine
from .scenarios import MANY, failed, scenario, succeeded, with_app

EMPTY = {"Status": "FAILED", "ExecutionStatus": "UNAVAILABLE", "StatusReason": "No updates are to be performed."}
THROTTLED = lambda_error("TooManyRequestsException", "Rate Exceeded.", 429)
DENIED = lambda_error("AccessDeniedException", "not authorized to perform: lambda:PublishVersion", 403)


def roll_out(machine: Machine, **fields: Any) -> Ended:
    """Run an execution that updates the function."""
    if not machine.cloudformation.stacks:
        with_app(machine, change("Modify", "Function", "AWS::Lambda::Function"))
    return machine.run(rollout=ROLLOUT, **fields)


@scenario
@pytest.mark.reliability(
    "deploy_pipeline",
    "Partial failure",
    fault="the new version of a function fails some of its calls",
    expected="the alias returns to the old version, and the deployment fails with the figures",
    observed="the error, the reason and the figures of the rollout in the cause",
)
def rolled_back_version_fails_deployment(machine: Machine) -> Ended:
    cause = f"Version 2 of shop was rolled back at 25 %.\n{FIGURES}"
    machine.rollout.ended = {"Status": "FAILED", "Error": "RolledBack", "Cause": cause}
    ended = failed(roll_out(machine), "RolledBack", f"{APP} is updated. {cause}")
    assert machine.rollout.live == "1"
    return ended


@scenario
def new_version_is_rolled_out(machine: Machine) -> Ended:
    ended = succeeded(roll_out(machine), "updated")
    assert ended.output["summary"].startswith(f"{APP} is updated. shop: all calls go to version 2.\n{FIGURES}")
    ((name, arguments),) = [item.values() for item in machine.rollout.started]
    assert arguments["function"] == FUNCTION
    assert arguments["version"] == "2"
    assert arguments["started_by"].endswith(f":{name}"), "the execution of the pipeline, which starts one rollout only"
    return ended


@scenario
def approved_update_is_rolled_out(machine: Machine) -> Ended:
    with_app(machine, change("Remove", "Topic", "AWS::SNS::Topic"))
    machine.people.messages = [{"decision": "approve", "reason": "Nobody uses it"}]
    ended = succeeded(roll_out(machine, onUnsafe="ask"), "updated")
    assert "shop: all calls go to version 2." in ended.output["summary"]
    return ended


@scenario
def update_of_other_resources_is_not_rolled_out(machine: Machine) -> Ended:
    machine.rollout.latest = "1"  # Lambda publishes no version if nothing has changed
    ended = succeeded(roll_out(machine), "updated")
    assert ended.output["summary"].startswith(f"{APP} is updated. Alias {FUNCTION}:live already has version 1")
    assert not machine.rollout.started
    return ended


@scenario
def retried_deployment_rolls_out_again(machine: Machine) -> Ended:
    """The stack has the rejected code already, so there are no changes; the alias does not have it."""
    with_app(machine).change_set = [EMPTY]
    ended = succeeded(roll_out(machine), "unchanged")
    assert machine.rollout.live == "2"
    return ended


@scenario
@pytest.mark.reliability(
    "deploy_pipeline",
    "Throttling",
    fault="Lambda or Step Functions throttles calls of a rollout",
    expected="retries, and starts one rollout",
    observed="each call is repeated; the rollout has the name of the execution",
)
def throttled_calls_are_retried(machine: Machine) -> Ended:
    machine.rollout.failing["publish_version"] = [THROTTLED] * 2
    machine.rollout.failing["get_alias"] = [THROTTLED] * 2
    machine.rollout.failing["start_execution"] = [
        machine.error("StepFunctions.AWSStepFunctionsException", "Rate exceeded")
    ]
    ended = succeeded(roll_out(machine), "updated")
    assert [machine.rollout.calls.count(name) for name in ("publish_version", "get_alias", "start_execution")] == [
        3,
        3,
        2,
    ]
    assert len(machine.rollout.started) == 1
    return ended


@scenario
@pytest.mark.reliability(
    "deploy_pipeline",
    "Access denied",
    fault="a version cannot be published, or a rollout not be started",
    expected="fails; the alias keeps the old version",
    observed="the state, the reason, and that the stack is updated",
)
def denied_version_is_reported(machine: Machine) -> Ended:
    machine.rollout.failing["publish_version"] = [DENIED] * MANY
    return failed(roll_out(machine), "Lambda.LambdaException", f"{APP} is updated. Publish Version: not authorized")


@scenario
def missing_alias_is_reported(machine: Machine) -> Ended:
    missing = lambda_error("ResourceNotFoundException", "Cannot find alias arn", 404)
    machine.rollout.failing["get_alias"] = [missing]
    return failed(roll_out(machine), "Lambda.ResourceNotFoundException", "Get Alias: Cannot find alias arn")


@scenario
@pytest.mark.reliability(
    "deploy_pipeline", "Access denied", fault="a version cannot be published, or a rollout not be started"
)
def denied_rollout_is_reported(machine: Machine) -> Ended:
    denied = machine.error("StepFunctions.AWSStepFunctionsException", "not authorized to create managed-rule")
    machine.rollout.failing["start_execution"] = [denied] * MANY
    name = "StepFunctions.AWSStepFunctionsException"
    return failed(roll_out(machine), name, f"{APP} is updated. Roll Out: not authorized to create managed-rule")


@scenario
def stopped_rollout_is_reported(machine: Machine) -> Ended:
    machine.rollout.ended = {"Status": "ABORTED"}
    return failed(roll_out(machine), "RolloutStopped", "execution:Rollout:", " is ABORTED")


@scenario
@pytest.mark.reliability(
    "deploy_pipeline",
    "Timeout",
    fault="a rollout does not end",
    expected="fails before CodePipeline's limit for an action",
    observed='"has not ended"',
)
def endless_rollout_fails(machine: Machine) -> Ended:
    machine.rollout.failing["start_execution"] = [machine.error("States.Timeout", "")]
    return failed(
        roll_out(machine), "RolloutTimedOut", f"{APP} is updated. The rollout of version 2 has not ended in 15"
    )
