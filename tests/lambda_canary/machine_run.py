"""Runs the state machine of the stack: its definition and its functions, with Lambda and CloudWatch in memory.

The interpreter is that of the sandbox, in this process; waits take no time. When an execution has ended, the function
`ended` receives its event, as from EventBridge.
"""

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from lambdas.lambda_canary import handler
from lambdas.lambda_canary.config import Config
from stacks.lambda_canary.definition import definition

from ..deploy_pipeline.machine_run import emulator
from .fake_aws import FakeCloudWatch, FakeLambda
from .rollouts import config

FUNCTIONS: dict[str, Callable[[Any, object], Any]] = {
    "${Check}": handler.check,
    "${CallVersion}": handler.call_version,
    "${Shift}": handler.shift,
    "${Evaluate}": handler.evaluate,
    "${RollBack}": handler.roll_back,
}
ACCOUNT = "111111111111"
MACHINE_ARN = f"arn:aws:states:us-east-1:{ACCOUNT}:stateMachine:rollout"


@dataclass(frozen=True)
class Ended:
    """The result of an execution, the states that it entered, and its notification."""

    status: str
    output: dict[str, Any]
    error: str
    cause: str
    states: list[str]
    subject: str
    message: str


class Machine:
    """The state machine.

    `failing`: errors that invoking a function raises, by its name. `actions`: called before a function, by its name.
    `settings`: of the rollouts.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._sandbox, self._stepfunctions = emulator()
        self.awslambda, self.cloudwatch = FakeLambda(), FakeCloudWatch()
        self.settings = config()
        self.failing: dict[str, list[str]] = {}
        self.actions: dict[str, list[Callable[[], None]]] = {}
        self.shares: list[dict[str, float]] = []  # before each evaluation
        self.notifications: list[dict[str, str]] = []
        self._patch = patch
        self.execution: dict[str, Any] = {}

    def set_calls(self, new: tuple[int, int], old: tuple[int, int] = (2000, 0)) -> None:
        """Set calls and errors of versions 2 and 1, in every step."""
        self.cloudwatch.set_calls("2", *new)
        self.cloudwatch.set_calls("1", *old)

    def publish(self, **notification: str) -> None:
        self.notifications.append(notification)

    def get_execution_history(self, **_: Any) -> dict[str, Any]:
        """Return the events of the execution, the latest first."""
        return {"events": self.execution["events"][::-1]}

    def stop(self) -> None:
        """Stop the execution, as StopExecution does."""
        self.execution.update(status="ABORTED", error=None, cause=None)

    def run(self, rollout_input: Any = None, name: str = "") -> Ended:
        """Run an execution with a generated name, as Step Functions does without a `name`."""
        self._stepfunctions.invoke_resource.replace(self._invoke)
        for client in ("LAMBDA", "INVOKER"):
            self._patch.setattr(handler, client, self.awslambda)
        self._patch.setattr(handler, "CLOUDWATCH", self.cloudwatch)
        self._patch.setattr(handler, "SNS", self)
        self._patch.setattr(handler, "STEP_FUNCTIONS", self)
        self._patch.setattr(Config, "load", lambda _: self.settings)
        self._patch.setenv("TOPIC_ARN", f"arn:aws:sns:us-east-1:{ACCOUNT}:rollouts")
        machine = definition(evaluated_steps=3, evaluations=3)
        del machine["TimeoutSeconds"]  # the interpreter's time passes too fast for it
        description = {"definition": json.dumps(machine), "name": "rollout", "stateMachineArn": MACHINE_ARN}
        self._stepfunctions.state_machines[MACHINE_ARN] = description | {"roleArn": ""}
        name = name or str(uuid.uuid4())
        arn = f"arn:aws:states:us-east-1:{ACCOUNT}:execution:rollout:{name}"
        self.execution = {
            "executionArn": arn,
            "stateMachineArn": MACHINE_ARN,
            "name": name,
            "status": "RUNNING",
            "startDate": "2026-11-26T12:00:00.000Z",
            "input": json.dumps({"function": "shop", "version": "2"} if rollout_input is None else rollout_input),
            "output": None,
            "error": None,
            "cause": None,
            "events": [],
        }
        self._stepfunctions.executions[arn] = self.execution
        self._sandbox.run(arn)
        return self._ended()

    def _ended(self) -> Ended:
        keys = ("executionArn", "stateMachineArn", "name", "status", "input", "output", "error", "cause")
        detail: Any = {key: self.execution[key] for key in keys}
        handler.ended({"detail": detail}, None)
        notification = self.notifications[-1]
        events = [e["stateEnteredEventDetails"] for e in self.execution["events"] if "stateEnteredEventDetails" in e]
        return Ended(
            self.execution["status"],
            json.loads(self.execution["output"] or "{}"),
            self.execution["error"] or "",
            self.execution["cause"] or "",
            [event["name"] for event in events],
            notification["Subject"],
            notification["Message"],
        )

    def _invoke(self, resource: str, arguments: dict[str, Any]) -> Any:
        assert resource == "arn:aws:states:::lambda:invoke"
        name, payload = arguments["FunctionName"], json.loads(json.dumps(arguments["Payload"]))
        key = name.strip("${}")
        if key == "Evaluate":
            self.shares.append(self.awslambda.shares)
        if self.actions.get(key):
            self.actions[key].pop(0)()
        if self.failing.get(key):
            raise self._stepfunctions.ExecutionError(self.failing[key].pop(0), "the function is not available")
        try:
            return {"Payload": json.loads(json.dumps(FUNCTIONS[name](payload, None)))}
        except Exception as error:
            response = json.dumps({"errorMessage": str(error), "errorType": type(error).__name__})
            raise self._stepfunctions.ExecutionError(type(error).__name__, response) from error
