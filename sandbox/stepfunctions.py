"""Step Functions: executions of state machines.

MiniStack's interpreter runs the states. Implemented here: JSONata outputs of Succeed states; timeouts of executions;
repeated starts of a running execution; tasks that wait for a task token; task timeouts that are expressions; SDK
integrations with CloudFormation and Lambda, with the error names of the SDK for Java, as in Step Functions. Waits,
timeouts of executions and of tasks that wait for a task token run `speed` times faster. A result or output above 256
KiB ends the execution with States.DataLimitExceeded, which no Catch handles. `nested_executions` has tasks that run
another state machine.

Not implemented: a separate task token for each retry; the limit of histories; MaxDelaySeconds and jitter of
retries; logs; traces.
"""

import contextvars
import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from . import cloudwatch, nested_executions
from .awslambda.aliases import executed_versions
from .iam.services import ROLE
from .ministack import stepfunctions
from .ministack.requests import json_error, json_response

MAX_DATA_BYTES = 262_144
SDK_SERVICES = {"cloudformation": "CloudFormation", "lambda": "Lambda"}  # with the prefixes of their errors
TASK_EXECUTORS = {
    "Map": stepfunctions.execute_map,
    "Parallel": stepfunctions.execute_parallel,
    "Task": stepfunctions.execute_task,
}
STATE_EXECUTORS = {
    "Pass": stepfunctions.execute_pass,
    "Succeed": stepfunctions.execute_pass,  # MiniStack ignores the Output of Succeed states
    "Choice": stepfunctions.execute_choice,
    "Wait": stepfunctions.execute_wait,
}
THROTTLED = "TooManyRequestsException"
METRICS = {
    "RUNNING": "Started",
    "SUCCEEDED": "Succeeded",
    "FAILED": "Failed",
    "TIMED_OUT": "TimedOut",
    "ABORTED": "Aborted",
}


class DataLimitError(Exception):
    """A result or an output is above the limit."""


def install(speed: float = 1.0) -> None:
    """Replace the execution of state machines."""
    stepfunctions.wait_scale.replace(1 / speed)
    stepfunctions.run_execution.replace(run)
    stepfunctions.start_execution.extend(_repeatable)
    stepfunctions.invoke_resource.extend(_with_version)
    stepfunctions.invoke_resource.extend(nested_executions.running)
    stepfunctions.invoke_resource.extend(_with_limited_result)
    stepfunctions.invoke_sdk.extend(_sdk_integration)
    stepfunctions.invoke_with_callback.replace(_invoke_with_callback)
    stepfunctions.send_status_event.extend(_with_metric)


def _with_metric(send: Any, execution: dict[str, Any]) -> None:
    """Record the executions that start and end, by state machine."""
    name = f"Executions{METRICS[execution['status']]}"
    cloudwatch.record("AWS/States", {name: 1}, [{"StateMachineArn": execution["stateMachineArn"]}])
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
    nested_executions.EXECUTION.set(execution)
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
        if kind in TASK_EXECUTORS:
            data, next_name = TASK_EXECUTORS[kind](state, data, execution, context)
        else:
            data, next_name = STATE_EXECUTORS[kind](state, data, context)
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
        while not task["event"].wait(max(0.0, min(nested_executions.POLL_SECONDS, deadline - time.monotonic()))):
            if nested_executions.EXECUTION.get()["status"] != "RUNNING":
                raise stepfunctions.ExecutionError("States.TaskFailed", "The execution has ended.")
            if time.monotonic() >= deadline:
                raise stepfunctions.ExecutionError("States.Timeout", "")
    finally:
        stepfunctions.task_tokens.pop(token, None)
    if task["error"]:
        raise stepfunctions.ExecutionError(task["error"]["Error"], task["error"]["Cause"])
    return json.loads(task["result"])


def _sdk_integration(original: Any, resource: str, data: Any) -> Any:
    """Send calls to the APIs of `SDK_SERVICES` to this emulator, over HTTP."""
    service, action = resource.split(":")[-2:]
    if service not in SDK_SERVICES:
        return original(resource, data)
    client = nested_executions.client(service)
    try:
        response = client._make_api_call(action[0].upper() + action[1:], data)
    except ClientError as error:
        raise execution_error(error, client.meta.service_model) from error
    except BotoCoreError as error:
        raise stepfunctions.ExecutionError(f"{SDK_SERVICES[service]}.SdkClientException", str(error)) from error
    response.pop("ResponseMetadata", None)
    return json.loads(json.dumps(response, default=str))


def execution_error(error: ClientError, model: Any) -> Exception:
    """Name an error as the SDK for Java does: modeled errors by their class, others such as CloudFormationException."""
    reason, service = error.response["Error"], model.service_id
    name = f"{service}Exception"
    for shape in model.error_shapes:
        if reason["Code"] in (shape.metadata.get("error", {}).get("code"), shape.name):
            name = shape.name
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    text = f"{reason['Message']} (Service: {service}, Status Code: {status}, Request ID: sandbox)"
    return stepfunctions.ExecutionError(f"{service}.{name}", text)
