"""Step Functions: executions of state machines with the query language JSONata.

MiniStack's interpreter runs the states. Implemented here: JSONata expressions (by jsonata-python), with Step Functions'
`$parse`, also in Succeed and Fail states; timeouts of tasks and executions; "Step Functions Execution Status Change"
events; SDK integrations with CloudFormation, with the error names of the SDK for Java, as in Step Functions. Waits and
timeouts run `speed` times faster.

Not implemented: Map and Parallel states, size limits, MaxDelaySeconds and jitter of retries, logs and traces.
"""

import contextvars
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import boto3
import jsonata
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from ministack.core.responses import get_region, now_iso
from ministack.services import eventbridge, stepfunctions, sts

from .authentication import secret_of
from .process import ACCOUNT

STATE_MACHINE_KEY = "ASIASTATEMACHINE0001"
TASK_TIMEOUT: contextvars.ContextVar[float | None] = contextvars.ContextVar("TASK_TIMEOUT", default=None)
TASK_THREADS = ThreadPoolExecutor(64, thread_name_prefix="task")
STATE_EXECUTORS = {
    "Pass": stepfunctions._execute_pass,
    "Choice": stepfunctions._execute_choice,
    "Wait": stepfunctions._execute_wait,
}


def install(speed: float = 1.0) -> None:
    """Replace the execution of state machines."""
    sts._sessions[STATE_MACHINE_KEY] = {
        "Arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/state-machine/execution",
        "UserId": "AROASTATEMACHINE00001:execution",
        "SecretAccessKey": secret_of(STATE_MACHINE_KEY),
    }
    stepfunctions._SFN_WAIT_SCALE = 1 / speed
    stepfunctions._evaluate_jsonata = _evaluate
    stepfunctions._run_execution = _run
    stepfunctions._invoke_aws_sdk_integration = _sdk_integration(stepfunctions._invoke_aws_sdk_integration)
    stepfunctions._invoke_resource = _with_timeout(stepfunctions._invoke_resource)
    stepfunctions._stop_execution = _with_status_event(stepfunctions._stop_execution)


def _evaluate(expression: str, raw_input: Any, ctx: Any = None, result: Any = None, error_output: Any = None) -> Any:
    states = {"input": raw_input, "context": {k: v for k, v in (ctx or {}).items() if k != "variables"}}
    states |= {name: value for name, value in (("result", result), ("errorOutput", error_output)) if value is not None}
    try:
        compiled = jsonata.Jsonata(expression)
        frame = compiled.create_frame()
        for name, value in {**(ctx or {}).get("variables", {}), "states": states}.items():
            frame.bind(name, value)
        frame.bind("parse", jsonata.Jsonata.JLambda(lambda text: json.loads(text)))
        value = compiled.evaluate(None, frame)
    except Exception as error:
        raise stepfunctions._ExecutionError("States.QueryEvaluationError", f"{expression}: {error}") from error
    if value is None:
        raise stepfunctions._ExecutionError("States.QueryEvaluationError", f"{expression} has no value")
    return value


def _run(execution_arn: str) -> None:
    """Run an execution until it ends."""
    execution = stepfunctions._executions[execution_arn]
    machine = stepfunctions._state_machines[execution["stateMachineArn"]]
    definition = json.loads(machine["definition"])
    context = {
        "QueryLanguage": definition.get("QueryLanguage", "JSONPath"),
        "Execution": {
            "Id": execution_arn,
            "Input": json.loads(execution["input"]),
            "Name": execution["name"],
            "StartTime": execution["startDate"],
        },
        "StateMachine": {"Id": machine["stateMachineArn"], "Name": machine["name"]},
        "variables": {},
    }
    timer = None
    if definition.get("TimeoutSeconds"):
        seconds = definition["TimeoutSeconds"] * stepfunctions._SFN_WAIT_SCALE
        request_context = contextvars.copy_context()
        timer = threading.Timer(seconds, request_context.run, (_end, execution, "TIMED_OUT", "States.Timeout", None))
        timer.daemon = True
        timer.start()
    try:
        output = _run_states(definition, execution, context)
        _end(execution, "SUCCEEDED", output=output)
    except stepfunctions._ExecutionError as error:
        _end(execution, "FAILED", error.error, error.cause)
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
        context["State"] = {"Name": name, "EnteredTime": now_iso()}
        details = {"name": name, "input": json.dumps(data)}
        stepfunctions._add_event(execution, f"{kind}StateEntered", {"stateEnteredEventDetails": details})
        if kind == "Fail":
            filled = stepfunctions._apply_jsonata_template(state, data, context)
            raise stepfunctions._ExecutionError(filled.get("Error", ""), filled.get("Cause", ""))
        next_name = None
        if kind == "Succeed":
            data = stepfunctions._apply_jsonata_output(state, data, context, default=data)
        elif kind == "Task":
            TASK_TIMEOUT.set(state.get("TimeoutSeconds"))
            data, next_name = stepfunctions._execute_task(state, data, execution, context)
        else:
            data, next_name = STATE_EXECUTORS[kind](state, data, context)
        details = {"name": name, "output": json.dumps(data)}
        stepfunctions._add_event(execution, f"{kind}StateExited", {"stateExitedEventDetails": details})
        if next_name is None:
            return data
        name = next_name
    return data


