"""Receive the notifications of an SNS topic."""

import json
import time
from contextlib import ExitStack

from .walkthrough import Target


def subscribe_queue(target: Target, topic_arn: str, cleanup: ExitStack, *, name: str) -> str:
    """Create a queue whose name starts with `name`, subscribe it to the topic, and return its URL.

    `cleanup` deletes both.
    """
    sqs, sns = target.client("sqs"), target.client("sns")
    queue_url: str = sqs.create_queue(QueueName=f"{name}-{int(time.time())}")["QueueUrl"]
    cleanup.callback(sqs.delete_queue, QueueUrl=queue_url)
    attributes = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])
    queue_arn = attributes["Attributes"]["QueueArn"]
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic_arn}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=queue_url, Attributes={"Policy": policy})
    subscription = sns.subscribe(TopicArn=topic_arn, Protocol="sqs", Endpoint=queue_arn, ReturnSubscriptionArn=True)
    cleanup.callback(sns.unsubscribe, SubscriptionArn=subscription["SubscriptionArn"])
    return queue_url
