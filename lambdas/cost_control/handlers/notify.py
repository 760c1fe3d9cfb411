"""Publish what a check or a release has done."""

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import boto3

from .. import guard
from ..notification_text import ReleaseResults
from ..options import Options
from ..plan import Action
from ..record import RecordTable
from . import RETRIES

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_sns import SNSClient

DYNAMODB: "DynamoDBClient" = boto3.client("dynamodb", config=RETRIES)
SNS: "SNSClient" = boto3.client("sns", config=RETRIES)


def handler(event: guard.GuardResults | ReleaseResults, _context: object) -> bool:
    """Return whether there was anything to report."""
    table = RecordTable(DYNAMODB, os.environ["RECORD_TABLE"])
    notifier = guard.Notifier(SNS, os.environ["TOPIC_ARN"], Options.load().project, table)
    if "released" in event:
        return notifier.notify_release(event)
    actions = [Action(**action) for action in event["actions"]]
    return notifier.notify_guard(event, event["denied"] + event["stopped"], actions, datetime.now(UTC))
