"""Alarms in the sandbox are evaluated by time, notify topics and send events."""

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox import Sandbox
from sandbox.cloudwatch.alarms import state_of
from sandbox.process import ACCOUNT
from sandbox.target import session, target_of

ALARM = {
    "MetricName": "Failures",
    "Namespace": "Test",
    "Statistic": "Sum",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 1.0,
    "ComparisonOperator": "GreaterThanOrEqualToThreshold",
}


@pytest.mark.parametrize(
    ("values", "wanted", "treatment", "state"),
    [
        ([1.0], None, "missing", "ALARM"),
        ([0.0], None, "missing", "OK"),
        ([None], None, "missing", "INSUFFICIENT_DATA"),
        ([None], None, "notBreaching", "OK"),
        ([None], None, "breaching", "ALARM"),
        ([None], None, "ignore", None),
        ([1.0, 0.0, 2.0], None, "missing", "OK"),
        ([1.0, 0.0, 2.0], 2, "missing", "ALARM"),
        ([1.0, None, None], 2, "breaching", "ALARM"),
        ([1.0, None, None], 2, "notBreaching", "OK"),
    ],
)
def test_state_follows_datapoints_and_missing_data(
    values: list[float | None], wanted: int | None, treatment: str, state: str | None
) -> None:
    alarm = ALARM | {"EvaluationPeriods": len(values), "DatapointsToAlarm": wanted, "TreatMissingData": treatment}
    assert state_of(alarm, values) == state


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(speed=120) as running:  # a period of 60 seconds takes half a second
        yield running


class Subscriber:
    """A queue that gets the messages of a topic and the events of a rule."""

    def __init__(self, sandbox: Sandbox, alarm: str) -> None:
        clients, name = session(sandbox), alarm
        self.sqs, events, sns = clients.client("sqs"), clients.client("events"), clients.client("sns")
        self.url = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}"
        services = {"Service": ["sns.amazonaws.com", "events.amazonaws.com"]}
        send = {"Effect": "Allow", "Principal": services, "Action": "sqs:SendMessage", "Resource": arn}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [send]})
        self.sqs.set_queue_attributes(QueueUrl=self.url, Attributes={"Policy": policy})
        self.topic = sns.create_topic(Name=name)["TopicArn"]
        sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
        pattern = {"detail-type": ["CloudWatch Alarm State Change"], "detail": {"alarmName": [alarm]}}
        events.put_rule(Name=name, EventPattern=json.dumps(pattern))
        events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": arn}])

    def receive(self, count: int, timeout: float = 20) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        end = time.time() + timeout
        while len(found) < count and time.time() < end:
            response = self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
            found += [json.loads(message["Body"]) for message in response.get("Messages", [])]
        return found


@pytest.mark.enable_socket
def test_alarm_goes_off_and_back_with_message_event_and_history(sandbox: Sandbox) -> None:
    cloudwatch, name = session(sandbox).client("cloudwatch"), f"alarm-{uuid.uuid4().hex[:8]}"
    subscriber = Subscriber(sandbox, name)
    dimensions = [{"Name": "Region", "Value": "here"}]
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        AlarmDescription="Something failed.",
        AlarmActions=[subscriber.topic],
        Dimensions=dimensions,
        TreatMissingData="notBreaching",
        **ALARM,
    )

    def history() -> list[tuple[str, str]]:
        items = cloudwatch.describe_alarm_history(AlarmName=name, HistoryItemType="StateUpdate")["AlarmHistoryItems"]
        data = [json.loads(item["HistoryData"]) for item in items]
        changes = [(d["oldState"]["stateValue"], d["newState"]["stateValue"]) for d in data]
        return sorted(change for change in changes if change[0] != change[1])

    target = target_of(sandbox)
    target.wait_until(history, "the alarm has been evaluated")
    datum = {"MetricName": "Failures", "Value": 3}
    cloudwatch.put_metric_data(Namespace="Test", MetricData=[datum])  # another metric: it has no dimensions
    time.sleep(1.5)
    assert history() == [("INSUFFICIENT_DATA", "OK")]
    cloudwatch.put_metric_data(Namespace="Test", MetricData=[datum | {"Dimensions": dimensions}])
    expected = [("ALARM", "OK"), ("INSUFFICIENT_DATA", "OK"), ("OK", "ALARM")]
    target.wait_until(lambda: history() == expected, "the alarm went off and back")

    received = subscriber.receive(4)
    (message,) = (item for item in received if "AlarmName" in item)  # OK has no action
    assert (message["NewStateValue"], message["OldStateValue"]) == ("ALARM", "OK")
    assert message["NewStateReason"].startswith("Threshold Crossed: 1 out of the last 1 datapoints [3.0 (")
    assert message["NewStateReason"].endswith(
        "was greater than or equal to the threshold (1.0) (minimum 1 datapoint for OK -> ALARM transition)."
    )
    assert message["Region"] == "US East (N. Virginia)"
    assert message["Trigger"]["Dimensions"] == [{"value": "here", "name": "Region"}]
    events = [item for item in received if item.get("source") == "aws.cloudwatch"]
    assert [event["detail"]["state"]["value"] for event in events] == ["OK", "ALARM", "OK"]
    metric = events[1]["detail"]["configuration"]["metrics"][0]["metricStat"]["metric"]
    assert metric == {"namespace": "Test", "name": "Failures", "dimensions": {"Region": "here"}}
    assert events[1]["detail"]["previousState"]["value"] == "OK"
    (alarm,) = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    assert alarm["StateValue"] == "OK"
    assert (
        "no datapoints were received for 1 period and 1 missing datapoint was treated as [NonBreaching]"
        in (alarm["StateReason"])
    )
