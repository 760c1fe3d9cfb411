"""Grants used by walkthroughs: from the sandbox's record to the policies and tables in docs/."""

import json
from typing import Any

import pytest

from audit.grants import Grant, generalize, reasons, stack_names, stack_of, walkthrough_policy
from sandbox.iam.actions import has_action
from walkthroughs.catalog import WALKTHROUGHS

from .conftest import ROOT

ACCOUNT = "111111111111"
ROLE = "SecurityGroupRevert-FunctionRole111A5701-1A1CCE58220CA"
TABLE = f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/State"
MAX_CHARACTERS = 6144  # of a managed policy, white space not counted (IAM and AWS STS quotas)


def decision(action: str, resource: str = TABLE, **changes: str) -> dict[str, Any]:
    principal = f"arn:aws:iam::{ACCOUNT}:role/{ROLE}"
    return {"principal": principal, "action": action, "resource": resource, "decision": "ALLOWED", **changes}


def test_grant_is_used_by_allowed_requests_of_its_role_only() -> None:
    grant = Grant("SecurityGroupRevert", ROLE, "Policy", 0, "dynamodb:Put*", (TABLE,))
    assert grant.uses(decision("dynamodb:PutItem"))
    assert not grant.uses(decision("dynamodb:Query"))
    assert not grant.uses(decision("dynamodb:PutItem", f"{TABLE}2"))
    assert not grant.uses(decision("dynamodb:PutItem", principal=f"arn:aws:iam::{ACCOUNT}:role/Other"))
    assert not grant.uses(decision("dynamodb:PutItem", decision="IMPLICITLY_DENIED"))


def test_construct_has_no_generated_parts() -> None:
    assert Grant("SecurityGroupRevert", ROLE, "", 0, "", ()).construct == "SecurityGroupRevert/FunctionRole"
    role = "MultiRegionApi-us-east-1-HealthRole64BB80D1-9674F9C9DC886"
    assert stack_of(role, ("MultiRegionApi-us-east-1", "MultiRegionApi-us-west-2")) == "MultiRegionApi-us-east-1"
    assert Grant("MultiRegionApi-us-east-1", role, "", 0, "", ()).construct == "MultiRegionApi/HealthRole"


@pytest.mark.parametrize(
    ("resource", "general"),
    [
        (f"arn:aws:sqs:us-east-1:{ACCOUNT}:notifications-1795685398", "arn:aws:sqs:*:*:notifications-*"),
        ("arn:aws:s3:::staticsite-sitee53d7754-ccbcbdd46da70", "arn:aws:s3:::staticsite-sitee53d7754-*"),
        ("arn:aws:s3:::site-ccbcbdd46da70/a/b.html", "arn:aws:s3:::site-*/*"),
        (f"arn:aws:ec2:us-east-1:{ACCOUNT}:security-group/sg-4df244de89494b642", "arn:aws:ec2:*:*:security-group/sg-*"),
        (f"arn:aws:cloudfront::{ACCOUNT}:distribution/E123", "arn:aws:cloudfront::*:distribution/*"),
        (f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:f-1A1CCE58220CA:7", "arn:aws:lambda:*:*:function:f-*:*"),
        (f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:f-1A1CCE58220CA:live", "arn:aws:lambda:*:*:function:f-*:live"),
        (
            f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:Stack-Log05E39BEF-1A1CCE58220CA:*",
            "arn:aws:logs:*:*:log-group:Stack-Log05E39BEF-*:*",
        ),
        ("*", "*"),
    ],
)
def test_generated_parts_of_arns_become_wildcards(resource: str, general: str) -> None:
    assert generalize(resource) == general


def test_policy_has_only_allowed_requests_of_the_caller() -> None:
    user = f"arn:aws:iam::{ACCOUNT}:user/sandbox-user"
    records = [
        decision("dynamodb:Query", principal=user),
        decision("dynamodb:Scan", principal=user, decision="IMPLICITLY_DENIED"),
        decision("dynamodb:PutItem"),
    ]
    statement = {"Effect": "Allow", "Action": ["dynamodb:Query"], "Resource": ["arn:aws:dynamodb:*:*:table/State"]}
    assert walkthrough_policy(records)["Statement"] == [statement]


@pytest.mark.parametrize("system", WALKTHROUGHS)
def test_documented_policy_is_valid(system: str) -> None:
    policy = json.loads((ROOT / "docs" / "walkthrough_policies" / f"{system}.json").read_text())
    assert len(json.dumps(policy, separators=(",", ":"))) <= MAX_CHARACTERS
    actions = {action for statement in policy["Statement"] for action in statement["Action"]}
    unknown = {action for action in actions if not has_action(action.removesuffix("*")) and not action.endswith("*")}
    assert not unknown, f"IAM has no action {unknown}"


def test_documented_unused_grants_have_reasons() -> None:
    table = (ROOT / "docs" / "security.md").read_text().partition("<!-- unused grants -->")[2].partition("<!--")[0]
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ") and not line.startswith("| role")]
    assert rows
    for role, actions, reason in rows:
        for action in actions.replace("`", "").split(", "):
            assert reasons()[role.removeprefix("| "), action] == reason.removesuffix(" |")


def test_stack_names_have_the_regions_of_the_walkthrough() -> None:
    names = stack_names("multi_region_api")
    assert {"MultiRegionApi-us-east-1", "MultiRegionApi-us-west-2"} <= {*names}
    assert stack_of("MultiRegionApi-us-west-2-DrainRole1234ABCD", names) == "MultiRegionApi-us-west-2"
    assert stack_names("static_site") == ("StaticSite",)
