"""Facts about the security review of all templates; the second tool is run by `make audit`."""

import json
import re
from pathlib import Path
from typing import Any

import cfnlint
import pytest

from audit.assembly import templates
from audit.checkov import Finding, match_suppressions
from audit.deployment_policies import all_policies
from audit.wildcards import RESOURCE_POLICY_REASONS, Statement, statements, table

from .conftest import ROOT, Assembly

# Actions that could be limited to a resource, and are allowed on all.
ON_ALL = {
    "cloudfront:CreateInvalidation": "a Deny beside it leaves one distribution",
    "cloudfront:GetInvalidation": "a Deny beside it leaves one distribution",
    "cloudformation:GetTemplateSummary": "of a template in S3, which is not a stack",
}


@pytest.fixture(scope="module")
def found(assembly: Assembly, full_assembly: Assembly) -> list[Statement]:
    return statements(templates(assembly.directory, full_assembly.directory))


def test_every_wildcard_in_a_policy_has_a_reason(found: list[Statement]) -> None:
    without = [f"{s.stack} {s.construct} {s.text}" for s in found if not s.reason]
    assert not without, "no reason is given in the stack, or in audit/wildcards.py:\n" + "\n".join(without)


def test_every_reason_is_of_a_policy_that_is_there(found: list[Statement]) -> None:
    unused = RESOURCE_POLICY_REASONS.keys() - {statement.key for statement in found}
    assert not unused, f"audit/wildcards.py has reasons for what no template has: {unused}"


def test_actions_are_allowed_on_all_resources_only_where_iam_knows_no_resource(found: list[Statement]) -> None:
    """By the service authorization reference, which is part of cfn-lint."""
    reference = Path(cfnlint.__file__).parent / "data" / "AdditionalSpecs" / "Policies.json"
    services = json.loads(reference.read_text())
    limited = {}
    for action in {action for statement in found for action in statement.open_actions}:
        service, name = action.split(":")
        known = services[service]["Actions"].get(name.lower()) or {}
        if "Resources" in known:
            limited[action] = known["Resources"]
    assert limited.keys() == ON_ALL.keys(), f"can be limited to resources: {limited}"


def test_table_of_wildcards_in_the_documentation_is_current(found: list[Statement]) -> None:
    documented = (ROOT / "docs" / "security.md").read_text()
    assert table(found) in documented, "docs/security.md is not current: `make audit` writes it"


@pytest.fixture(scope="module")
def deployment_policies(assembly: Assembly, full_assembly: Assembly) -> dict[str, Any]:
    return all_policies(templates(assembly.directory, full_assembly.directory))


def test_deployment_policies_in_the_documentation_are_current(deployment_policies: dict[str, Any]) -> None:
    files = {file.name: json.loads(file.read_text()) for file in (ROOT / "docs" / "deployment_policies").iterdir()}
    assert files == deployment_policies, "docs/deployment_policies is not current: `python -m audit` writes it"


def test_deployment_policies_are_within_the_quota_of_a_managed_policy(deployment_policies: dict[str, Any]) -> None:
    lengths = {name: len(re.sub(r"\s", "", json.dumps(policy))) for name, policy in deployment_policies.items()}
    assert {name: length for name, length in lengths.items() if length > 6144} == {}


def test_deployment_policies_limit_iam_to_the_names_of_the_stack(deployment_policies: dict[str, Any]) -> None:
    for name, policy in deployment_policies.items():
        open_actions = [s["Action"] for s in policy["Statement"] if s["Resource"] == "*"]
        assert {a for actions in open_actions for a in actions if a.startswith("iam:")} <= {
            "iam:CreateServiceLinkedRole"
        }, name


def test_deployment_policies_cover_each_resource_that_a_stack_creates(deployment_policies: dict[str, Any]) -> None:
    """One action of each service whose resources a stack has: a type without a schema is an error while it is made."""
    allowed = {a for policy in deployment_policies.values() for s in policy["Statement"] for a in s["Action"]}
    created = {
        "cloudtrail:CreateTrail",
        "ec2:RunInstances",
        "kms:CreateKey",
        "lambda:CreateFunction",
        "sns:CreateTopic",
    }
    assert created <= allowed


def finding(check: str, resource: str, **cdk_nag: str) -> Finding:
    return Finding(check, "title", resource, cdk_nag)


def test_unmatched_findings_and_suppressions_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    suppressions = [
        {"check": "A", "reason": "so", "resources": ["S/One", "S/Gone"]},
        {"check": "B", "cdk_nag_rule": "S1"},
    ]
    monkeypatch.setattr("audit.checkov.tomllib.loads", lambda _: {"suppression": suppressions})
    here = [finding("A", "S/One"), finding("A", "S/New"), finding("B", "S/One"), finding("B", "S/Two", S1="because")]
    reasons, errors = match_suppressions(here)
    assert reasons == {here[0]: "so", here[3]: "because"}
    assert errors == [
        "not acknowledged: A (title) at S/New",
        "not acknowledged: B (title) at S/One",
        "no such finding: A at S/Gone",
    ]
