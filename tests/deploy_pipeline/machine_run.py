"""Runs the state machine of the stack: its definition, its functions, and a CloudFormation in memory.

The interpreter is that of the sandbox, in this process; waits take no time.
"""

import io
import json
import re
import uuid
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from types import ModuleType, SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from lambdas.deploy_pipeline import approval_handler, task_handler
from lambdas.deploy_pipeline.request import fingerprint
from stacks.deploy_pipeline import definition
from tests.fake_client import FakeClient

from ..conftest import need
from .fake_cloudformation import FakeCloudFormation, error
from .fake_rollout import MODEL as LAMBDA_MODEL, ROLLOUT, FakeRollout

TEMPLATE = "Resources: {}\n"
INPUT = {
    "environmentName": "prod",
    "stackName": "app",
    "templatePath": "template.yaml",
    "revisionS3Bucket": "artifacts",
    "revisionS3Key": "App/1.zip",
}
APP = "prod-app"
MODEL = boto3.client("cloudformation", region_name="us-east-1").meta.service_model
FUNCTIONS: dict[str, Any] = {
    "${CheckStack}": task_handler.check_stack,
    "${PublishAssets}": task_handler.publish_assets,
    "${ChangeSet}": task_handler.change_set,
    "${FirstFailure}": task_handler.first_failure,
    "${RequestApproval}": approval_handler.request,
}
QUEUE_URL = "https://sqs.us-east-1.amazonaws.com/111111111111/decisions"
SENDER = "AROAEXAMPLE1234567890:alice"


@dataclass
class FakeS3(FakeClient):
    """Objects in memory, which can be read in ranges.

    A missing object is a 403, as in S3 for a caller without ``s3:ListBucket``; HeadObject returns no message.
    """

    objects: dict[str, bytes] = field(default_factory=dict)
    metadata: dict[str, dict[str, str]] = field(default_factory=dict)
    meta = SimpleNamespace(region_name="us-east-1")

    def head_object(self, Bucket: str, Key: str, **_: str) -> dict[str, Any]:
        content = self._at(Bucket, Key, "HeadObject", "403", "Forbidden")
        return {"ContentLength": len(content), "Metadata": self.metadata.get(f"{Bucket}/{Key}", {})}

    def get_object(self, Bucket: str, Key: str, Range: str = "") -> dict[str, Any]:
        content = self._at(Bucket, Key)
        if Range:
            first, last = map(int, Range.removeprefix("bytes=").split("-"))
            content = content[first : last + 1]
        return {"Body": io.BytesIO(content)}

    def put_object(self, Bucket: str, Key: str, Body: Any, **options: Any) -> None:
        if options.get("IfNoneMatch") and f"{Bucket}/{Key}" in self.objects:
            raise ClientError({"Error": {"Code": "PreconditionFailed", "Message": "At least one"}}, "PutObject")
        self.objects[f"{Bucket}/{Key}"] = Body if isinstance(Body, bytes) else Body.read()
        self.metadata[f"{Bucket}/{Key}"] = options.get("Metadata", {})

    def _at(
        self,
        bucket: str,
        key: str,
        operation: str = "GetObject",
        code: str = "AccessDenied",
        message: str = "User: somebody is not authorized to perform: s3:ListBucket",
    ) -> bytes:
        try:
            return self.objects[f"{bucket}/{key}"]
        except KeyError:
            raise ClientError({"Error": {"Code": code, "Message": message}}, operation) from None


@dataclass
class FakePeople:
    """The topic of the notifications, the people who read them, and Step Functions, to which the decision is passed.

    `messages` are sent to the queue of decisions as soon as approval is requested, in this order.
    """

    task_tokens: dict[str, Any]
    messages: list[dict[str, Any] | str] = field(default_factory=list)
    before: list[Callable[[], None]] = field(default_factory=list)
    notifications: list[dict[str, str]] = field(default_factory=list)

    def publish(self, **notification: str) -> None:
        self.notifications.append(notification)
        if not notification["Subject"].startswith("Approval required"):
            return
        (execution,) = set(re.findall(r'"execution": "(.+?)"', notification["Message"]))
        for action in self.before:
            action()
        for message in self.messages:
            body = message if isinstance(message, str) else json.dumps({"execution": execution, **message})
            attributes = {"SenderId": SENDER, "SentTimestamp": "1795258800000"}
            approval_handler.decide({"Records": [{"body": body, "attributes": attributes}]}, None)  # type: ignore[typeddict-item]

    def send_task_success(self, taskToken: str, output: str) -> None:
        task = self.task_tokens.get(taskToken)
        if not task or task["event"].is_set():
            raise error("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'")
        task["result"] = output
        task["event"].set()


@dataclass
class FakeExecutions(FakeClient):
    """Step Functions' DescribeExecution, with the executions of the interpreter."""

    executions: dict[str, Any]
    exceptions = SimpleNamespace(ExecutionDoesNotExist=LookupError)

    def describe_execution(self, executionArn: str) -> dict[str, Any]:
        if executionArn not in self.executions:
            raise self.exceptions.ExecutionDoesNotExist
        execution = self.executions[executionArn]
        described = {name: execution[name] for name in ("status", "input", "output") if execution[name] is not None}
        return described | {"stopDate": datetime.fromisoformat(execution["stopDate"])}


@dataclass(frozen=True)
class Ended:
    """The result of an execution, and the states that it entered."""

    status: str
    name: str
    output: dict[str, Any]
    error: str
    cause: str
    states: list[str]


