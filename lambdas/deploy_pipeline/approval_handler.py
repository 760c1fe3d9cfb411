"""Entry points: the state Request Approval, and a message with a decision."""

import logging
import os
from datetime import UTC, datetime

import boto3
from botocore.config import Config

from .approval import Decisions, Notifications, request_approval
from .events import ApprovalEvent, DecisionEvent

RETRIES = Config(retries={"mode": "standard", "max_attempts": 6}, connect_timeout=3, read_timeout=10)
S3 = boto3.client("s3", config=RETRIES)
SNS = boto3.client("sns", config=RETRIES)
STEP_FUNCTIONS = boto3.client("stepfunctions", config=RETRIES)
logger = logging.getLogger(__name__)
logging.getLogger(__package__).setLevel(os.environ.get("LOG_LEVEL", "INFO"))


def request(event: ApprovalEvent, _context: object) -> None:
    """Ask for a decision; the state machine waits until `decide` has received it."""
    request_approval(
        S3,
        Notifications(SNS, os.environ["TOPIC_ARN"]),
        event,
        bucket=os.environ["BUCKET"],
        queue_url=os.environ["QUEUE_URL"],
        now=datetime.now(UTC),
    )
    logger.info("Requested approval", extra={"execution": event["execution"], "change_set_id": event["changeSetId"]})


def decide(event: DecisionEvent, _context: object) -> None:
    """Pass a decision to the execution that waits for it."""
    decisions = Decisions(S3, STEP_FUNCTIONS, Notifications(SNS, os.environ["TOPIC_ARN"]), os.environ["BUCKET"])
    for record in event["Records"]:
        output = decisions.handle(record)
        status = ("approved" if output["approved"] else "declined") if output else "no effect"
        logger.info("Received a decision", extra={"sender": record["attributes"]["SenderId"], "status": status})
