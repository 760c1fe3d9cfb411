"""Undo what the record shows."""

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import boto3

from .. import guard
from ..record import RecordTable
from ..release import Releaser
from . import RETRIES

if TYPE_CHECKING:
    from types_boto3_autoscaling import AutoScalingClient
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_ec2 import EC2Client
    from types_boto3_iam import IAMClient
    from types_boto3_rds import RDSClient

AUTOSCALING: "AutoScalingClient" = boto3.client("autoscaling", config=RETRIES)
DYNAMODB: "DynamoDBClient" = boto3.client("dynamodb", config=RETRIES)
EC2: "EC2Client" = boto3.client("ec2", config=RETRIES)
IAM: "IAMClient" = boto3.client("iam", config=RETRIES)
RDS: "RDSClient" = boto3.client("rds", config=RETRIES)


def handler(event: guard.ReleaseEvent, _context: object) -> guard.Released:
    """Return the results, and how many items are closed and open."""
    releaser = Releaser(IAM, EC2, AUTOSCALING, RDS, os.environ["DENY_POLICY_ARN"])
    table = RecordTable(DYNAMODB, os.environ["RECORD_TABLE"])
    return guard.release(table, releaser, event, datetime.now(UTC))