def zipped(**files: str | bytes) -> bytes:
    """Return a zip file; in names, the last underscore becomes a dot."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(".".join(name.rsplit("_", 1)), content)
    return buffer.getvalue()


@cache
def emulator() -> tuple[ModuleType, ModuleType]:
    """Return the sandbox's and MiniStack's Step Functions; not every user of this module needs them."""
    need("ministack")
    from sandbox import stepfunctions
    from sandbox.ministack import stepfunctions as ministack_stepfunctions

    stepfunctions.install(speed=1e9)
    return stepfunctions, ministack_stepfunctions


class Machine:
    """The state machine, which uses `cloudformation` and `s3`.

    `failing`: errors that invoking a function raises, by its name in the definition.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._sandbox, self._stepfunctions = emulator()
        self.cloudformation = FakeCloudFormation()
        self.s3 = FakeS3({"artifacts/App/1.zip": zipped(template_yaml=TEMPLATE)})
        self.people = FakePeople(self._stepfunctions.task_tokens)
        self.rollout = FakeRollout()
        self.failing: dict[str, list[str]] = {}
        self.invoked: list[str] = []
        self.input: dict[str, Any] = dict(INPUT)
        self.stack_names = APP
        self.definition = definition.definition(rollout=True)
        del self.definition["TimeoutSeconds"]  # the interpreter's time passes too fast for it
        self._patch = patch

    def run(self, **fields: Any) -> Ended:
        """Run an execution; `fields` are added to the input."""
        self._stepfunctions.invoke_resource.replace(self._invoke)
        self._patch.setattr(task_handler, "CLOUDFORMATION", self.cloudformation)
        self._patch.setattr(task_handler, "S3", self.s3)
        self._patch.setattr(task_handler, "STEP_FUNCTIONS", FakeExecutions(self._stepfunctions.executions))
        self._patch.setattr(approval_handler, "S3", self.s3)
        self._patch.setattr(approval_handler, "SNS", self.people)
        self._patch.setattr(approval_handler, "STEP_FUNCTIONS", self.people)
        self._patch.setenv("TOPIC_ARN", "arn:aws:sns:us-east-1:111111111111:notifications")
        self._patch.setenv("QUEUE_URL", QUEUE_URL)
        self._patch.setenv("STACK_NAMES", self.stack_names)
        self._patch.setenv("ARTIFACT_BUCKET", "artifacts")
        self._patch.setenv("DEPLOYED_INPUT", fingerprint(INPUT))
        self._patch.setenv("ROLLOUT", json.dumps(ROLLOUT))
        self._patch.setenv("BUCKET", "inputs")
        self._patch.setenv("ASSET_BUCKET", "assets")
        self._patch.setenv("ENVIRONMENT", "aws://111111111111/us-east-1")
        self._patch.setenv("BUCKET_URL", "https://inputs.s3.us-east-1.amazonaws.com")
        name = str(uuid.uuid4())
        arn = f"arn:aws:states:us-east-1:111111111111:execution:machine:{name}"
        machine_arn = "arn:aws:states:us-east-1:111111111111:stateMachine:machine"
        definition = json.dumps(self.definition)
        description = {"definition": definition, "name": "machine", "stateMachineArn": machine_arn, "roleArn": ""}
        self._stepfunctions.state_machines[machine_arn] = description
        execution: dict[str, Any] = {
            "executionArn": arn,
            "stateMachineArn": machine_arn,
            "name": name,
            "status": "RUNNING",
            "startDate": "2026-11-21T12:00:00.000Z",
            "input": json.dumps(self.input | fields),
            "output": None,
            "events": [],
        }
        self._stepfunctions.executions[arn] = execution
        self._sandbox.run(arn)
        entered = [
            e["stateEnteredEventDetails"]["name"] for e in execution["events"] if "stateEnteredEventDetails" in e
        ]
        return Ended(
            execution["status"],
            name,
            json.loads(execution["output"] or "{}"),
            execution["error"] or "",
            execution["cause"] or "",
            entered,
        )

    def _invoke(self, resource: str, arguments: dict[str, Any]) -> Any:
        arguments = json.loads(json.dumps(arguments))
        if resource == "arn:aws:states:::lambda:invoke":
            return {"Payload": self._function(arguments["FunctionName"], arguments["Payload"])}
        if resource == "arn:aws:states:::states:startExecution.sync:2":
            return self._roll_out(arguments)
        service, action = resource.removeprefix("arn:aws:states:::aws-sdk:").split(":")
        fakes: dict[str, Any] = {"cloudformation": (self.cloudformation, MODEL), "lambda": (self.rollout, LAMBDA_MODEL)}
        client, model = fakes[service]
        model.operation_model(action[0].upper() + action[1:])  # fails if the operation does not exist
        try:
            return getattr(client, re.sub("([A-Z])", r"_\1", action).lower())(**arguments)
        except ClientError as error:
            raise self._sandbox.execution_error(error, model) from error

    def _roll_out(self, arguments: dict[str, Any]) -> Any:
        execution = self.rollout.start_execution(**arguments)
        if execution["Status"] != "SUCCEEDED":
            raise self.error("States.TaskFailed", self.rollout.described_failure(execution))
        return execution

    def error(self, name: str, cause: str) -> Exception:
        """Return an error of a task."""
        error: Exception = self._stepfunctions.ExecutionError(name, cause)
        return error

    def _function(self, name: str, payload: dict[str, Any]) -> Any:
        self.invoked.append(name)
        if self.failing.get(name):
            raise self._stepfunctions.ExecutionError(self.failing[name].pop(0), "the function is not available")
        try:
            return json.loads(json.dumps(FUNCTIONS[name](payload, None)))
        except Exception as error:
            response = json.dumps({"errorMessage": str(error), "errorType": type(error).__name__})
            raise self._stepfunctions.ExecutionError(type(error).__name__, response) from error
