"""Step Functions: tasks that run another state machine (``states:startExecution.sync`` and ``.sync:2``).

The execution is started with the role of the state machine. The role also needs the permissions with which Step
Functions waits for the end, and those to stop the execution. If the outer execution ends first, the inner one is
stopped. An execution that does not succeed is the error States.TaskFailed, and its description is the cause.

Not implemented: timeouts of these tasks; retries of a start by Step Functions itself.
"""

import json
import os
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from .awslambda import role_credentials
from .iam.authorization import AccessDeniedError, require
from .iam.policy import Permission
from .iam.provisioning import MANAGED_RULE, MANAGED_RULE_ACTIONS
from .iam.services import ROLE
from .ministack import stepfunctions
from .ministack.requests import get_region
from .process import ACCOUNT

RESOURCES = ("arn:aws:states:::states:startExecution.sync", "arn:aws:states:::states:startExecution.sync:2")
POLL_SECONDS = 0.05
EXECUTION: ContextVar[dict[str, Any]] = ContextVar("EXECUTION")  # the execution that is running
# Fields that DescribeExecution returns, as a task's result or an error's cause has them.
FIELDS = ("executionArn", "stateMachineArn", "name", "status", "startDate", "stopDate", "input", "error", "cause")
SERVICE = "StepFunctions"


def running(invoke: Callable[[str, Any], Any], resource: str, data: Any) -> Any:
    """Run a state machine if the resource of a task is one of `RESOURCES`."""
    if resource not in RESOURCES:
        return invoke(resource, data)
    _require_permissions(data["StateMachineArn"])
    inner = stepfunctions.executions[_start(data)]
    while inner["status"] == "RUNNING":
        if EXECUTION.get()["status"] != "RUNNING":
            client("stepfunctions").stop_execution(executionArn=inner["executionArn"])
            raise stepfunctions.ExecutionError("States.TaskFailed", "The outer execution has ended.")
        time.sleep(POLL_SECONDS)
    return _result(inner, parsed=resource.endswith(":2"))


def _require_permissions(state_machine: str) -> None:
    """Check what Step Functions needs to wait for an execution; the start is checked as any other call."""
    executions = f"{state_machine.replace(':stateMachine:', ':execution:')}:any"
    rule = f"arn:aws:events:{get_region()}:{ACCOUNT}:{MANAGED_RULE}"
    needed = dict.fromkeys(("states:DescribeExecution", "states:StopExecution"), executions)
    needed |= dict.fromkeys(MANAGED_RULE_ACTIONS, rule)
    for action, resource in needed.items():
        try:
            require(ROLE.get(), Permission(action, resource, {}, "a task"))
        except AccessDeniedError as error:
            raise stepfunctions.ExecutionError(f"{SERVICE}.AWSStepFunctionsException", str(error)) from error


def client(service: str) -> Any:
    """Return a client of this emulator with the role of the state machine whose execution is running."""
    credentials: dict[str, Any] = {
        name.lower(): value for name, value in role_credentials(ROLE.get(), "execution").items()
    }
    return boto3.client(
        service,
        endpoint_url=f"http://127.0.0.1:{os.environ['GATEWAY_PORT']}",
        region_name=get_region(),
        **credentials,
        config=Config(retries={"total_max_attempts": 1}),
    )


def _start(data: dict[str, Any]) -> str:
    """Start the execution, and return its ARN."""
    name = {"name": data["Name"]} if "Name" in data else {}
    try:
        response = client("stepfunctions").start_execution(
            stateMachineArn=data["StateMachineArn"], input=json.dumps(data.get("Input", {})), **name
        )
    except ClientError as error:
        reason = error.response["Error"]
        is_modeled = reason["Code"].startswith(("Execution", "StateMachine", "Invalid"))
        code = f"{reason['Code']}Exception" if is_modeled else "AWSStepFunctionsException"
        raise stepfunctions.ExecutionError(f"{SERVICE}.{code}", reason["Message"]) from error
    except BotoCoreError as error:
        raise stepfunctions.ExecutionError(f"{SERVICE}.SdkClientException", str(error)) from error
    return str(response["executionArn"])


def _result(execution: dict[str, Any], *, parsed: bool) -> dict[str, Any]:
    """Describe an ended execution; with `parsed`, its input and output are JSON values instead of texts."""
    found = {name[0].upper() + name[1:]: execution[name] for name in FIELDS if execution.get(name)}
    if execution["status"] != "SUCCEEDED":
        raise stepfunctions.ExecutionError("States.TaskFailed", json.dumps(found))
    found["Output"] = execution["output"]
    if parsed:
        found |= {name: json.loads(found[name]) for name in ("Input", "Output")}
    return found
