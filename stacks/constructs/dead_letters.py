"""Where events go that could not be handled."""

from aws_cdk import Duration, aws_sqs as sqs
from constructs import Construct

from .acknowledgments import acknowledge


def dead_letter_queue(scope: Construct) -> sqs.Queue:
    """Make the dead-letter queue of a stack, or of a part of it; it keeps events for as long as SQS can."""
    queue = sqs.Queue(
        scope,
        "DeadLetters",
        encryption=sqs.QueueEncryption.SQS_MANAGED,
        enforce_ssl=True,
        retention_period=Duration.days(14),
    )
    acknowledge(queue, {"AwsSolutions-SQS3": "This queue is the dead-letter queue."})
    return queue
