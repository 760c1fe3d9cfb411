"""Preconditions of the walkthrough of lambda_canary, with botocore's stub in place of AWS."""

from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from walkthroughs.lambda_canary import LambdaCanaryWalkthrough
from walkthroughs.walkthrough import PreconditionError, Target

MACHINE = "arn:aws:states:eu-west-1:111111111111:stateMachine:rollout"
OUTPUTS = {
    "SampleFunctionName": "sample",
    "StateMachineArn": MACHINE,
    "TopicArn": "arn:aws:sns:eu-west-1:111111111111:t",
}
RUNNING = {
    "executionArn": MACHINE.replace("stateMachine", "execution") + ":run",
    "stateMachineArn": MACHINE,
    "name": "run",
    "status": "RUNNING",
    "startDate": "2026-11-26",
}


def enter(
    monkeypatch: pytest.MonkeyPatch,
    outputs: dict[str, str],
    running: tuple[dict[str, Any], ...] = (),
    weights: dict[str, float] | None = None,
) -> None:
    clients = {name: boto3.client(name, region_name="eu-west-1") for name in ("lambda", "stepfunctions", "sqs")}
    monkeypatch.setattr(Target, "outputs", lambda *_: outputs)
    monkeypatch.setattr(Target, "client", lambda _, name: clients[name])
    with (
        Stubber(clients["lambda"]) as functions,
        Stubber(clients["stepfunctions"]) as machines,
        Stubber(clients["sqs"]),
    ):
        machines.add_response("list_executions", {"executions": list(running)})
        alias = {"FunctionVersion": "1", "RoutingConfig": {"AdditionalVersionWeights": weights or {}}}
        functions.add_response("get_alias", alias, {"FunctionName": "sample", "Name": "live"})
        with LambdaCanaryWalkthrough(Target(boto3.Session(region_name="eu-west-1"), 1, 1)):
            pass


def test_missing_sample_function_error_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = {name: value for name, value in OUTPUTS.items() if name != "SampleFunctionName"}
    with pytest.raises(PreconditionError, match="lambda_canary:sample_function=true"):
        enter(monkeypatch, outputs)


@pytest.mark.parametrize(("running", "weights"), [((RUNNING,), {}), ((), {"2": 0.1})])
def test_rollout_under_way_is_not_disturbed(
    monkeypatch: pytest.MonkeyPatch, running: tuple[dict[str, Any], ...], weights: dict[str, float]
) -> None:
    with pytest.raises(PreconditionError, match="alias live of sample is in a rollout"):
        enter(monkeypatch, OUTPUTS, running, weights)
