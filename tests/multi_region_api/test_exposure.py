"""Exposure of the API to anonymous callers, read from the templates."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from settings.multi_region_api import MAX_RATE_LIMIT

from ..conftest import EVERYTHING, only_resource, resources_of_type, synthesize

STACK = "MultiRegionApi-us-east-1"
HEALTH_CHECKERS, MIN_INTERVAL_SECONDS = 24, 10  # of Route 53
# Amazon API Gateway quotas: the default of an account in Cape Town, Milan, Jakarta, Zurich and nine other Regions.
ACCOUNT_RATE, ACCOUNT_BURST = 2_500, 1_250
# API Gateway developer guide, supported security policies: those for Regional APIs with a minimum of TLS 1.2.
MINIMUM_TLS_1_2 = re.compile(r"TLS_1_2|SecurityPolicy_TLS13_1_2_\w+")
GUID = {"Fn::Select": [2, {"Fn::Split": ["/", {"Ref": "AWS::StackId"}]}]}
HEALTH_PATH = {"Fn::Join": ["", ["healthcheck-", GUID]]}


def limits(template: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Return rate and burst by resource path and method."""
    settings = only_resource(template, "AWS::ApiGateway::Stage")["MethodSettings"]
    return {
        f"{s['HttpMethod']} {json.dumps(s['ResourcePath'])}": (s["ThrottlingRateLimit"], s["ThrottlingBurstLimit"])
        for s in settings
    }


@pytest.mark.parametrize("resource_type", ["AWS::ApiGateway::RestApi", "AWS::ApiGateway::DomainName"])
def test_endpoint_requires_tls_1_2_and_accepts_it(full_template: dict[str, Any], resource_type: str) -> None:
    """The API's policy applies to its domain name too, and health checkers do not support TLS 1.3."""
    for endpoint in resources_of_type(full_template, resource_type):
        assert MINIMUM_TLS_1_2.fullmatch(endpoint.get("SecurityPolicy", "TLS_1_0")), "the default is TLS_1_0"
        if endpoint["SecurityPolicy"].startswith("SecurityPolicy_"):
            assert endpoint["EndpointAccessMode"] == "STRICT", (
                "API Gateway rejects an enhanced policy without an access mode"
            )


@pytest.mark.reliability(
    "multi_region_api",
    "Hostile input",
    fault="a flood of requests to the API",
    expected=(
        "the health path has a separate throttling limit and is not public; the web ACL "
        "limits each address and allows health checkers"
    ),
    observed="in the template",
)
def test_health_path_contains_the_guid_of_the_stack(template: dict[str, Any]) -> None:
    paths = [resource["PathPart"] for resource in resources_of_type(template, "AWS::ApiGateway::Resource")]
    assert sorted(paths, key=str) == ["helloworld", HEALTH_PATH]
    config = only_resource(template, "AWS::Route53::HealthCheck")["HealthCheckConfig"]
    assert config["ResourcePath"] == {"Fn::Join": ["", ["/prod/healthcheck-", GUID]]}


@pytest.mark.reliability(
    "multi_region_api",
    "Throttling",
    fault="requests on the health path are throttled",
    expected="the limit is far above the health checkers' request rate; an alarm reports it",
    observed="template: a separate limit, an alarm on 4xx",
)
def test_health_path_throttle_exceeds_health_checker_rate(template: dict[str, Any]) -> None:
    (health_limit,) = (limit for path, limit in limits(template).items() if "healthcheck-" in path)
    assert health_limit[0] > 2 * HEALTH_CHECKERS / MIN_INTERVAL_SECONDS
    assert health_limit[1] >= HEALTH_CHECKERS, "they can all call at once"


def test_preflight_exists_only_for_hello_with_lower_limit(template: dict[str, Any]) -> None:
    (hello,) = (n for n, r in template["Resources"].items() if r.get("Properties", {}).get("PathPart") == "helloworld")
    preflights = [m for m in resources_of_type(template, "AWS::ApiGateway::Method") if m["HttpMethod"] == "OPTIONS"]
    assert [method["ResourceId"] for method in preflights] == [{"Ref": hello}], (
        "each additional method has another limit"
    )
    assert limits(template)['OPTIONS "/~1helloworld"'] == (10, 20), "a tenth of the limit of requests"


def test_only_one_method_uses_the_default_limit(full_template: dict[str, Any]) -> None:
    """Each method that uses the default has that limit separately, which adds up to more than the account's quota."""
    assert len(resources_of_type(full_template, "AWS::ApiGateway::Method")) == len(limits(full_template))


@pytest.mark.reliability("multi_region_api", "Hostile input", fault="a flood of requests to the API")
@pytest.mark.parametrize("rate", [1, 100, MAX_RATE_LIMIT])
def test_limits_leave_room_for_health_checks_in_the_account_quota(tmp_path: Path, rate: int) -> None:
    """Requests above the account's quota are throttled on any path; some Regions have a quarter of the usual one."""
    settings = EVERYTHING | {"multi_region_api:throttling_rate_limit": rate}
    found = limits(synthesize(tmp_path, settings, STACK).template(STACK)).values()
    assert sum(steady for steady, _ in found) <= ACCOUNT_RATE
    assert sum(burst for _, burst in found) <= ACCOUNT_BURST


@pytest.mark.reliability("multi_region_api", "Hostile input", fault="a flood of requests to the API")
def test_web_acl_allows_health_path_and_limits_addresses(full_template: dict[str, Any]) -> None:
    acl = only_resource(full_template, "AWS::WAFv2::WebACL")
    health, rate_limit, *managed = sorted(acl["Rules"], key=lambda rule: int(rule["Priority"]))
    assert health["Action"] == {"Allow": {}}, "neither the limit nor a managed rule can block a health checker"
    path = health["Statement"]["ByteMatchStatement"]
    assert path["SearchString"] == {"Fn::Join": ["", ["/prod/healthcheck-", GUID]]}
    assert (path["PositionalConstraint"], path["FieldToMatch"]) == ("EXACTLY", {"UriPath": {}})
    assert rate_limit["Action"] == {"Block": {}}
    limit = rate_limit["Statement"]["RateBasedStatement"]
    assert limit == {"AggregateKeyType": "IP", "EvaluationWindowSec": 300, "Limit": 2000}, "for the whole API"
    assert [rule["OverrideAction"] for rule in managed] == [{"None": {}}] * 3, "the rules block"
    assert len({rule["Priority"] for rule in acl["Rules"]}) == 5
    assert (acl["Scope"], acl["DefaultAction"]) == ("REGIONAL", {"Allow": {}})
    assert only_resource(full_template, "AWS::WAFv2::WebACLAssociation")["ResourceArn"]


def test_web_acl_is_not_created_by_default(template: dict[str, Any]) -> None:
    assert not resources_of_type(template, "AWS::WAFv2::WebACL")
