"""Plan what has to be done."""

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import boto3

from .. import guard
from ..inventory import Inventory
from ..options import Options
from ..plan import EmptyPlan, PlanJson
from ..record import RecordTable
from . import BUDGETS_REGION, RETRIES, Context, account_of

if TYPE_CHECKING:
    from types_boto3_autoscaling import AutoScalingClient
    from types_boto3_budgets import BudgetsClient
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_ec2 import EC2Client
    from types_boto3_iam import IAMClient
    from types_boto3_rds import RDSClient

BUDGETS: "BudgetsClient" = boto3.client("budgets", region_name=BUDGETS_REGION, config=RETRIES)
AUTOSCALING: "AutoScalingClient" = boto3.client("autoscaling", config=RETRIES)
DYNAMODB: "DynamoDBClient" = boto3.client("dynamodb", config=RETRIES)
EC2: "EC2Client" = boto3.client("ec2", config=RETRIES)
IAM: "IAMClient" = boto3.client("iam", config=RETRIES)
RDS: "RDSClient" = boto3.client("rds", config=RETRIES)


def handler(_event: object, context: Context) -> PlanJson | EmptyPlan:
    """Return the plan."""
    options, table = Options.load(), RecordTable(DYNAMODB, os.environ["RECORD_TABLE"])
    budget = guard.Budget(BUDGETS, account_of(context), os.environ["BUDGET_NAME"], table)
    inventory = Inventory(IAM, EC2, AUTOSCALING, RDS, options, os.environ["DENY_POLICY_ARN"], os.environ["STACK_NAME"])
    return guard.decide(budget, options, inventory, datetime.now(UTC))
