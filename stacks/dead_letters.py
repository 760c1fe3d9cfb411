"""Where events go that could not be handled."""

from aws_cdk import Duration, Stack, aws_sqs as sqs

from .acknowledgments import acknowledge


def dead_letter_queue(stack: Stack) -> sqs.Queue:
    """Make the dead-letter queue of a stack; it keeps events for as long as SQS can."""
    queue = sqs.Queue(
        stack,
        "DeadLetters",
        encryption=sqs.QueueEncryption.SQS_MANAGED,
        enforce_ssl=True,
        retention_period=Duration.days(14),
    )
    acknowledge(queue, {"AwsSolutions-SQS3": "This queue is the dead-letter queue."})
    return queue
