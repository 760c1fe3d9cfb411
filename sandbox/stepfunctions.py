"""Step Functions: executions of state machines.

MiniStack's interpreter runs the states. Implemented here: JSONata outputs of Succeed states; timeouts of executions;
repeated starts of a running execution; tasks that wait for a task token; task timeouts that are expressions; SDK
integrations with CloudFormation and Lambda, with the error names of the SDK for Java, as in Step Functions; tasks that
run another state machine (``states:startExecution.sync`` and ``.sync:2``). Waits, timeouts of executions and of tasks
that wait for a task token run `speed` times faster. A result or output above 256 KiB ends the execution with
States.DataLimitExceeded, which no Catch handles.

Another state machine is started with the role of the first one, which also needs the permissions to wait for its end
and to stop it. If the outer execution ends first, the inner one is stopped. An execution that does not succeed is the
error States.TaskFailed, and its description is the cause.

Not implemented: other tasks, because their permissions are unknown (see `iam.services`); a separate task token for
each retry; the limit of histories; MaxDelaySeconds and jitter of retries; timeouts of tasks that run another state
machine; logs; traces.
"""

import contextvars
import json
import os
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from . import cloudwatch
from .awslambda import role_credentials
from .awslambda.aliases import executed_versions
from .iam.authorization import AccessDeniedError, require
from .iam.policy import Permission
from .iam.provisioning import MANAGED_RULE, MANAGED_RULE_ACTIONS
from .iam.services import ROLE
from .ministack import stepfunctions
from .ministack.requests import get_region, json_error, json_response
from .process import ACCOUNT

MAX_DATA_BYTES = 262_144
# Services of SDK integrations and of nested executions: the prefix of their errors, and the name of other errors.
SDK_SERVICES = {
    "cloudformation": ("CloudFormation", "CloudFormationException"),
    "lambda": ("Lambda", "LambdaException"),
    "stepfunctions": ("StepFunctions", "AWSStepFunctionsException"),
}
NESTED = ("arn:aws:states:::states:startExecution.sync", "arn:aws:states:::states:startExecution.sync:2")
# Fields that DescribeExecution returns, as a task's result or an error's cause has them.
FIELDS = ("executionArn", "stateMachineArn", "name", "status", "startDate", "stopDate", "input", "error", "cause")
POLL_SECONDS = 0.05
THROTTLED = "TooManyRequestsException"
EXECUTION: ContextVar[dict[str, Any]] = ContextVar("EXECUTION")  # the execution that is running


class DataLimitError(Exception):
    """A result or an output is above the limit."""


def install(speed: float = 1.0) -> None:
    """Replace the execution of state machines."""
    stepfunctions.wait_scale.replace(1 / speed)
    stepfunctions.run_execution.replace(run)
    stepfunctions.start_execution.extend(_repeatable)
    stepfunctions.invoke_resource.extend(_with_version)
    stepfunctions.invoke_resource.extend(_with_nested_executions)
    stepfunctions.invoke_resource.extend(_with_limited_result)
    stepfunctions.invoke_sdk.extend(_sdk_integration)
    stepfunctions.invoke_with_callback.replace(_invoke_with_callback)
    stepfunctions.send_status_event.extend(_with_metric)


def _with_metric(send: Any, execution: dict[str, Any]) -> None:
    """Record the executions that start and end, by state machine."""
    status = "Started" if execution["status"] == "RUNNING" else execution["status"].title().replace("_", "")
    cloudwatch.record("AWS/States", {f"Executions{status}": 1}, [{"StateMachineArn": execution["stateMachineArn"]}])
    send(execution)


def _with_version(invoke: Any, resource: str, data: Any) -> Any:
    """Invoke the alias or version in `Qualifier`, report the version that ran, and name throttling errors."""
    if not resource.endswith("states:::lambda:invoke"):
        return invoke(resource, data)
    qualifier = f":{data['Qualifier']}" if data.get("Qualifier") else ""
    try:
        with executed_versions() as executed:
            response = invoke(resource, data | {"FunctionName": f"{data['FunctionName']}{qualifier}"})
    except stepfunctions.ExecutionError as error:
        if error.error == "Lambda.Unknown" and THROTTLED in error.cause:
            raise stepfunctions.ExecutionError(f"Lambda.{THROTTLED}", error.cause) from error
        raise
    return response | {"ExecutedVersion": executed[0]}


