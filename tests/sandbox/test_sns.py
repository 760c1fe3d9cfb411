"""Tests of email subscriptions and of the mailbox page."""

import json
from typing import Any

import pytest
import urllib3

from sandbox.process import MAILBOX_HOST
from sandbox.target import endpoints_of

from .stacks import Stacks

pytestmark = [pytest.mark.enable_socket, pytest.mark.needs("ministack")]
ADDRESS = "ops@example.com"


class Mailbox:
    """Reads the mailbox page as a browser does."""

    def __init__(self, stacks: Stacks) -> None:
        self.url = f"http://127.0.0.1:{endpoints_of(stacks.sandbox).http}"

    def get(self, url: str) -> urllib3.BaseHTTPResponse:
        return urllib3.PoolManager().request(
            "GET", self.url + url.removeprefix(f"http://{MAILBOX_HOST}"), headers={"Host": MAILBOX_HOST}
        )

    def messages(self, sender: str) -> list[Any]:
        messages = json.loads(self.get("/messages.json").data)
        return [message for message in messages if message["sender"] == sender]


@pytest.fixture
def mailbox(stacks: Stacks) -> Mailbox:
    return Mailbox(stacks)


def create_topic(stacks: Stacks, name: str) -> str:
    """Create a stack with a topic and a subscription, and return the topic's ARN."""
    topic = {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": name}}
    properties = {"TopicArn": {"Ref": "Topic"}, "Protocol": "email", "Endpoint": ADDRESS}
    stack = stacks.name()
    stacks.create(
        stack, Resources={"Topic": topic, "Mail": {"Type": "AWS::SNS::Subscription", "Properties": properties}}
    )
    return stacks.physical_ids(stack)["Topic"]


def test_notification_arrives_only_after_confirmation(stacks: Stacks, mailbox: Mailbox) -> None:
    client, arn = stacks.clients.client("sns"), create_topic(stacks, "Confirmed alarms")
    client.publish(TopicArn=arn, Subject="lost", Message="before the confirmation")
    (request,) = mailbox.messages("Confirmed alarms")
    assert (request["to"], request["subject"]) == (ADDRESS, "AWS Notification - Subscription Confirmation")
    assert mailbox.get(request["confirmation"]).status == 200
    client.publish(TopicArn=arn, Subject="Reverted", Message="one change")
    newest = mailbox.messages("Confirmed alarms")[1:]
    assert [(message["subject"], message["body"]) for message in newest] == [("Reverted", "one change")]


def test_subscribe_call_requests_confirmation(stacks: Stacks, mailbox: Mailbox) -> None:
    client = stacks.clients.client("sns")
    arn = client.create_topic(Name="calls", Attributes={"DisplayName": "Calls"})["TopicArn"]
    client.subscribe(TopicArn=arn, Protocol="email", Endpoint=ADDRESS)
    client.subscribe(TopicArn=arn, Protocol="sqs", Endpoint="arn:aws:sqs:us-east-1:111111111111:queue")
    assert [message["body"].splitlines()[1] for message in mailbox.messages("Calls")] == [arn]


def test_invalid_token_does_not_confirm(stacks: Stacks, mailbox: Mailbox) -> None:
    client, arn = stacks.clients.client("sns"), create_topic(stacks, "Guessed")
    assert mailbox.get(f"/confirm?TopicArn={arn}&Token=guess").status == 400
    client.publish(TopicArn=arn, Message="text")
    assert len(mailbox.messages("Guessed")) == 1


def test_email_has_the_text_for_its_protocol(stacks: Stacks, mailbox: Mailbox) -> None:
    client, arn = stacks.clients.client("sns"), create_topic(stacks, "Structured")
    mailbox.get(mailbox.messages("Structured")[0]["confirmation"])
    client.publish(TopicArn=arn, Message='{"default": "for programs", "email": "for people"}', MessageStructure="json")
    client.publish(TopicArn=arn, Message='{"default": "for all"}', MessageStructure="json")
    assert [message["body"] for message in mailbox.messages("Structured")[1:]] == ["for people", "for all"]


def test_email_about_alarm_is_readable(stacks: Stacks, mailbox: Mailbox) -> None:
    cloudwatch, arn = stacks.clients.client("cloudwatch"), create_topic(stacks, "Readable alarms")
    mailbox.get(mailbox.messages("Readable alarms")[0]["confirmation"])
    cloudwatch.put_metric_alarm(
        AlarmName="Failures & more",
        AlarmDescription="Something failed.",
        AlarmActions=[arn],
        Namespace="AWS/Lambda",
        MetricName="Errors",
        Dimensions=[{"Name": "FunctionName", "Value": "worker"}],
        Statistic="Sum",
        Period=300,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
    )
    cloudwatch.set_alarm_state(AlarmName="Failures & more", StateValue="ALARM", StateReason="Tested")
    (email,) = mailbox.messages("Readable alarms")[1:]
    assert email["subject"] == 'ALARM: "Failures & more" in US East (N. Virginia)'
    lines = [" ".join(line.split()) for line in email["body"].splitlines()]
    assert lines[0].startswith(
        'You are receiving this email because your Amazon CloudWatch Alarm "Failures & more" in the US East '
        '(N. Virginia) region has entered the ALARM state, because "Tested" at "'
    )
    for line in (
        "Alarm Details:",
        "- Description: Something failed.",
        "- State Change: INSUFFICIENT_DATA -> ALARM",
        "- The alarm is in the ALARM state when the metric is GreaterThanOrEqualToThreshold 1.0 for at least 1 of the "
        "last 1 period(s) of 300 seconds.",
        "- Dimensions: [FunctionName = worker]",
        "- Statistic: Sum",
        f"- ALARM: [{arn}]",
    ):
        assert line in lines, email["body"]


def test_page_escapes_messages(stacks: Stacks, mailbox: Mailbox) -> None:
    client, arn = stacks.clients.client("sns"), create_topic(stacks, "Hostile")
    mailbox.get(mailbox.messages("Hostile")[0]["confirmation"])
    client.publish(TopicArn=arn, Subject="<b>x</b>", Message="<script>alert(1)</script>")
    page = mailbox.get("/").data.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script" not in page


def test_other_hosts_have_no_mailbox(mailbox: Mailbox) -> None:
    assert (
        urllib3.PoolManager().request("GET", f"{mailbox.url}/messages.json", headers={"Host": "example.com"}).status
        == 403
    )
