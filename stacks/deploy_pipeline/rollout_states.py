"""The states that publish a version of the app's function after an update, and roll it out with `lambda_canary`."""

from ..constructs.states_language import (
    CALL_RETRY,
    TASK_TIMEOUT,
    State,
    assign_failed,
    assign_failure,
    choice,
    jsonata,
    rule,
)

IN_INPUT = "$plan.rollout.aliasArn != ''"
LAMBDA_RETRY = CALL_RETRY | {
    "ErrorEquals": [
        "Lambda.TooManyRequestsException",
        "Lambda.ServiceException",
        "Lambda.ResourceConflictException",
        "Lambda.SdkClientException",
        "States.Timeout",
    ],
}
# The execution's name makes a repeated start idempotent. A failed rollout is States.TaskFailed, which is not retried.
START_RETRY = CALL_RETRY | {
    "ErrorEquals": ["StepFunctions.AWSStepFunctionsException", "StepFunctions.SdkClientException"]
}
CAUSE = "$states.errorOutput.Cause"
ROLLOUT = f"$parse({CAUSE})"  # the failed execution, as DescribeExecution returns it
UPDATED = "$stackName & ' is ' & $outcome & '. '"


def rollout_states() -> dict[str, State]:
    """Return the states that end a deployment to an existing stack, if the input has a rollout.

    They compare versions instead of changes of the template, so that a deployment after a failed rollout repeats it.
    """
    function = {"FunctionName": jsonata("$plan.rollout.functionArn")}
    rollout = {
        "function": jsonata("$plan.rollout.functionArn"),
        "version": jsonata("$version"),
        "started_by": jsonata("$states.context.Execution.Id"),
    }
    unchanged = {"rollout": jsonata("'Alias ' & $plan.rollout.aliasArn & ' already has version ' & $version")}
    return {
        # Without changes since the last version, Lambda returns that version.
        "Publish Version": _lambda_call(
            "Publish Version",
            "publishVersion",
            function,
            {"version": jsonata("$states.result.Version")},
            "Get Alias",
        ),
        "Get Alias": _lambda_call(
            "Get Alias",
            "getAlias",
            function | {"Name": jsonata("$plan.rollout.alias")},
            {"liveVersion": jsonata("$states.result.FunctionVersion")},
            "New Version?",
        ),
        "New Version?": choice(
            [rule("$version = $liveVersion", "Deployment Succeeded", unchanged)], default="Roll Out"
        ),
        "Roll Out": {
            "Type": "Task",
            "Resource": "arn:aws:states:::states:startExecution.sync:2",
            "Arguments": {
                "StateMachineArn": jsonata("$plan.rollout.stateMachineArn"),
                "Name": jsonata("$states.context.Execution.Name"),
                "Input": rollout,
            },
            "TimeoutSeconds": jsonata("$plan.rollout.timeoutSeconds"),
            "Assign": {"rollout": jsonata("$states.result.Output.summary")},
            "Retry": [START_RETRY],
            "Catch": _rollout_failures(),
            "Next": "Deployment Succeeded",
        },
    }


def _lambda_call(name: str, action: str, arguments: State, assign: State, next: str) -> State:
    return {
        "Type": "Task",
        "Resource": f"arn:aws:states:::aws-sdk:lambda:{action}",
        "Arguments": arguments,
        "TimeoutSeconds": TASK_TIMEOUT,
        "Assign": assign,
        "Retry": [LAMBDA_RETRY],
        "Catch": [_catch("States.ALL", assign_failed(f"{UPDATED} & '{name}: ' & {CAUSE}"))],
        "Next": next,
    }


def _rollout_failures() -> list[State]:
    late = (
        "'The rollout of version ' & $version & ' has not ended in ' & ($plan.rollout.timeoutSeconds / 3600)"
        " & ' hours. If it is still running, its notification will have the result.'"
    )
    is_rollout = f"$substring({CAUSE}, 0, 1) = '{{'"  # otherwise, it could not be started
    error = f"$exists({ROLLOUT}.Error) ? {ROLLOUT}.Error : 'RolloutStopped'"
    cause = f"$exists({ROLLOUT}.Cause) ? {ROLLOUT}.Cause : {ROLLOUT}.ExecutionArn & ' is ' & {ROLLOUT}.Status"
    return [
        _catch("States.Timeout", assign_failure("'RolloutTimedOut'", f"{UPDATED} & {late}")),
        _catch(
            "States.ALL",
            assign_failure(
                f"{is_rollout} ? ({error}) : $states.errorOutput.Error",
                f"{UPDATED} & ({is_rollout} ? ({cause}) : 'Roll Out: ' & {CAUSE})",
            ),
        ),
    ]


def _catch(error: str, assign: State) -> State:
    return {"ErrorEquals": [error], "Assign": assign, "Next": "Deployment Failed"}