def _repeatable(start: Callable[[dict[str, Any]], Any], request: dict[str, Any]) -> Any:
    """Return a running execution again if a request has its name and input, as the API reference describes."""
    if len(request.get("input", "").encode()) > MAX_DATA_BYTES:
        constraint = f"Member must have length less than or equal to {MAX_DATA_BYTES}"
        text = f"1 validation error detected: Value at 'input' failed to satisfy constraint: {constraint}"
        return json_error("ValidationException", text)
    same = (request.get("stateMachineArn"), request.get("name"), request.get("input", "{}"), "RUNNING")
    for execution in stepfunctions.executions.values():
        if tuple(execution[name] for name in ("stateMachineArn", "name", "input", "status")) == same:
            return json_response({name: execution[name] for name in ("executionArn", "startDate")})
    return start(request)


def run(execution_arn: str) -> None:
    """Run an execution until it ends."""
    execution = stepfunctions.executions[execution_arn]
    machine = stepfunctions.state_machines[execution["stateMachineArn"]]
    definition = json.loads(machine["definition"])
    ROLE.set(machine["roleArn"])
    EXECUTION.set(execution)
    context = {
        "QueryLanguage": definition.get("QueryLanguage", "JSONPath"),
        "Execution": {
            "Id": execution_arn,
            "Input": json.loads(execution["input"]),
            "Name": execution["name"],
            "StartTime": execution["startDate"],
            "RedriveCount": execution.get("redriveCount", 0),
        },
        "StateMachine": {"Id": machine["stateMachineArn"], "Name": machine["name"]},
        "variables": {},
    }
    timer = None
    if definition.get("TimeoutSeconds"):
        seconds = definition["TimeoutSeconds"] * stepfunctions.wait_scale.current
        request_context = contextvars.copy_context()
        timer = threading.Timer(seconds, request_context.run, (_end, execution, "TIMED_OUT", "States.Timeout", None))
        timer.daemon = True
        timer.start()
    try:
        output = _run_states(definition, execution, context)
        _end(execution, "SUCCEEDED", output=output)
    except stepfunctions.ExecutionError as error:
        _end(execution, "FAILED", error.error, error.cause)
    except DataLimitError as error:
        _end(execution, "FAILED", "States.DataLimitExceeded", str(error))
    except Exception as error:  # an error of the interpreter
        _end(execution, "FAILED", "States.Runtime", str(error))
    finally:
        if timer:
            timer.cancel()


def _run_states(definition: dict[str, Any], execution: dict[str, Any], context: dict[str, Any]) -> Any:
    name, data = definition["StartAt"], context["Execution"]["Input"]
    while execution["status"] == "RUNNING":
        state = definition["States"][name]
        kind = state["Type"]
        context["State"] = {"Name": name, "EnteredTime": _now()}
        details = {"name": name, "input": json.dumps(data)}
        stepfunctions.add_event(execution, f"{kind}StateEntered", {"stateEnteredEventDetails": details})
        if kind == "Fail":
            raise stepfunctions.ExecutionError(*stepfunctions.error_of_fail_state(state, data, context))
        if isinstance(state.get("TimeoutSeconds"), str):
            expression = {"Arguments": state["TimeoutSeconds"]}
            state = state | {"TimeoutSeconds": stepfunctions.evaluate_arguments(expression, data, context)}
        execute = stepfunctions.executors[kind if kind != "Succeed" else "Pass"]  # MiniStack ignores Output of Succeed
        with_execution = (execution,) if kind in ("Map", "Parallel", "Task") else ()
        data, next_name = execute(state, data, *with_execution, context)
        _limit(data, name)
        details = {"name": name, "output": json.dumps(data)}
        stepfunctions.add_event(execution, f"{kind}StateExited", {"stateExitedEventDetails": details})
        if next_name is None:
            return data
        name = next_name
    return data


def _with_limited_result(invoke: Any, resource: str, data: Any) -> Any:
    result = invoke(resource, data)
    _limit(result, resource)
    return result


def _limit(data: Any, source: str) -> None:
    """Raise DataLimitError if the JSON text of a state's or task's result is too long."""
    if len(json.dumps(data, ensure_ascii=False).encode()) > MAX_DATA_BYTES:
        raise DataLimitError(
            f"The state/task '{source}' returned a result with a size exceeding the maximum number of bytes "
            "service limit."
        )


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _end(
    execution: dict[str, Any], status: str, error: str | None = None, cause: str | None = None, output: Any = None
) -> None:
    """End a running execution, and send its status event."""
    if execution["status"] != "RUNNING":
        return
    execution.update(status=status, stopDate=_now(), error=error, cause=cause)
    if status == "SUCCEEDED":
        execution["output"] = json.dumps(output)
        stepfunctions.add_event(
            execution, "ExecutionSucceeded", {"executionSucceededEventDetails": {"output": execution["output"]}}
        )
    else:
        kind = "TimedOut" if status == "TIMED_OUT" else "Failed"
        details = {name: text for name, text in (("error", error), ("cause", cause)) if text}
        stepfunctions.add_event(execution, f"Execution{kind}", {f"execution{kind}EventDetails": details})
    stepfunctions.send_status_event(execution)


