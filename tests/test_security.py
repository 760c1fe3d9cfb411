"""Security review of all templates; `make audit` also runs Checkov."""

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

# Actions that support resources, but are allowed on all.
ALLOWED_ON_ALL = {
    "cloudfront:CreateInvalidation": "a Deny limits it to one distribution",
    "cloudfront:GetInvalidation": "a Deny limits it to one distribution",
    "cloudwatch:GetMetricData": "the metrics of AWS services are in no dataset",
    "cloudformation:GetTemplateSummary": "a template in S3 is not a stack",
}


@pytest.fixture(scope="module")
def all_statements(assembly: Assembly, full_assembly: Assembly) -> list[Statement]:
    return statements(templates(assembly.directory, full_assembly.directory))


def test_every_wildcard_in_a_policy_has_a_reason(all_statements: list[Statement]) -> None:
    without = [f"{s.stack} {s.construct}: {s.effect} {s.actions}" for s in all_statements if not s.reason]
    assert not without, "no reason in the stack or in audit/wildcards.py:\n" + "\n".join(without)


def test_wildcard_reasons_are_all_used(all_statements: list[Statement]) -> None:
    unused = RESOURCE_POLICY_REASONS.keys() - {statement.key for statement in all_statements}
    assert not unused, f"reasons in audit/wildcards.py that no template needs: {unused}"


def test_action_on_every_resource_supports_no_resource(all_statements: list[Statement]) -> None:
    """According to the service authorization reference in cfn-lint."""
    reference = Path(cfnlint.__file__).parent / "data" / "AdditionalSpecs" / "Policies.json"
    services = json.loads(reference.read_text())
    limited = {}
    for action in {action for statement in all_statements for action in statement.open_actions}:
        service, name = action.split(":")
        known = services[service]["Actions"].get(name.lower()) or {}
        if "Resources" in known:
            limited[action] = known["Resources"]
    assert limited.keys() == ALLOWED_ON_ALL.keys(), f"can be limited to resources: {limited}"


def test_documented_wildcards_are_current(all_statements: list[Statement]) -> None:
    documented = (ROOT / "docs" / "security.md").read_text()
    assert table(all_statements) in documented, "docs/security.md is out of date: make docs"


@pytest.fixture(scope="module")
def deployment_policies(assembly: Assembly, full_assembly: Assembly) -> dict[str, Any]:
    return all_policies(templates(assembly.directory, full_assembly.directory))


def test_documented_deployment_policies_are_current(deployment_policies: dict[str, Any]) -> None:
    files = {file.name: json.loads(file.read_text()) for file in (ROOT / "docs" / "deployment_policies").iterdir()}
    assert files == deployment_policies, "docs/deployment_policies is out of date: make docs"


def test_deployment_policies_are_below_the_iam_quota(deployment_policies: dict[str, Any]) -> None:
    lengths = {name: len(re.sub(r"\s", "", json.dumps(policy))) for name, policy in deployment_policies.items()}
    assert {name: length for name, length in lengths.items() if length > 6144} == {}


def test_deployment_policies_limit_iam_to_stack_names(deployment_policies: dict[str, Any]) -> None:
    for name, policy in deployment_policies.items():
        open_actions = [s["Action"] for s in policy["Statement"] if s["Resource"] == "*"]
        assert {a for actions in open_actions for a in actions if a.startswith("iam:")} <= {
            "iam:CreateServiceLinkedRole"
        }, name


def test_deployment_policies_allow_creating_resources(deployment_policies: dict[str, Any]) -> None:
    """One action for each of some services; a type without a schema is an error when the policies are generated."""
    allowed = {a for policy in deployment_policies.values() for s in policy["Statement"] for a in s["Action"]}
    created = {
        "cloudtrail:CreateTrail",
        "ec2:RunInstances",
        "kms:CreateKey",
        "lambda:CreateFunction",
        "sns:CreateTopic",
    }
    assert created <= allowed


# Types whose creation makes AWS create a service-linked role, by AWS's documentation of the service's roles.
LINKED_ROLES = {
    "AWS::ApiGateway::DomainName": "API Gateway developer guide, Using service-linked roles",
    "AWS::ApiGateway::RestApi": "API Gateway developer guide, Using service-linked roles",
    "AWS::CloudFront::Distribution": "CloudFront developer guide, Service-linked roles for Lambda@Edge",
}


def test_deployment_policy_of_linked_role_type_allows_creating_it(
    assembly: Assembly, full_assembly: Assembly, deployment_policies: dict[str, Any]
) -> None:
    seen = set()
    for template in templates(assembly.directory, full_assembly.directory):
        types = {resource["Type"] for resource in template.resources.values()} & LINKED_ROLES.keys()
        documents = [p for name, p in deployment_policies.items() if re.match(rf"{template.stack}[-.]", name)]
        allowed = {action for policy in documents for s in policy["Statement"] for action in s["Action"]}
        assert not types or "iam:CreateServiceLinkedRole" in allowed, f"{template.stack}: {types}"
        seen |= types
    assert seen == LINKED_ROLES.keys()


def test_deployment_policy_allows_choosing_a_zone(
    assembly: Assembly, full_assembly: Assembly, deployment_policies: dict[str, Any]
) -> None:
    """CloudFormation user guide, Fn::GetAZs: it calls EC2 with the permissions of the deployment."""
    required = {"ec2:DescribeAvailabilityZones", "ec2:DescribeAccountAttributes"}
    seen = set()
    for template in templates(assembly.directory, full_assembly.directory):
        if "Fn::GetAZs" in json.dumps([r.get("Properties") for r in template.resources.values()]):
            documents = [p for name, p in deployment_policies.items() if re.match(rf"{template.stack}[-.]", name)]
            assert required <= {action for p in documents for s in p["Statement"] for action in s["Action"]}
            seen.add(template.stack)
    assert seen == {"AnalyticsHost"}


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