def _end(
    execution: dict[str, Any], status: str, error: str | None = None, cause: str | None = None, output: Any = None
) -> None:
    """End a running execution, and send its status event."""
    if execution["status"] != "RUNNING":
        return
    execution.update(status=status, stopDate=now_iso(), error=error, cause=cause)
    if status == "SUCCEEDED":
        execution["output"] = json.dumps(output)
        stepfunctions._add_event(
            execution, "ExecutionSucceeded", {"executionSucceededEventDetails": {"output": execution["output"]}}
        )
    else:
        kind = "TimedOut" if status == "TIMED_OUT" else "Failed"
        details = {name: text for name, text in (("error", error), ("cause", cause)) if text}
        stepfunctions._add_event(execution, f"Execution{kind}", {f"execution{kind}EventDetails": details})
    _send_status_event(execution)


def _with_status_event(stop: Any) -> Any:
    def stop_execution(data: dict[str, Any]) -> Any:
        response = stop(data)
        execution = stepfunctions._executions.get(data.get("executionArn"))
        if execution and response[0] == 200:
            execution.update(error=data.get("error"), cause=data.get("cause"))
            _send_status_event(execution)
        return response

    return stop_execution


def _send_status_event(execution: dict[str, Any]) -> None:
    names = ("executionArn", "stateMachineArn", "name", "status", "input", "inputDetails", "output", "error", "cause")
    detail = {name: execution.get(name) for name in names} | {
        name: int(datetime.fromisoformat(execution[name]).timestamp() * 1000) for name in ("startDate", "stopDate")
    }
    entry = {
        "Source": "aws.states",
        "DetailType": "Step Functions Execution Status Change",
        "Resources": [execution["executionArn"]],
        "Detail": json.dumps(detail),
    }
    eventbridge._put_events({"Entries": [entry]})


def _with_timeout(invoke: Any) -> Any:
    """Apply the timeout of the task to its call."""

    def invoke_resource(resource: str, data: Any) -> Any:
        future = TASK_THREADS.submit(contextvars.copy_context().run, invoke, resource, data)
        try:
            return future.result(TASK_TIMEOUT.get())
        except TimeoutError:
            raise stepfunctions._ExecutionError("States.Timeout", "") from None

    return invoke_resource


def _sdk_integration(original: Any) -> Any:
    """Send calls to the CloudFormation API to this emulator, over HTTP."""

    def call(resource: str, data: Any) -> Any:
        service, action = resource.split(":")[-2:]
        if service != "cloudformation":
            return original(resource, data)
        client = boto3.client(
            "cloudformation",
            endpoint_url=f"http://127.0.0.1:{os.environ['GATEWAY_PORT']}",
            region_name=get_region(),
            aws_access_key_id=STATE_MACHINE_KEY,
            aws_secret_access_key=secret_of(STATE_MACHINE_KEY),
            config=Config(retries={"total_max_attempts": 1}),
        )
        try:
            response = client._make_api_call(action[0].upper() + action[1:], data)
        except ClientError as error:
            raise execution_error(error, client.meta.service_model) from error
        except BotoCoreError as error:
            raise stepfunctions._ExecutionError("CloudFormation.SdkClientException", str(error)) from error
        response.pop("ResponseMetadata", None)
        return json.loads(json.dumps(response, default=str))

    return call


def execution_error(error: ClientError, model: Any) -> Exception:
    """Name an error as the SDK for Java does: modeled errors by their class, all others CloudFormationException."""
    reason = error.response["Error"]
    name = "CloudFormationException"
    for shape in model.error_shapes:
        if reason["Code"] in (shape.metadata.get("error", {}).get("code"), shape.name):
            name = shape.name
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    text = f"{reason['Message']} (Service: CloudFormation, Status Code: {status}, Request ID: sandbox)"
    return stepfunctions._ExecutionError(f"CloudFormation.{name}", text)
