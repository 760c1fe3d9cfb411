"""Roles that walkthroughs create: only the caller can assume them."""

import json
from contextlib import ExitStack
from typing import Any
from unittest.mock import MagicMock

import pytest

from walkthroughs.project_team import ProjectTeam
from walkthroughs.security_group_break_glass import create_role

CALLER = "arn:aws:sts::111111111111:assumed-role/Developer/alice"


@pytest.fixture
def target() -> MagicMock:
    """A target whose clients accept every call."""
    clients: dict[str, MagicMock] = {}
    fake = MagicMock()
    fake.client.side_effect = lambda name, **_: clients.setdefault(name, MagicMock())
    fake.client("sts").get_caller_identity.return_value = {"Arn": CALLER, "Account": "111111111111"}
    fake.client("ec2").meta.region_name = "us-east-1"
    return fake


def trusted(target: MagicMock) -> Any:
    """Return the principal in the trust policy of the role that was created."""
    (call,) = target.client("iam").create_role.call_args_list
    statements = json.loads(call.kwargs["AssumeRolePolicyDocument"])["Statement"]
    (statement,) = statements if isinstance(statements, list) else [statements]
    return statement["Principal"]


def test_break_glass_role_trusts_only_the_caller(target: MagicMock) -> None:
    create_role(target, "sg-0123456789abcdef0", ExitStack())
    assert trusted(target) == {"AWS": CALLER}


def test_role_of_the_project_trusts_only_the_caller(target: MagicMock) -> None:
    ProjectTeam(target, ExitStack())
    assert trusted(target) == {"AWS": CALLER}
