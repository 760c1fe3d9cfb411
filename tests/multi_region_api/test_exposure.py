"""What strangers can reach, cost and starve: facts about the templates."""

import json
import re
from typing import Any

import pytest

from ..conftest import of_type, one

STACK = "MultiRegionApi-us-east-1"
CHECKERS, FASTEST_INTERVAL = 24, 10  # Route 53's health checkers, and their interval in seconds
# API Gateway developer guide, supported security policies: those of regional APIs whose minimum is TLS 1.2.
MINIMUM_TLS_1_2 = re.compile(r"TLS_1_2|SecurityPolicy_TLS13_1_2_\w+")
GUID = {"Fn::Select": [2, {"Fn::Split": ["/", {"Ref": "AWS::StackId"}]}]}
HEALTH_PATH = {"Fn::Join": ["", ["healthcheck-", GUID]]}


def limits(template: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Rate and burst by resource path and method."""
    settings = one(template, "AWS::ApiGateway::Stage")["MethodSettings"]
    return {
        f"{s['HttpMethod']} {json.dumps(s['ResourcePath'])}": (s["ThrottlingRateLimit"], s["ThrottlingBurstLimit"])
        for s in settings
    }


@pytest.mark.parametrize("resource_type", ["AWS::ApiGateway::RestApi", "AWS::ApiGateway::DomainName"])
def test_every_endpoint_refuses_tls_below_1_2_and_accepts_1_2(full: dict[str, Any], resource_type: str) -> None:
    """A name's handshake follows the policy of the API behind it, and health checkers have no TLS 1.3."""
    endpoint = one(full, resource_type)
    assert MINIMUM_TLS_1_2.fullmatch(endpoint.get("SecurityPolicy", "TLS_1_0")), "the default is TLS_1_0"
    if endpoint["SecurityPolicy"].startswith("SecurityPolicy_"):
        assert endpoint["EndpointAccessMode"] == "STRICT", "API Gateway refuses an enhanced policy without a mode"


@pytest.mark.reliability(
    "multi_region_api",
    "Hostile input",
    fault="a flood on the API",
    expected=(
        "the health path has a throttle separate and is known to Route 53 only; with the web ACL, "
        "each address has a limit and health checkers pass"
    ),
    observed="read from the template",
)
def test_health_path_is_known_to_route_53_only(template: dict[str, Any]) -> None:
    paths = [resource["PathPart"] for resource in of_type(template, "AWS::ApiGateway::Resource")]
    assert sorted(paths, key=str) == ["helloworld", HEALTH_PATH]
    config = one(template, "AWS::Route53::HealthCheck")["HealthCheckConfig"]
    assert config["ResourcePath"] == {"Fn::Join": ["", ["/prod/healthcheck-", GUID]]}


@pytest.mark.reliability(
    "multi_region_api",
    "Throttling",
    fault="requests on the health path are throttled",
    expected="the limit is far above what the health checkers ask; an alarm goes off",
    observed="read from the template: a limit separate, an alarm on 4xx",
)
def test_health_path_has_a_throttle_of_its_own_above_what_health_checkers_send(template: dict[str, Any]) -> None:
    (health,) = (limit for path, limit in limits(template).items() if "healthcheck-" in path)
    assert health[0] > 2 * CHECKERS / FASTEST_INTERVAL
    assert health[1] >= CHECKERS, "they do not coordinate"


def test_preflights_exist_for_the_public_path_only_and_cost_little(template: dict[str, Any]) -> None:
    (hello,) = (n for n, r in template["Resources"].items() if r.get("Properties", {}).get("PathPart") == "helloworld")
    preflights = [m for m in of_type(template, "AWS::ApiGateway::Method") if m["HttpMethod"] == "OPTIONS"]
    assert [method["ResourceId"] for method in preflights] == [{"Ref": hello}], "each has the stage's throttle again"
    assert limits(template)['OPTIONS "/~1helloworld"'] == (10, 20), "a tenth of the requests' 100"


@pytest.mark.reliability("multi_region_api", "Hostile input", fault="a flood on the API")
def test_web_acl_lets_health_checkers_through_and_limits_every_other_address(full: dict[str, Any]) -> None:
    acl = one(full, "AWS::WAFv2::WebACL")
    health, address, *managed = sorted(acl["Rules"], key=lambda rule: int(rule["Priority"]))
    assert health["Action"] == {"Allow": {}}, "neither a limit nor a managed rule may refuse a health checker"
    path = health["Statement"]["ByteMatchStatement"]
    assert path["SearchString"] == {"Fn::Join": ["", ["/prod/healthcheck-", GUID]]}
    assert (path["PositionalConstraint"], path["FieldToMatch"]) == ("EXACTLY", {"UriPath": {}})
    assert address["Action"] == {"Block": {}}
    limit = address["Statement"]["RateBasedStatement"]
    assert limit == {"AggregateKeyType": "IP", "EvaluationWindowSec": 300, "Limit": 2000}, "of the whole API"
    assert [rule["OverrideAction"] for rule in managed] == [{"None": {}}] * 3, "the rules block"
    assert len({rule["Priority"] for rule in acl["Rules"]}) == 5
    assert (acl["Scope"], acl["DefaultAction"]) == ("REGIONAL", {"Allow": {}})
    assert one(full, "AWS::WAFv2::WebACLAssociation")["ResourceArn"]


def test_no_web_acl_without_the_setting(template: dict[str, Any]) -> None:
    assert not of_type(template, "AWS::WAFv2::WebACL")
