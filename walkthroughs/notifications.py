"""Receive the notifications of an SNS topic, and EventBridge events."""

import json
import time
from contextlib import ExitStack
from typing import Any

from .walkthrough import Target


class NotificationQueue:
    """A queue that is subscribed to a topic, and the notifications that it has received.

    Host names and addresses are as before `lambdas/mail_text.py` prevented links. `cleanup` deletes the queue.
    """

    def __init__(self, target: Target, topic_arn: str, cleanup: ExitStack, *, name: str) -> None:
        self.target, self.sqs = target, target.client("sqs")
        self.url = subscribe_queue(target, topic_arn, cleanup, name=name)
        self.received: list[dict[str, str]] = []

    def receive(self) -> list[dict[str, str]]:
        """Receive all notifications in the queue, and return all since the last `wait_for`."""
        while messages := self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                self.received.append(json.loads(message["Body"].replace("[.]", ".").replace("[@]", "@")))
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        return self.received

    def wait_for(self, *texts: str, field: str = "Message") -> dict[str, str]:
        """Wait for a notification with all `texts` in a field, and discard all others received until then."""

        def find() -> dict[str, str] | None:
            return next((n for n in self.receive() if all(text in n.get(field, "") for text in texts)), None)

        description = " and ".join(map(repr, filter(None, texts)))
        notification = self.target.wait_until(find, f"a notification with {description}")
        self.received.clear()
        return notification


def subscribe_queue(target: Target, topic_arn: str, cleanup: ExitStack, *, name: str) -> str:
    """Create a queue whose name starts with `name`, subscribe it to the topic, and return its URL.

    `cleanup` deletes both.
    """
    queue_url, queue_arn = _create_queue(target, cleanup, name, service="sns.amazonaws.com", source_arn=topic_arn)
    sns = target.client("sns")
    subscription = sns.subscribe(TopicArn=topic_arn, Protocol="sqs", Endpoint=queue_arn, ReturnSubscriptionArn=True)
    cleanup.callback(sns.unsubscribe, SubscriptionArn=subscription["SubscriptionArn"])
    return queue_url


def receive_events(target: Target, pattern: dict[str, Any], cleanup: ExitStack, *, name: str) -> str:
    """Create a queue that receives events from the default event bus, and return its URL.

    The names of the queue and of the rule start with `name`. `cleanup` deletes both.
    """
    events, rule = target.client("events"), f"{name}-{int(time.time())}"
    rule_arn = events.put_rule(Name=rule, EventPattern=json.dumps(pattern))["RuleArn"]
    cleanup.callback(events.delete_rule, Name=rule)
    queue_url, queue_arn = _create_queue(target, cleanup, name, service="events.amazonaws.com", source_arn=rule_arn)
    events.put_targets(Rule=rule, Targets=[{"Id": "queue", "Arn": queue_arn}])
    cleanup.callback(events.remove_targets, Rule=rule, Ids=["queue"])
    return queue_url


def _create_queue(target: Target, cleanup: ExitStack, name: str, *, service: str, source_arn: str) -> tuple[str, str]:
    """Create a queue to which `service` can send messages from one source; return its URL and ARN."""
    sqs = target.client("sqs")
    queue_url: str = sqs.create_queue(QueueName=f"{name}-{int(time.time())}")["QueueUrl"]
    cleanup.callback(sqs.delete_queue, QueueUrl=queue_url)
    attributes = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])
    queue_arn: str = attributes["Attributes"]["QueueArn"]
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": source_arn}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=queue_url, Attributes={"Policy": policy})
    return queue_url, queue_arn
