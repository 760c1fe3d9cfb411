"""Stop the instances, groups and databases of the actions."""

from typing import TYPE_CHECKING

import boto3

from ..enforce import Stopper
from ..plan import Action, ActionsEvent
from ..record import Result
from . import RETRIES

if TYPE_CHECKING:
    from types_boto3_autoscaling import AutoScalingClient
    from types_boto3_ec2 import EC2Client
    from types_boto3_rds import RDSClient

AUTOSCALING: "AutoScalingClient" = boto3.client("autoscaling", config=RETRIES)
EC2: "EC2Client" = boto3.client("ec2", config=RETRIES)
RDS: "RDSClient" = boto3.client("rds", config=RETRIES)


def handler(event: ActionsEvent, _context: object) -> list[Result]:
    """Return the results."""
    return Stopper(EC2, AUTOSCALING, RDS).stop(Action(**action) for action in event["actions"])
