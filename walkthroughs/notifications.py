"""Receive the notifications of an SNS topic, and EventBridge events."""

import json
import time
from contextlib import ExitStack
from typing import Any

from .walkthrough import Target


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