def _invoke_with_callback(resource: str, data: Any, token: str, state: dict[str, Any]) -> Any:
    """Invoke a resource, and wait until the token is sent back, or the execution is stopped.

    An error of the resource fails the task immediately.
    """
    task: dict[str, Any] = {"event": threading.Event(), "result": None, "error": None, "heartbeat": None}
    stepfunctions.task_tokens[token] = task
    try:
        stepfunctions.invoke_resource.current(resource.removesuffix(".waitForTaskToken"), data)
        deadline = time.monotonic() + state["TimeoutSeconds"] * stepfunctions.wait_scale.current
        while not task["event"].wait(max(0.0, min(POLL_SECONDS, deadline - time.monotonic()))):
            if EXECUTION.get()["status"] != "RUNNING":
                raise stepfunctions.ExecutionError("States.TaskFailed", "The execution has ended.")
            if time.monotonic() >= deadline:
                raise stepfunctions.ExecutionError("States.Timeout", "")
    finally:
        stepfunctions.task_tokens.pop(token, None)
    if task["error"]:
        raise stepfunctions.ExecutionError(task["error"]["Error"], task["error"]["Cause"])
    return json.loads(task["result"])


def _sdk_integration(original: Any, resource: str, data: Any) -> Any:
    service, action = resource.split(":")[-2:]
    if service not in SDK_SERVICES:
        return original(resource, data)
    response = _call(service, action[0].upper() + action[1:], data)
    response.pop("ResponseMetadata", None)
    return json.loads(json.dumps(response, default=str))


def _call(service: str, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Call an API of this emulator, over HTTP, with the role of the state machine whose execution is running."""
    credentials: dict[str, Any] = {key.lower(): v for key, v in role_credentials(ROLE.get(), "execution").items()}
    client = boto3.client(
        service,
        endpoint_url=f"http://127.0.0.1:{os.environ['GATEWAY_PORT']}",
        region_name=get_region(),
        **credentials,
        config=Config(retries={"total_max_attempts": 1}),
    )
    try:
        response: dict[str, Any] = client._make_api_call(operation, parameters)
    except ClientError as error:
        raise execution_error(error, client.meta.service_model) from error
    except BotoCoreError as error:
        raise stepfunctions.ExecutionError(f"{SDK_SERVICES[service][0]}.SdkClientException", str(error)) from error
    return response


def execution_error(error: ClientError, model: Any) -> Exception:
    """Name an error as the SDK for Java does: modeled errors by their class, others such as CloudFormationException."""
    reason = error.response["Error"]
    service, name = SDK_SERVICES[model.service_name]
    for shape in model.error_shapes:
        if reason["Code"] in (shape.metadata.get("error", {}).get("code"), shape.name):
            name = f"{shape.name.removesuffix('Exception')}Exception"
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    text = f"{reason['Message']} (Service: {service}, Status Code: {status}, Request ID: sandbox)"
    return stepfunctions.ExecutionError(f"{service}.{name}", text)


def _with_nested_executions(invoke: Any, resource: str, data: Any) -> Any:
    """Run a state machine if the resource of a task is one of `NESTED`."""
    if resource not in NESTED:
        return invoke(resource, data)
    machine = data["StateMachineArn"]
    _require_permissions(machine)
    name = {"name": data["Name"]} if "Name" in data else {}
    request = {"stateMachineArn": machine, "input": json.dumps(data.get("Input", {})), **name}
    inner = stepfunctions.executions[_call("stepfunctions", "StartExecution", request)["executionArn"]]
    while inner["status"] == "RUNNING":
        if EXECUTION.get()["status"] != "RUNNING":
            _call("stepfunctions", "StopExecution", {"executionArn": inner["executionArn"]})
            raise stepfunctions.ExecutionError("States.TaskFailed", "The outer execution has ended.")
        time.sleep(POLL_SECONDS)
    return _described(inner, parsed=resource.endswith(":2"))


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
            raise stepfunctions.ExecutionError(".".join(SDK_SERVICES["stepfunctions"]), str(error)) from error


def _described(execution: dict[str, Any], *, parsed: bool) -> dict[str, Any]:
    """Describe an ended execution; with `parsed`, its input and output are JSON values instead of texts."""
    found = {name[0].upper() + name[1:]: execution[name] for name in FIELDS if execution.get(name)}
    if execution["status"] != "SUCCEEDED":
        raise stepfunctions.ExecutionError("States.TaskFailed", json.dumps(found))
    found["Output"] = execution["output"]
    if parsed:
        found |= {name: json.loads(found[name]) for name in ("Input", "Output")}
    return found
