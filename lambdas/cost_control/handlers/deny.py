"""Attach the deny policy to the groups and roles of the actions."""

import os
from typing import TYPE_CHECKING

import boto3

from ..enforce import Denier
from ..inventory import group_members, with_members
from ..options import Options
from ..plan import DENY_GROUP, Action, ActionsEvent
from ..principals import group_problem, role_problem
from ..record import Result
from . import RETRIES

if TYPE_CHECKING:
    from types_boto3_iam import IAMClient

IAM: "IAMClient" = boto3.client("iam", config=RETRIES)


def handler(event: ActionsEvent, _context: object) -> list[Result]:
    """Return the results."""
    options = Options.load()

    def refuse(action: Action) -> str:
        """Check the principal again: a group can have new members since the plan."""
        if action.kind == DENY_GROUP:
            exempt = with_members(IAM, options.exempt_principals)
            return group_problem(action.name, exempt, group_members(IAM, action.name))
        return role_problem(action.name, os.environ["STACK_NAME"], options.exempt_principals)

    actions = [Action(**action) for action in event["actions"]]
    return Denier(IAM, os.environ["DENY_POLICY_ARN"], refuse).deny(actions)
