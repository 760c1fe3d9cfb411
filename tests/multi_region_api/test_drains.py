"""Draining a Region from another one: decisions, handlers with botocore's stub of SSM, and templates."""

import json
import re
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from lambdas.multi_region_api.drains import (
    DrainError,
    change,
    drained_token,
    read_drained,
    regions_reporting,
    write_drained,
)

from ..conftest import Assembly, only_resource, resources_of_type
from .test_stack import THREE_REGIONS

OTHERS = {"us-west-2", "eu-west-1"}
VALUES = [("none", set()), ("us-west-2", {"us-west-2"}), ("eu-west-1,us-west-2", OTHERS)]


def nobody() -> list[str]:
    return []


def test_drain_and_undrain_change_only_the_named_region() -> None:
    assert change({"drain": "us-west-2"}, {"eu-west-1"}, OTHERS, nobody) == OTHERS
    assert change({"undrain": "us-west-2"}, OTHERS, OTHERS, nobody) == {"eu-west-1"}
    assert change({}, {"eu-west-1"}, OTHERS, nobody) == {"eu-west-1"}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"drain": "us-east-1"}, r"'us-east-1' is not another Region of the API; accepted: eu-west-1, us-west-2"),
        ({"drain": ["us-west-2"]}, "is not another Region"),
        ({"undrain": "us-weast-2"}, "is not another Region"),
        ({"Drain": "us-west-2"}, "invalid request"),
        ({"drain": "us-west-2", "undrain": "eu-west-1"}, "invalid request"),
    ],
)
@pytest.mark.reliability(
    "multi_region_api",
    "Malformed input",
    fault="a drain command for this Region, or for one that does not exist",
    expected="rejected with the accepted values; nothing is changed",
    observed="an error that names both",
)
def test_drain_of_own_or_unknown_region_is_rejected(request_: dict[str, Any], message: str) -> None:
    with pytest.raises(DrainError, match=message):
        change(request_, set(), OTHERS, nobody)


@pytest.mark.reliability(
    "multi_region_api",
    "System-specific",
    fault="two Regions drain each other",
    expected="the second command is rejected; one Region stays in service",
    observed="an error that names the other Region",
)
def test_drained_region_cannot_drain_others_but_can_undrain() -> None:
    with pytest.raises(DrainError, match="this Region is drained by us-west-2"):
        change({"drain": "eu-west-1"}, set(), OTHERS, lambda: ["us-west-2"])
    assert change({"undrain": "eu-west-1"}, {"eu-west-1"}, OTHERS, lambda: ["us-west-2"]) == set()


def test_region_that_does_not_respond_reports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = {
        "https://a/": json.dumps({"state": drained_token("us-east-1")}),
        "https://b/": "",
        "https://c/": "us-east-1",
    }
    monkeypatch.setattr("lambdas.multi_region_api.drains._get", bodies.get)
    urls = {"us-west-2": "https://a/", "eu-west-1": "https://b/", "sa-east-1": "https://c/"}
    assert regions_reporting("us-east-1", urls) == ["us-west-2"]


@pytest.mark.enable_socket
def test_unreachable_url_has_an_empty_body() -> None:
    assert regions_reporting("us-east-1", {"us-west-2": "https://127.0.0.1:9/"}) == []


@pytest.mark.parametrize(("value", "regions"), VALUES)
def test_parameter_stores_the_drained_regions(value: str, regions: set[str]) -> None:
    client = boto3.client("ssm")
    with Stubber(client) as stub:
        stub.add_response("get_parameter", {"Parameter": {"Value": value}}, {"Name": "drained"})
        assert read_drained(client, "drained") == regions
        stub.add_response("put_parameter", {}, {"Name": "drained", "Value": value, "Overwrite": True})
        write_drained(client, "drained", regions)


def test_token_of_one_region_is_not_in_that_of_another() -> None:
    assert drained_token("us-east-1") not in drained_token("us-east-11")


def checks(template: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    found = {
        n: r["Properties"]["HealthCheckConfig"]
        for n, r in template["Resources"].items()
        if r["Type"] == "AWS::Route53::HealthCheck"
    }
    return {name: config for name, config in found.items() if config["Type"] == kind}


def test_records_use_check_of_endpoint_and_drains(full_assembly: Assembly) -> None:
    """Route 53 developer guide: a calculated check counts its healthy children, and an inverted one is unhealthy
    only while its endpoint passes."""
    for region in THREE_REGIONS:
        template = full_assembly.template(f"MultiRegionApi-{region}")
        ((name, calculated),) = checks(template, "CALCULATED").items()
        endpoints = checks(template, "HTTPS_STR_MATCH")
        assert {child["Ref"] for child in calculated["ChildHealthChecks"]} == set(endpoints)
        assert calculated["HealthThreshold"] == len(endpoints) == len(THREE_REGIONS)
        drains = [config for config in endpoints.values() if config["Inverted"]]
        expected = {f"{other}.api.example.com" for other in THREE_REGIONS if other != region}
        assert {config["FullyQualifiedDomainName"] for config in drains} == expected
        assert {config["SearchString"] for config in drains} == {drained_token(region)}
        records = resources_of_type(template, "AWS::Route53::RecordSet")
        assert {json.dumps(r.get("HealthCheckId")) for r in records if "Region" in r} == {json.dumps({"Ref": name})}
        assert {r["Name"] for r in records if "Region" not in r} == {f"{region}.api.example.com."}


def test_parameter_is_independent_of_the_regions(full_assembly: Assembly) -> None:
    """CloudFormation writes the value again, and so undrains Regions, whenever a property of the parameter changes."""
    stacks = ("MultiRegionApi-us-east-1", "MultiRegionApi-us-west-2")
    one, other = (only_resource(full_assembly.template(stack), "AWS::SSM::Parameter") for stack in stacks)
    assert one == other
    pattern = re.compile(one["AllowedPattern"])
    assert pattern.match(one["Value"])
    assert all(pattern.match(value) for value, _ in VALUES)
    assert not any(map(pattern.match, ("", "us-west-2,", "a b")))


def test_draining_a_region_raises_no_alarm(full_assembly: Assembly) -> None:
    """The alarm watches the Region's own health check, and not the calculated one, which also depends on drains."""
    template = full_assembly.template("MultiRegionApi-us-east-1")
    alarms = [a for a in resources_of_type(template, "AWS::CloudWatch::Alarm") if a["Namespace"] == "AWS/Route53"]
    (watched,) = (d["Value"]["Ref"] for alarm in alarms for d in alarm["Dimensions"])
    assert template["Resources"][watched]["Properties"]["HealthCheckConfig"]["Type"] != "CALCULATED"


def test_only_the_drain_function_can_write_the_parameter(full_assembly: Assembly) -> None:
    template = full_assembly.template("MultiRegionApi-us-east-1")
    statements = [s for p in resources_of_type(template, "AWS::IAM::Policy") for s in p["PolicyDocument"]["Statement"]]
    ssm = [s["Action"] for s in statements if "ssm:" in json.dumps(s["Action"])]
    assert sorted(map(str, ssm)) == ["['ssm:GetParameter', 'ssm:PutParameter']", "ssm:GetParameter"]
    (name,) = (f["FunctionName"] for f in resources_of_type(template, "AWS::Lambda::Function") if "FunctionName" in f)
    assert name == "MultiRegionApi-us-east-1-drain", "a person must know it during an outage"
