"""Entry point: an "AWS API Call via CloudTrail" event, or the scheduled sweep.

The clients are botocore's, which boto3 also returns: importing boto3 imports its S3 transfer manager as well, which
takes longer than compiling and importing this package.
"""

import json
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import botocore.session
from botocore.config import Config

from .approved import guarded_groups
from .break_glass import BreakGlass
from .events import Event
from .respond import Responder
from .state import StateTable

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_ec2 import EC2Client
    from types_boto3_events import EventBridgeClient
    from types_boto3_sns import SNSClient

RETRIES = Config(retries={"mode": "standard", "max_attempts": 6}, connect_timeout=3, read_timeout=10)
# Short, so that an unavailable table does not delay a revert.
STATE_TIMEOUTS = Config(retries={"mode": "standard", "max_attempts": 2}, connect_timeout=1, read_timeout=2)
SESSION = botocore.session.get_session()
EC2 = cast("EC2Client", SESSION.create_client("ec2", config=RETRIES))
DYNAMODB = cast("DynamoDBClient", SESSION.create_client("dynamodb", config=STATE_TIMEOUTS))
SNS = cast("SNSClient", SESSION.create_client("sns", config=RETRIES))
EVENTS = cast("EventBridgeClient", SESSION.create_client("events", config=RETRIES))
# Read once, not for each event. A deployment of other rules replaces the package.
GROUPS = guarded_groups(json.loads(Path(__file__).with_name("approved.json").read_text()), os.environ)


class Context(Protocol):
    """The attributes of Lambda's context object that the handler uses."""

    invoked_function_arn: str


def handler(event: Event, context: Context) -> None:
    """Revert the change in the event or, for a scheduled event, check all guarded groups."""
    logging.getLogger(__package__).setLevel(os.environ["LOG_LEVEL"])
    responder = Responder(
        ec2=EC2,
        sns=SNS,
        events=EVENTS,
        table=StateTable(DYNAMODB, os.environ["STATE_TABLE"], int(os.environ["REVERT_WINDOW_HOURS"]) * 3600),
        topic_arn=os.environ["TOPIC_ARN"],
        account=context.invoked_function_arn.split(":")[4],
        restore=os.environ["RESTORE"] == "true",
        change_rules=os.environ["MODE"] == "revert",
        max_reverts=int(os.environ["MAX_REVERTS"]),
        break_glass=BreakGlass(
            json.loads(os.environ["BREAK_GLASS_PRINCIPALS"]), int(os.environ["BREAK_GLASS_MINUTES"]) * 60
        ),
    )
    responder.respond(event, GROUPS)
