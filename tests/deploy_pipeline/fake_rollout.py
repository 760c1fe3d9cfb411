"""The app's function with its alias, and the state machine that rolls out the function's versions."""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.exceptions import ClientError

FUNCTION = "arn:aws:lambda:us-east-1:111111111111:function:shop"
STATE_MACHINE = "arn:aws:states:us-east-1:111111111111:stateMachine:Rollout"
ROLLOUT = {"aliasArn": f"{FUNCTION}:live", "stateMachineArn": STATE_MACHINE}
FIGURES = "25%: version 2 failed 31 of 152 calls (20.4%, p95 35 ms); version 1 failed 0 of 466 calls (0.0%, p95 31 ms)."
MODEL = boto3.client("lambda", region_name="us-east-1").meta.service_model


def lambda_error(code: str, message: str, status: int) -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "Lambda")


@dataclass
class FakeRollout:
    """The latest version of the function, and the version of its alias.

    `failing` are errors of the calls, by name. `ended` is the end of a rollout, with the fields of DescribeExecution.
    """

    latest: str = "2"
    live: str = "1"
    failing: dict[str, list[Exception]] = field(default_factory=lambda: defaultdict(list))
    ended: dict[str, str] = field(default_factory=lambda: {"Status": "SUCCEEDED"})
    calls: list[str] = field(default_factory=list)
    started: list[dict[str, Any]] = field(default_factory=list)

    def publish_version(self, FunctionName: str) -> dict[str, Any]:
        self._called("publish_version")
        assert FunctionName == FUNCTION
        return {"Version": self.latest, "CodeSha256": "..."}

    def get_alias(self, FunctionName: str, Name: str) -> dict[str, Any]:
        self._called("get_alias")
        assert (FunctionName, Name) == (FUNCTION, "live")
        return {"FunctionVersion": self.live}

    def start_execution(self, StateMachineArn: str, Name: str, Input: dict[str, str]) -> dict[str, Any]:
        """Run a rollout, and return its result, or how Step Functions describes its failure."""
        self._called("start_execution")
        assert StateMachineArn == STATE_MACHINE
        self.started.append({"Name": Name, "Input": Input})
        execution = {"ExecutionArn": f"{STATE_MACHINE.replace('stateMachine', 'execution')}:{Name}", **self.ended}
        if execution["Status"] != "SUCCEEDED":
            return execution
        self.live = Input["version"]
        return execution | {"Output": {"summary": f"shop: all calls go to version {self.live}.\n{FIGURES}"}}

    def described_failure(self, execution: dict[str, Any]) -> str:
        """Return the cause of the task, a JSON object."""
        return json.dumps({"Input": "{}", "InputDetails": {"Included": True}} | execution)

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.failing[name]:
            raise self.failing[name].pop(0)
