"""Functions and a queue through which people decide about unsafe changes."""

from aws_cdk import (
    Duration,
    aws_kms as kms,
    aws_lambda as lambda_,
    aws_lambda_event_sources as event_sources,
    aws_s3 as s3,
    aws_sqs as sqs,
)
from constructs import Construct

from ..constructs.alarm_topic import AlarmTopic
from ..constructs.dead_letter_queue import DeadLetterQueue
from ..constructs.grants import grant
from ..constructs.standard_function import StandardFunction

APPROVALS = "approvals/"  # in the bucket: the task token of each execution that has requested approval
FUNCTION_TIMEOUT = 30  # seconds
MAX_RECEIVE_COUNT = 5


class Approval(Construct):
    """A function that requests approval, the queue of the decisions, and a function that passes them on.

    Whoever may send messages to the queue may decide.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        code: lambda_.AssetCode,
        log_level: str,
        inputs: s3.Bucket,
        key: kms.Key,
        topic: AlarmTopic,
        dead_letters: DeadLetterQueue,
    ) -> None:
        super().__init__(scope, construct_id)
        self.queue = sqs.Queue(
            self,
            "Decisions",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            visibility_timeout=Duration.seconds(6 * FUNCTION_TIMEOUT),  # as Lambda recommends
            dead_letter_queue=sqs.DeadLetterQueue(queue=dead_letters, max_receive_count=MAX_RECEIVE_COUNT),
        )
        environment = {"BUCKET": inputs.bucket_name, "TOPIC_ARN": topic.topic_arn, "LOG_LEVEL": log_level}
        self.request = StandardFunction(
            self,
            "Request",
            code=code,
            handler="deploy_pipeline.approval_handler.request",
            description="Requests approval of unsafe changes",
            environment=environment | {"QUEUE_URL": self.queue.queue_url},
            timeout_seconds=FUNCTION_TIMEOUT,
        )
        decide = StandardFunction(
            self,
            "Decide",
            code=code,
            handler="deploy_pipeline.approval_handler.decide",
            description="Passes a decision to the execution that waits for it",
            environment=environment,
            timeout_seconds=FUNCTION_TIMEOUT,
        )
        decide.add_event_source(event_sources.SqsEventSource(self.queue, batch_size=1))
        tokens = inputs.arn_for_objects(f"{APPROVALS}*")
        for function, action in ((self.request, "s3:PutObject"), (decide, "s3:GetObject")):
            grant(function, [action], tokens, wildcard_reason="Each execution has a separate task token.")
            grant(function, ["sns:Publish"], topic.topic_arn)
            grant(function, ["kms:Decrypt", "kms:GenerateDataKey"], key.key_arn, topic.key.key_arn)
        grant(
            decide,
            ["states:SendTaskSuccess"],
            "*",
            wildcard_reason="SendTaskSuccess has no resource-level permissions; the task token selects the execution.",
        )
