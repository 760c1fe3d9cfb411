"""Check the budget after a message of Budgets or an alarm, or for the schedule."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import boto3

from .. import guard
from ..options import Options
from ..record import RecordTable
from . import BUDGETS_REGION, RETRIES, Context, account_of

if TYPE_CHECKING:
    from types_boto3_budgets import BudgetsClient
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_stepfunctions import SFNClient

BUDGETS: "BudgetsClient" = boto3.client("budgets", region_name=BUDGETS_REGION, config=RETRIES)
DYNAMODB: "DynamoDBClient" = boto3.client("dynamodb", config=RETRIES)
STEP_FUNCTIONS: "SFNClient" = boto3.client("stepfunctions", config=RETRIES)


def handler(event: Mapping[str, object], context: Context) -> str:
    """Return the name of the execution that is started, or an empty text."""
    table = RecordTable(DYNAMODB, os.environ["RECORD_TABLE"])
    is_scheduled = event.get("detail-type") == "Scheduled Event"
    return guard.check(
        guard.Budget(BUDGETS, account_of(context), os.environ["BUDGET_NAME"], table),
        Options.load(),
        STEP_FUNCTIONS,
        os.environ["GUARD_ARN"],
        datetime.now(UTC),
        str(event["id"]) if is_scheduled else "",
    )
