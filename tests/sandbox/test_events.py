"""Retries and dead letters of EventBridge targets."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from sandbox import Sandbox
from sandbox.process import ACCOUNT
from sandbox.target import session

from .fault_injection import inject

pytestmark = [pytest.mark.enable_socket, pytest.mark.needs("ministack")]
THROTTLED = {"action": "InvokeTarget", "code": "THROTTLING", "message": "Rate exceeded"}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(speed=300) as running:
        yield running


@dataclass
class Rule:
    """A rule whose target, a queue, has a dead-letter queue."""

    sandbox: Sandbox
    clients: boto3.Session

    def __post_init__(self) -> None:
        self.events, self.sqs = self.clients.client("events"), self.clients.client("sqs")
        self.name = f"rule-{uuid.uuid4().hex[:8]}"
        self.arn = self.events.put_rule(Name=self.name, EventPattern=json.dumps({"source": [self.name]}))["RuleArn"]
        self.letters = self.create_queue("letters")
        self.target = f"arn:aws:sqs:us-east-1:{ACCOUNT}:{self.name}-target"

    def create_queue(self, name: str) -> str:
        events = {"Service": "events.amazonaws.com"}
        statement = {"Effect": "Allow", "Principal": events, "Action": "sqs:SendMessage", "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        queue = self.sqs.create_queue(QueueName=f"{self.name}-{name}", Attributes={"Policy": policy})
        return str(queue["QueueUrl"])

    def send_event(self, **policy: int) -> None:
        """Send an event to the target, with a retry policy."""
        letters = {"Arn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:{self.name}-letters"}
        target = {"Id": "1", "Arn": self.target, "DeadLetterConfig": letters, "RetryPolicy": policy}
        self.events.put_targets(Rule=self.name, Targets=[target])
        self.events.put_events(Entries=[{"Source": self.name, "DetailType": "order", "Detail": '{"number": 7}'}])

    def receive(self, queue: str, seconds: int = 20) -> dict[str, Any]:
        """Return the message that arrives in a queue, or an empty one."""
        response = self.sqs.receive_message(
            QueueUrl=queue, MessageAttributeNames=["All"], WaitTimeSeconds=seconds, VisibilityTimeout=0
        )
        (message,) = response.get("Messages") or [{}]
        return dict(message)

    def dead_letter(self) -> dict[str, str]:
        """Return the attributes of the message in the dead-letter queue."""
        message = self.receive(self.letters)
        assert json.loads(message["Body"])["detail"] == {"number": 7}
        return {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}

    def metric(self, name: str) -> float:
        metric = {"Namespace": "AWS/Events", "MetricName": name}
        metric["Dimensions"] = [{"Name": "RuleName", "Value": self.name}]  # type: ignore[assignment]
        query = {"Id": "m", "MetricStat": {"Metric": metric, "Period": 3600, "Stat": "Sum"}}
        response = self.clients.client("cloudwatch").get_metric_data(
            MetricDataQueries=[query], StartTime="2020-01-01T00:00:00Z", EndTime="2100-01-01T00:00:00Z"
        )
        return float(sum(response["MetricDataResults"][0]["Values"]))


@pytest.fixture
def rule(sandbox: Sandbox) -> Iterator[Rule]:
    yield Rule(sandbox, session(sandbox))
    inject(sandbox)


def test_throttled_target_is_invoked_again(rule: Rule, sandbox: Sandbox) -> None:
    queue = rule.create_queue("target")
    inject(sandbox, THROTTLED | {"times": 3})
    rule.send_event()
    assert rule.receive(queue)
    assert not rule.receive(rule.letters, seconds=0)
    assert (rule.metric("Invocations"), rule.metric("FailedInvocations")) == (1, 0)
    assert rule.metric("RetryInvocationAttempts") == 3


def test_event_whose_retries_are_exhausted_is_a_dead_letter(rule: Rule, sandbox: Sandbox) -> None:
    rule.create_queue("target")
    inject(sandbox, THROTTLED | {"times": 3})
    rule.send_event(MaximumRetryAttempts=2)
    assert rule.dead_letter() == {
        "RULE_ARN": rule.arn,
        "TARGET_ARN": rule.target,
        "ERROR_CODE": "THROTTLING",
        "ERROR_MESSAGE": "Rate exceeded",
        "EXHAUSTED_RETRY_CONDITION": "MaximumRetryAttempts",
        "RETRY_ATTEMPTS": "2",
    }
    assert [rule.metric(name) for name in ("FailedInvocations", "InvocationsSentToDlq")] == [1, 1]


def test_event_that_is_too_old_is_a_dead_letter(rule: Rule, sandbox: Sandbox) -> None:
    rule.create_queue("target")
    inject(sandbox, THROTTLED | {"times": 99})
    rule.send_event(MaximumEventAgeInSeconds=60)
    letter = rule.dead_letter()
    assert letter["EXHAUSTED_RETRY_CONDITION"] == "MaximumEventAgeInSeconds"
    assert 1 <= int(letter["RETRY_ATTEMPTS"]) < 5


def test_missing_target_is_not_invoked_again(rule: Rule) -> None:
    rule.send_event()
    letter = rule.dead_letter()
    assert (letter["ERROR_CODE"], letter["RETRY_ATTEMPTS"]) == ("NO_RESOURCE", "0")
    assert "EXHAUSTED_RETRY_CONDITION" not in letter


def test_denied_target_is_not_invoked_again(rule: Rule) -> None:
    queue = rule.create_queue("target")
    rule.sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": ""})
    rule.send_event()
    assert rule.dead_letter()["ERROR_CODE"] == "NO_PERMISSIONS"
    assert rule.metric("RetryInvocationAttempts") == 0
