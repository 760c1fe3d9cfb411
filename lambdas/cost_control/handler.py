"""Entry points of the functions. They read the environment and the options, and call one function each."""

import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

import boto3
from botocore.config import Config

from . import guard
from .enforce import Denier, Stopper
from .inventory import Inventory, group_members, with_members
from .options import Options
from .plan import DENY_GROUP, Action
from .principals import group_problem, role_problem
from .record import RecordTable, Result
from .release import Releaser

RETRIES = Config(retries={"mode": "standard", "max_attempts": 8}, connect_timeout=3, read_timeout=20)
BUDGETS_REGION = "us-east-1"  # Budgets is global, with one endpoint
BUDGETS = boto3.client("budgets", region_name=BUDGETS_REGION, config=RETRIES)
AUTOSCALING = boto3.client("autoscaling", config=RETRIES)
DYNAMODB = boto3.client("dynamodb", config=RETRIES)
EC2 = boto3.client("ec2", config=RETRIES)
IAM = boto3.client("iam", config=RETRIES)
RDS = boto3.client("rds", config=RETRIES)
SNS = boto3.client("sns", config=RETRIES)
STEP_FUNCTIONS = boto3.client("stepfunctions", config=RETRIES)
logging.getLogger(__package__).setLevel("INFO")


class Context(Protocol):
    """The attributes of Lambda's context object that the handlers use."""

    invoked_function_arn: str


def receive(event: Mapping[str, Any], context: Context) -> str:
    """Check the budget after a message of Budgets or an alarm, or for the schedule."""
    is_scheduled = event.get("detail-type") == "Scheduled Event"
    return guard.check(
        _budget(context),
        Options.load(),
        STEP_FUNCTIONS,
        os.environ["GUARD_ARN"],
        datetime.now(UTC),
        is_scheduled=is_scheduled,
    )


def decide(_event: object, context: Context) -> dict[str, Any]:
    """Return the plan."""
    options = Options.load()
    inventory = Inventory(IAM, EC2, AUTOSCALING, RDS, options, os.environ["DENY_POLICY_ARN"], os.environ["STACK_NAME"])
    return guard.decide(_budget(context), options, inventory, datetime.now(UTC))


def record(event: Mapping[str, Any], _context: object) -> dict[str, Any] | None:
    """Write the actions of a plan before they are done, or the results afterwards."""
    if "actions" in event:
        return guard.claim(_table(), event, datetime.now(UTC))
    guard.finish(_table(), {**event, "results": event["denied"] + event["stopped"]}, datetime.now(UTC))
    return None


def deny(event: Mapping[str, Any], _context: object) -> list[Result]:
    """Attach the deny policy to the groups and roles of the actions."""
    options = Options.load()

    def refuse(action: Action) -> str:
        """Check the principal again: a group can have new members since the plan."""
        if action.kind == DENY_GROUP:
            exempt = with_members(IAM, options.exempt_principals)
            return group_problem(action.name, exempt, group_members(IAM, action.name))
        return role_problem(action.name, os.environ["STACK_NAME"], options.exempt_principals)

    return Denier(IAM, os.environ["DENY_POLICY_ARN"], refuse).deny(_actions(event))


def stop(event: Mapping[str, Any], _context: object) -> list[Result]:
    """Stop the instances, groups and databases of the actions."""
    return Stopper(EC2, AUTOSCALING, RDS).stop(_actions(event))


def release(event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """Undo what the record shows."""
    releaser = Releaser(IAM, EC2, AUTOSCALING, RDS, os.environ["DENY_POLICY_ARN"])
    return guard.release(_table(), releaser, event, datetime.now(UTC))


def notify(event: Mapping[str, Any], _context: object) -> bool:
    """Publish what a check or a release has done."""
    notifier = guard.Notifier(SNS, os.environ["TOPIC_ARN"], Options.load().project, _table())
    if "released" in event:
        return notifier.notify_release(event)
    results = event["denied"] + event["stopped"]
    return notifier.notify_guard(event, results, _actions(event), datetime.now(UTC))


def _actions(event: Mapping[str, Any]) -> list[Action]:
    return [Action(**action) for action in event["actions"]]


def _budget(context: Context) -> guard.Budget:
    account = context.invoked_function_arn.split(":")[4]
    return guard.Budget(BUDGETS, account, os.environ["BUDGET_NAME"], _table())


def _table() -> RecordTable:
    return RecordTable(DYNAMODB, os.environ["RECORD_TABLE"])
