"""The order in which CloudFormation creates the resources of a Regional stack, read from the template."""

import json
import re
from typing import Any

import pytest

STACK = "MultiRegionApi-us-east-1"
HEALTH_CHECK_DEPENDENCIES = {
    "AWS::ApiGateway::Deployment",
    "AWS::ApiGateway::Method",
    "AWS::ApiGateway::Stage",
    "AWS::IAM::Policy",
    "AWS::Lambda::Permission",
    "AWS::WAFv2::WebACLAssociation",
    "AWS::XRay::SamplingRule",  # without it, nearly every health check would be traced
}


def dependencies_of(template: dict[str, Any], logical_id: str) -> set[str]:
    """Return all resources that CloudFormation creates before the given one."""
    resources, needed, pending = template["Resources"], set[str](), [logical_id]
    while pending:
        text = json.dumps({k: v for k, v in resources[pending.pop()].items() if k in ("Properties", "DependsOn")})
        names = set(re.findall(r'"([A-Za-z0-9]+)"', text)) | set(re.findall(r"\$\{([A-Za-z0-9]+)[.}]", text))
        new = (names & set(resources)) - needed
        needed |= new
        pending += new
    return needed


def dependency_types_of(template: dict[str, Any], logical_id: str) -> set[str]:
    return {template["Resources"][name]["Type"] for name in dependencies_of(template, logical_id)}


@pytest.mark.reliability(
    "multi_region_api",
    "Partial failure",
    fault="a first deployment",
    expected="no alarm: the health check is created after the API, alarms after the topic's policy",
    observed="in the template",
)
def test_health_check_is_created_after_the_api(full_template: dict[str, Any]) -> None:
    (check,) = (
        n
        for n, r in full_template["Resources"].items()
        if "execute-api" in json.dumps(r) and r["Type"] == "AWS::Route53::HealthCheck"
    )
    required = {
        name
        for name, resource in full_template["Resources"].items()
        if resource["Type"] in HEALTH_CHECK_DEPENDENCIES and not name.startswith("Drain")
    }
    assert {full_template["Resources"][name]["Type"] for name in required} == HEALTH_CHECK_DEPENDENCIES
    missing = required - dependencies_of(full_template, check)
    assert not missing, f"a health check that fails at first raises an alarm: {missing}"


def test_records_are_created_after_web_acl_association(full_template: dict[str, Any]) -> None:
    for name, resource in full_template["Resources"].items():
        if resource["Type"] == "AWS::Route53::RecordSet":
            assert "AWS::WAFv2::WebACLAssociation" in dependency_types_of(full_template, name)


@pytest.mark.reliability("multi_region_api", "Partial failure", fault="a first deployment")
def test_alarms_are_created_after_topic_policy(full_template: dict[str, Any]) -> None:
    alarms = [n for n, r in full_template["Resources"].items() if r["Type"] == "AWS::CloudWatch::Alarm"]
    assert alarms
    for name in alarms:
        needed = dependency_types_of(full_template, name)
        assert {"AWS::SNS::TopicPolicy", "AWS::SNS::Subscription"} <= needed, (
            f"the first notification of {name} would be lost"
        )
