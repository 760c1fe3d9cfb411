"""Templates of Regions that drain each other."""

import json
import re
from typing import Any

from lambdas.multi_region_api.drains import drained_token

from ..conftest import Assembly, only_resource, resources_of_type
from .test_drains import VALUES
from .test_stack import THREE_REGIONS


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
