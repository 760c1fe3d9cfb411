"""Deliveries between services need permissions of the target or of the function's role."""

import json
from typing import Any

import pytest

from sandbox.process import ACCOUNT
from sandbox.target import target_of

from .attacker import JSON, Attacker
from .functions import Functions, allow, document
from .stacks import Stacks

pytestmark = [pytest.mark.enable_socket, pytest.mark.needs("ministack")]


def create_queue(stacks: Stacks, name: str, *statements: dict[str, Any]) -> tuple[str, str]:
    """Create a queue with a policy, and return its URL and ARN."""
    attributes = {"Policy": document(statements[0])} if statements else {}
    url: str = stacks.clients.client("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    return url, f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}"


def decision(stacks: Stacks, action: str, resource: str) -> str:
    """Wait for the first decision about a resource, and return it."""
    log = stacks.sandbox.directory / "authorization.jsonl"

    def found() -> str | None:
        entries = [json.loads(line) for line in log.read_text().splitlines()]
        return next((e["decision"] for e in entries if (e["action"], e["resource"]) == (action, resource)), None)

    return target_of(stacks.sandbox).wait_until(found, f"a decision about {resource}")


@pytest.mark.parametrize("is_allowed", [True, False])
def test_notification_of_bucket_needs_policy_of_queue(stacks: Stacks, is_allowed: bool) -> None:
    name = "allowed" if is_allowed else "denied"
    statement = allow("sqs:SendMessage", Principal={"Service": "s3.amazonaws.com"}, Resource="*")
    url, arn = create_queue(stacks, name, *([statement] if is_allowed else []))
    s3 = stacks.clients.client("s3")
    s3.create_bucket(Bucket=name)
    queues = [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]
    s3.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration={"QueueConfigurations": queues})
    s3.put_object(Bucket=name, Key="key", Body=b"")
    assert decision(stacks, "sqs:SendMessage", arn) == ("ALLOWED" if is_allowed else "IMPLICITLY_DENIED")
    received = stacks.clients.client("sqs").receive_message(QueueUrl=url, WaitTimeSeconds=1)
    assert ("Messages" in received) is is_allowed


def test_event_source_mapping_needs_permissions_of_function(stacks: Stacks) -> None:
    url, arn = create_queue(stacks, "source")
    functions = Functions(stacks.sandbox)
    functions.lambda_.create_event_source_mapping(FunctionName=functions.create(), EventSourceArn=arn)
    stacks.clients.client("sqs").send_message(QueueUrl=url, MessageBody="text")
    assert decision(stacks, "sqs:ReceiveMessage", arn) == "IMPLICITLY_DENIED"
    assert "Messages" in stacks.clients.client("sqs").receive_message(QueueUrl=url)


def test_event_source_mapping_of_another_function_needs_permission(attacker: Attacker) -> None:
    path = "/2015-03-31/event-source-mappings/00000000-0000-0000-0000-000000000000"
    status, text = attacker.send("lambda", {}, '{"FunctionName": "own"}', path, "PUT")
    assert status == 403, text
    assert "event-source-mapping:00000000-0000-0000-0000-000000000000" in text


def test_service_that_acts_without_permissions_is_for_administrators(attacker: Attacker) -> None:
    pipe = {"Source": f"arn:aws:sqs:us-east-1:{ACCOUNT}:victim", "Target": "own", "RoleArn": "own"}
    status, text = attacker.send("pipes", JSON, json.dumps(pipe), "/v1/pipes/own")
    assert status == 403, text
    assert "is not authorized to perform: * on resource: *" in text
