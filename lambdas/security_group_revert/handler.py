"""Entry point: an "AWS API Call via CloudTrail" event, or the scheduled sweep."""

import json
import os
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from .respond import Responder, guarded_groups

RETRIES = Config(retries={"mode": "standard", "max_attempts": 6}, connect_timeout=3, read_timeout=10)
EC2 = boto3.client("ec2", config=RETRIES)
SNS = boto3.client("sns", config=RETRIES)


def handler(event: dict[str, Any], context: Any) -> None:
    """Revert what the event tells of, or with a scheduled event look at every guarded group."""
    approved = json.loads(Path(__file__).with_name("approved.json").read_text())
    responder = Responder(
        ec2=EC2,
        sns=SNS,
        topic_arn=os.environ["TOPIC_ARN"],
        account=context.invoked_function_arn.split(":")[4],
        restore=os.environ["RESTORE"] == "true",
        change_rules=os.environ["MODE"] == "revert",
    )
    responder.respond(event, guarded_groups(approved, os.environ))
