"""Executions of state machines: their names."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox import Sandbox
from sandbox.target import session, target_of

pytestmark = pytest.mark.enable_socket
TRUST = {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


def state_machine(clients: Any, name: str, seconds: int) -> str:
    trust = json.dumps({"Statement": [TRUST]})
    role = clients.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    definition = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": seconds, "End": True}}}
    client = clients.client("stepfunctions")
    created = client.create_state_machine(name=name, roleArn=role, definition=json.dumps(definition))
    return str(created["stateMachineArn"])


def test_start_of_a_running_execution_with_its_input_returns_it(sandbox: Sandbox) -> None:
    """API reference, StartExecution: it is idempotent for the name and input of a running execution."""
    clients = session(sandbox)
    client, machine = clients.client("stepfunctions"), state_machine(clients, "running", 60)
    first, again = (client.start_execution(stateMachineArn=machine, name="n", input="{}") for _ in range(2))
    assert (first["executionArn"], first["startDate"]) == (again["executionArn"], again["startDate"])
    assert len(client.list_executions(stateMachineArn=machine)["executions"]) == 1
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        client.start_execution(stateMachineArn=machine, name="n", input='{"other": 1}')


def test_name_of_an_ended_execution_cannot_be_used_again(sandbox: Sandbox) -> None:
    clients = session(sandbox)
    client, machine = clients.client("stepfunctions"), state_machine(clients, "ended", 0)
    arn = client.start_execution(stateMachineArn=machine, name="n", input="{}")["executionArn"]
    target = target_of(sandbox)
    target.wait_until(lambda: client.describe_execution(executionArn=arn)["status"] == "SUCCEEDED", "the end")
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        client.start_execution(stateMachineArn=machine, name="n", input="{}")
