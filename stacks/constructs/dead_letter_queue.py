"""A queue for events that could not be processed."""

from aws_cdk import Duration, aws_cloudwatch as cloudwatch, aws_sqs as sqs
from constructs import Construct

from .acknowledgments import acknowledge

MAX_RETENTION_DAYS = 14  # SQS quota


class DeadLetterQueue(sqs.Queue):
    """An encrypted queue with the longest message retention that SQS supports."""

    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(
            scope,
            construct_id,
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(MAX_RETENTION_DAYS),
        )
        acknowledge(self, {"AwsSolutions-SQS3": "This queue is the dead-letter queue."})

    def metric_messages(self) -> cloudwatch.Metric:
        """Return the number of messages in the queue."""
        return self.metric_approximate_number_of_messages_visible(period=Duration.minutes(5))
