"""Step Functions: executions of state machines whose query language is JSONata.

MiniStack's interpreter runs the states. Here expressions are those of real JSONata, with Step
Functions' `$parse`; Succeed and Fail evaluate theirs; tasks and executions time out; an execution
that ends puts "Step Functions Execution Status Change" on the event bus; calls of the
CloudFormation API are made as any SDK makes them, with the names and errors of the SDK for Java,
which are Step Functions'. Waiting goes `speed` times faster.

Left out: the states Map and Parallel, limits of size, MaxDelaySeconds and jitter of retries, logs and
traces.
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
STEPS = {
    "Pass": stepfunctions._execute_pass,
    "Choice": stepfunctions._execute_choice,
    "Wait": stepfunctions._execute_wait,
}


def install(speed: float = 1.0) -> None:
    """Run executions here, with real JSONata."""
    sts._sessions[STATE_MACHINE_KEY] = {
        "Arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/state-machine/execution",
        "UserId": "AROASTATEMACHINE00001:execution",
        "SecretAccessKey": secret_of(STATE_MACHINE_KEY),
    }
    stepfunctions._SFN_WAIT_SCALE = 1 / speed
    stepfunctions._evaluate_jsonata = _evaluate
    stepfunctions._run_execution = _run
    stepfunctions._invoke_aws_sdk_integration = _sdk_call(stepfunctions._invoke_aws_sdk_integration)
    stepfunctions._invoke_resource = _in_time(stepfunctions._invoke_resource)
    stepfunctions._stop_execution = _stopping(stepfunctions._stop_execution)


def _evaluate(expression: str, raw_input: Any, ctx: Any = None, result: Any = None, error_output: Any = None) -> Any:
    states = {"input": raw_input, "context": {k: v for k, v in (ctx or {}).items() if k != "variables"}}
    states |= {name: value for name, value in (("result", result), ("errorOutput", error_output)) if value is not None}
    try:
        compiled = jsonata.Jsonata(expression)
        frame = compiled.create_frame()
        for name, value in {**(ctx or {}).get("variables", {}), "states": states}.items():
            frame.bind(name, value)
        frame.bind("parse", jsonata.Jsonata.JLambda(lambda text: json.loads(text)))
        found = compiled.evaluate(None, frame)
    except Exception as error:
        raise stepfunctions._ExecutionError("States.QueryEvaluationError", f"{expression}: {error}") from error
    if found is None:
        raise stepfunctions._ExecutionError("States.QueryEvaluationError", f"{expression} has no value")
    return found


def _run(execution_arn: str) -> None:
    """Walk through the states of one execution to its end."""
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
    alarm = None
    if definition.get("TimeoutSeconds"):
        seconds = definition["TimeoutSeconds"] * stepfunctions._SFN_WAIT_SCALE
        told = contextvars.copy_context()
        alarm = threading.Timer(seconds, told.run, (_end, execution, "TIMED_OUT", "States.Timeout", None))
        alarm.daemon = True
        alarm.start()
    try:
        output = _walk(definition, execution, context)
        _end(execution, "SUCCEEDED", output=output)
    except stepfunctions._ExecutionError as error:
        _end(execution, "FAILED", error.error, error.cause)
    except Exception as error:  # of the interpreter
        _end(execution, "FAILED", "States.Runtime", str(error))
    finally:
        if alarm:
            alarm.cancel()


def _walk(definition: dict[str, Any], execution: dict[str, Any], context: dict[str, Any]) -> Any:
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
        following = None
        if kind == "Succeed":
            data = stepfunctions._apply_jsonata_output(state, data, context, default=data)
        elif kind == "Task":
            TASK_TIMEOUT.set(state.get("TimeoutSeconds"))
            data, following = stepfunctions._execute_task(state, data, execution, context)
        else:
            data, following = STEPS[kind](state, data, context)
        details = {"name": name, "output": json.dumps(data)}
        stepfunctions._add_event(execution, f"{kind}StateExited", {"stateExitedEventDetails": details})
        if following is None:
            return data
        name = following
    return data


def _end(
    execution: dict[str, Any], status: str, error: str | None = None, cause: str | None = None, output: Any = None
) -> None:
    """Close an execution that is still running, and tell of it."""
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
    _tell(execution)


def _stopping(stop: Any) -> Any:
    def stop_execution(data: dict[str, Any]) -> Any:
        answer = stop(data)
        execution = stepfunctions._executions.get(data.get("executionArn"))
        if execution and answer[0] == 200:
            execution.update(error=data.get("error"), cause=data.get("cause"))
            _tell(execution)
        return answer

    return stop_execution


def _tell(execution: dict[str, Any]) -> None:
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


def _in_time(invoke: Any) -> Any:
    """Let a task's call take as long as the task says, and no longer."""

    def invoke_resource(resource: str, data: Any) -> Any:
        future = TASK_THREADS.submit(contextvars.copy_context().run, invoke, resource, data)
        try:
            return future.result(TASK_TIMEOUT.get())
        except TimeoutError:
            raise stepfunctions._ExecutionError("States.Timeout", "") from None

    return invoke_resource


def _sdk_call(others: Any) -> Any:
    """Make calls of the CloudFormation API over HTTP, to this emulator."""

    def call(resource: str, data: Any) -> Any:
        service, action = resource.split(":")[-2:]
        if service != "cloudformation":
            return others(resource, data)
        client = boto3.client(
            "cloudformation",
            endpoint_url=f"http://127.0.0.1:{os.environ['GATEWAY_PORT']}",
            region_name=get_region(),
            aws_access_key_id=STATE_MACHINE_KEY,
            aws_secret_access_key=secret_of(STATE_MACHINE_KEY),
            config=Config(retries={"total_max_attempts": 1}),
        )
        try:
            answer = client._make_api_call(action[0].upper() + action[1:], data)
        except ClientError as error:
            raise named(error, client.meta.service_model) from error
        except BotoCoreError as error:
            raise stepfunctions._ExecutionError("CloudFormation.SdkClientException", str(error)) from error
        answer.pop("ResponseMetadata", None)
        return json.loads(json.dumps(answer, default=str))

    return call


def named(error: ClientError, model: Any) -> Exception:
    """Name an error as the SDK for Java does: modeled errors by their class, and all others by one."""
    reason = error.response["Error"]
    name = "CloudFormationException"
    for shape in model.error_shapes:
        if reason["Code"] in (shape.metadata.get("error", {}).get("code"), shape.name):
            name = shape.name
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    text = f"{reason['Message']} (Service: CloudFormation, Status Code: {status}, Request ID: sandbox)"
    return stepfunctions._ExecutionError(f"CloudFormation.{name}", text)
