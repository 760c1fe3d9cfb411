"""States of the Amazon States Language, with JSONata."""

import json
from typing import Any

State = dict[str, Any]
TASK_TIMEOUT = 180  # seconds
# Step Functions has no separate error name for CloudFormation's throttling: it is a
# CloudFormationException, like every error that the API does not model. So all of those are
# retried, and every call that changes something has a token or a name that makes it idempotent.
CALL_RETRY = {
    "ErrorEquals": ["CloudFormation.CloudFormationException", "CloudFormation.SdkClientException", "States.Timeout"],
    "IntervalSeconds": 2,
    "BackoffRate": 2,
    "MaxAttempts": 4,
    "MaxDelaySeconds": 30,
    "JitterStrategy": "FULL",
}
# A change set cannot be deleted while it is created or executed.
BUSY_RETRY = CALL_RETRY | {
    "ErrorEquals": ["CloudFormation.InvalidChangeSetStatusException"],
    "IntervalSeconds": 5,
    "MaxAttempts": 8,
}
FUNCTION_RETRY = CALL_RETRY | {
    "ErrorEquals": [
        "Lambda.ClientExecutionTimeoutException",
        "Lambda.ServiceException",
        "Lambda.AWSLambdaException",
        "Lambda.SdkClientException",
        "Lambda.TooManyRequestsException",
        "States.Timeout",
    ],
    "MaxAttempts": 5,
}
# The message of an error; the Cause of a Lambda function's error is a JSON object.
ERROR_MESSAGE = (
    "($substring($states.errorOutput.Cause, 0, 1) = '{'"
    " ? $parse($states.errorOutput.Cause).errorMessage : $states.errorOutput.Cause)"
)


def jsonata(expression: str) -> str:
    return f"{{% {expression} %}}"


def merged(arguments: State, options: str) -> str:
    """Return arguments with the fields of an object, because an argument cannot be omitted otherwise."""
    fields = ", ".join(f'"{name}": {_expression(value)}' for name, value in arguments.items())
    return jsonata(f"$merge([{{{fields}}}, {options}])")


def _expression(value: Any) -> str:
    is_jsonata = isinstance(value, str) and value.startswith("{%")
    return value.removeprefix("{% ").removesuffix(" %}") if is_jsonata else json.dumps(value)


def assign_failure(error: str, cause: str) -> State:
    """Assign the error with which the deployment fails, if it fails."""
    return {"failure": {"error": jsonata(error), "cause": jsonata(cause)}}


def catch_known(errors: list[str], next: str) -> State:
    """Catch the errors that the functions raise about the input and the stack."""
    return {"ErrorEquals": errors, "Assign": assign_failed(ERROR_MESSAGE), "Next": next}


def catch_all(state: str, next: str = "Delete Change Set") -> State:
    return {"ErrorEquals": ["States.ALL"], "Assign": assign_failed(f"'{state}: ' & {ERROR_MESSAGE}"), "Next": next}


def assign_failed(cause: str) -> State:
    return assign_failure("$states.errorOutput.Error", cause) | {"outcome": "failed"}


def lambda_task(name: str, payload: State, *, assign: State, catch: list[State], next: str) -> State:
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Arguments": {"FunctionName": f"${{{name}}}", "Payload": payload},
        "TimeoutSeconds": TASK_TIMEOUT,
        "Assign": assign,
        "Retry": [FUNCTION_RETRY],
        "Catch": catch,
        "Next": next,
    }


def without_timeout(retry: State) -> State:
    """Return a retry policy for a task whose timeout is a deadline."""
    return retry | {"ErrorEquals": [error for error in retry["ErrorEquals"] if error != "States.Timeout"]}


def sdk_task(
    action: str,
    arguments: State | str,
    assign: State,
    catch: State,
    next: str,
    first_retry: State | None = None,
    first_catch: State | None = None,
) -> State:
    """Return a task that calls CloudFormation's API directly."""
    return {
        "Type": "Task",
        "Resource": f"arn:aws:states:::aws-sdk:cloudformation:{action}",
        "Arguments": arguments,
        "TimeoutSeconds": TASK_TIMEOUT,
        **({"Assign": assign} if assign else {}),
        "Retry": [*([first_retry] if first_retry else []), CALL_RETRY],
        "Catch": [*([first_catch] if first_catch else []), catch],
        "Next": next,
    }


def wait(seconds: int, next: str) -> State:
    return {"Type": "Wait", "Seconds": seconds, "Next": next}


def rule(condition: str, next: str, assign: State | None = None) -> State:
    return {"Condition": jsonata(condition), "Next": next} | ({"Assign": assign} if assign else {})


def choice(choices: list[State], *, default: str, assign: State | None = None) -> State:
    return {"Type": "Choice", "Choices": choices, "Default": default} | ({"Assign": assign} if assign else {})
