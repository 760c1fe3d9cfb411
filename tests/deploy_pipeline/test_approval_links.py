"""Text that people who push or send messages choose: no link in notifications about decisions, and its limits."""

import json
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from lambdas.deploy_pipeline.approval import Decisions, Notifications, parse_decision, request_approval
from lambdas.deploy_pipeline.errors import InvalidInputError
from tests.fake_client import FakeClient

from .changes import change, detail, reasons
from .machine_run import FakeS3

REPORT = "https://us-east-1.console.aws.amazon.com/s3/object/inputs?region=us-east-1&prefix=reports/a.md"
ARN = "arn:aws:states:us-east-1:111111111111:execution:deploy:run"


class FakeTopic(FakeClient):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def publish(self, **message: Any) -> None:
        self.texts.append(message["Message"])


def requested(*violations: str, arn: str = ARN) -> str:
    topic = FakeTopic()
    lines = [f"1 unsafe change to shop, which was not changed (all changes: {REPORT} ):", *violations]
    event: Any = {
        "taskToken": "token", "execution": "run", "executionArn": arn, "stackName": "shop", "cause": "\n".join(lines),
        "stackId": "arn:aws:cloudformation:us-east-1:111111111111:stack/shop/1", "timeoutSeconds": 60,
        "changeSetId": "arn:aws:cloudformation:us-east-1:111111111111:changeSet/deploy-run/1", "inspectOnly": False,
    }  # fmt: skip
    notifications = Notifications(topic, "topic")
    request_approval(FakeS3(), notifications, event, bucket="inputs", queue_url="https://sqs/q", now=datetime.now(UTC))
    return topic.texts[0]


@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="a push with links in the values of an unsafe change, so that they appear in the request for approval",
    expected="the request has no links except those to the report, the change set and the execution",
    observed='"https[:]//approve[.]example"',
)
def test_values_of_a_push_become_no_link() -> None:
    contexts = {
        "BeforeContext": json.dumps({"Properties": {"QueueName": "jobs"}}),
        "AfterContext": json.dumps({"Properties": {"QueueName": "https://approve.example/"}}),
    }
    replaced = change(Replacement="True", Details=[detail("Always")], **contexts)
    reason = reasons(replaced)
    assert "https://approve.example/" in reason, "the values are shown"
    text = requested(f"- Queue (AWS::SQS::Queue), Modify: {reason}")
    assert "https[:]//approve[.]example/" in text
    assert REPORT in text
    assert "AWS::SQS::Queue" in text
    assert {word.partition("/")[0] for word in text.split("https://")[1:]} == {
        "us-east-1.console.aws.amazon.com",
        "sqs",
    }


def test_links_lead_to_the_console_of_the_partition() -> None:
    text = requested(arn="arn:aws-us-gov:states:us-gov-west-1:111111111111:execution:deploy:run")
    assert text.count("https://us-gov-west-1.console.amazonaws-us-gov.com/") == 2


def test_sender_of_invalid_decision_becomes_no_link() -> None:
    """The caller chooses the session name, which is part of the sender, and the message."""
    topic = FakeTopic()
    decisions = Decisions(FakeS3(), cast(Any, None), Notifications(topic, "topic"), "inputs")
    attributes = {"SenderId": "AROAEXAMPLE:evil.example", "SentTimestamp": "0"}
    body = json.dumps({"execution": "run", "decision": "http://16909060", "reason": "ok"})
    record: Any = {"body": body, "attributes": attributes}
    assert decisions.handle(record) is None
    assert "AROAEXAMPLE:evil[.]example" in topic.texts[0]
    assert 'given "http[:]//16909060"' in topic.texts[0]


def test_execution_name_has_at_most_80_characters() -> None:
    """Step Functions API reference, StartExecution."""
    decision = {"decision": "approve", "reason": "ok"}
    assert parse_decision(json.dumps(decision | {"execution": "x" * 80}))["execution"] == "x" * 80
    with pytest.raises(InvalidInputError, match="accepted: the name of an execution"):
        parse_decision(json.dumps(decision | {"execution": "x" * 81}))
