"""Tests of the limits of Step Functions."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from sandbox.target import target_of

from .stacks import Stacks

pytestmark = [pytest.mark.enable_socket, pytest.mark.needs("ministack")]
LIMIT = 262_144
Run = Callable[[int], dict[str, Any]]


@pytest.fixture(scope="module")
def run(stacks: Stacks) -> Run:
    """Return a function that runs an execution, whose first state outputs a string of a length, and describes it."""
    client = stacks.clients.client("stepfunctions")
    trust = {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = stacks.clients.client("iam").create_role(
        RoleName="machine", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )["Role"]["Arn"]
    states = {
        "Produce": {"Type": "Pass", "Output": "{% $states.input.text & $states.input.text %}", "Next": "Shorten"},
        "Shorten": {"Type": "Pass", "Output": "short", "End": True},
    }
    definition = {"QueryLanguage": "JSONata", "StartAt": "Produce", "States": states}
    machine = client.create_state_machine(name="limits", definition=json.dumps(definition), roleArn=role)

    def run_execution(length: int) -> dict[str, Any]:
        arn = client.start_execution(
            stateMachineArn=machine["stateMachineArn"], input=json.dumps({"text": "x" * (length // 2)})
        )["executionArn"]

        def ended() -> dict[str, Any] | None:
            execution = client.describe_execution(executionArn=arn)
            return None if execution["status"] == "RUNNING" else dict(execution)

        return target_of(stacks.sandbox).wait_until(ended, "the end of the execution")

    return run_execution


def test_output_of_exactly_the_limit_is_accepted(run: Run) -> None:
    assert run(LIMIT - 2)["status"] == "SUCCEEDED", "the quotes of the string count, too"


def test_output_above_the_limit_ends_the_execution(run: Run) -> None:
    execution = run(LIMIT)
    assert (execution["status"], execution["error"]) == ("FAILED", "States.DataLimitExceeded")
    assert "'Produce' returned a result with a size exceeding" in execution["cause"]
