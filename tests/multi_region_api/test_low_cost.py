"""Template of a Region with the settings that reduce its idle cost."""

import json

import pytest

from ..conftest import Assembly, only_resource, resources_of_type, synthesize
from .test_stack import DOMAIN, WEST


@pytest.fixture(scope="module")
def low_cost(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    """Two Regions with a domain name, without string matching, detailed metrics and drains."""
    context = {f"multi_region_api:{name}": "false" for name in ("string_matching", "detailed_metrics", "drains")}
    return synthesize(tmp_path_factory.mktemp("low_cost"), DOMAIN | context, WEST)


def test_metrics_and_checks_follow_their_settings(low_cost: Assembly) -> None:
    """Without string matching, the status decides: the drained path returns 404 for a Region in service."""
    template = low_cost.template(WEST)
    config = only_resource(template, "AWS::Route53::HealthCheck")["HealthCheckConfig"]
    assert (config["Type"], config["Inverted"], "SearchString" in config) == ("HTTPS", False, False)
    (stage,) = resources_of_type(template, "AWS::ApiGateway::Stage")
    assert not any(settings["MetricsEnabled"] for settings in stage["MethodSettings"])
    alarms = [a for a in resources_of_type(template, "AWS::CloudWatch::Alarm") if a["Namespace"] == "AWS/ApiGateway"]
    (dimensions,) = ({d["Name"]: d["Value"] for d in alarm["Dimensions"]} for alarm in alarms)
    assert dimensions == {"ApiName": WEST, "Stage": "prod"}, "metrics of the stage are free"
    assert [alarm["MetricName"] for alarm in alarms] == ["5XXError"], "503 of an unhealthy Region included"


def test_region_without_drains_keeps_failover_and_its_own_name(low_cost: Assembly) -> None:
    template = low_cost.template(WEST)
    assert not resources_of_type(template, "AWS::SSM::Parameter")
    assert {f["Handler"].split(".")[1] for f in resources_of_type(template, "AWS::Lambda::Function")} == {
        "hello",
        "healthcheck",
    }
    (check,) = (n for n, r in template["Resources"].items() if r["Type"] == "AWS::Route53::HealthCheck")
    records = resources_of_type(template, "AWS::Route53::RecordSet")
    assert {json.dumps(r["HealthCheckId"]) for r in records if "Region" in r} == {json.dumps({"Ref": check})}
    assert {r["Name"] for r in records if "Region" not in r} == {"us-west-2.api.example.com."}, "clients use it"
    assert not {"DrainFunctionName", "RoutingHealthCheckId"} & template["Outputs"].keys()
