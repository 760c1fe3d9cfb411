"""Costs of a Region, idle and flooded: prices times what the template has are the figures on the system's page."""

import re
from pathlib import Path
from typing import Any

import pytest

from ..conftest import ROOT, resources_of_type, synthesize
from .test_stack import DOMAIN, WEST

# USD a month in us-east-1, from AWS's pricing pages. Each is for one, except the requests of health checkers: for a
# million, of API Gateway (3.50), Lambda (0.20) and the access log (0.30).
OPTION, KEY, ALARM, METRIC, REQUESTS, BASIC_CHECK = 1.0, 1.0, 0.1, 0.3, 4.0, 0.5
METRICS_OF_A_METHOD = 5  # Count, 4XXError, 5XXError, Latency, IntegrationLatency
HEALTH_CHECKERS, CHECKER_REGIONS = 15, 8  # a request about every two seconds, with an interval of 30
SECONDS = 730 * 3600  # of a month
LOWEST_WITH_DRAINS = {"multi_region_api:string_matching": "false", "multi_region_api:detailed_metrics": "false"}
LOWEST = LOWEST_WITH_DRAINS | {"multi_region_api:drains": "false"}
COLUMNS: list[dict[str, str]] = [{}, LOWEST_WITH_DRAINS, LOWEST]  # of the table on the page


def items(template: dict[str, Any]) -> list[float]:
    """Return the costs of an idle Region, in the order of the page's table."""
    configs = [check["HealthCheckConfig"] for check in resources_of_type(template, "AWS::Route53::HealthCheck")]
    endpoints = [config for config in configs if config["Type"] != "CALCULATED"]
    assert {config["Type"] for config in endpoints} <= {"HTTPS", "HTTPS_STR_MATCH"}
    assert not [config for config in endpoints if config["RequestInterval"] == 10 or config["MeasureLatency"]]
    millions = [
        HEALTH_CHECKERS * len(config["Regions"]) / CHECKER_REGIONS * SECONDS / config["RequestInterval"] / 1e6
        for config in endpoints
    ]
    settings = [s for stage in resources_of_type(template, "AWS::ApiGateway::Stage") for s in stage["MethodSettings"]]
    measured = [s for s in settings if s["MetricsEnabled"] and "healthcheck-" in str(s["ResourcePath"])]
    return [
        OPTION * len(endpoints),
        OPTION * sum(config["Type"] == "HTTPS_STR_MATCH" for config in endpoints),
        REQUESTS * sum(millions),
        METRIC * METRICS_OF_A_METHOD * len(measured),
        ALARM * len(resources_of_type(template, "AWS::CloudWatch::Alarm")),
        KEY * len(resources_of_type(template, "AWS::KMS::Key")),
        BASIC_CHECK * len(configs),
    ]


def documented() -> list[list[float]]:
    """Return the columns of the page's table."""
    page = (ROOT / "docs" / "multi_region_api.md").read_text()
    table = page.partition("| Item, USD per month and Region |")[2].partition("\n\n")[0]
    rows = [re.findall(r"\| \**(\d+\.\d\d)\**(?= \|)", line) for line in table.splitlines()[2:]]
    return [[float(row[column]) for row in rows] for column in range(len(COLUMNS))]


@pytest.fixture(scope="module", params=range(len(COLUMNS)), ids=["default", "lowest with drains", "lowest"])
def priced(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[float], list[float]]:
    """The costs of the template, and the page's column."""
    assembly = synthesize(tmp_path_factory.mktemp("cost"), DOMAIN | COLUMNS[request.param], WEST)
    return items(assembly.template(WEST)), documented()[request.param]


def test_documented_cost_is_price_times_resources(priced: tuple[list[float], list[float]]) -> None:
    costs, column = priced
    total = column.pop(-2)
    assert column == pytest.approx(costs, rel=0.02), "each item, rounded"
    assert total == pytest.approx(sum(column[:-1]))


def test_documented_cost_without_domain_name(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "multi_region_api.md").read_text()
    (default, lowest) = map(float, re.findall(r"Without a domain name, it costs (\d+\.\d\d), or (\d+\.\d\d)", page)[0])
    for folder, settings, documented_cost in (("default", {}, default), ("lowest", LOWEST, lowest)):
        *costs, _ = items(synthesize(tmp_path / folder, settings, WEST).template(WEST))
        assert documented_cost == pytest.approx(sum(costs), rel=0.02), folder


def anonymous_costs() -> list[tuple[str, float]]:
    """Return the rows of the page's table."""
    page = (ROOT / "docs" / "multi_region_api.md").read_text()
    table = page.partition("### Cost of anonymous requests")[2].partition("| with `waf`")[0]
    return [(item, float(cost.replace(",", ""))) for item, cost in re.findall(r"^\| (.+) \| ([\d,]+) \|$", table, re.M)]


def test_documented_cost_of_anonymous_requests_includes_every_public_method(tmp_path: Path) -> None:
    """Callers can request a trace of each call: AWS services respect the decision in the header X-Amzn-Trace-Id."""
    template = synthesize(tmp_path, {}, WEST).template(WEST)
    (stage,) = resources_of_type(template, "AWS::ApiGateway::Stage")
    limits = {(str(s["ResourcePath"]), s["HttpMethod"]): s["ThrottlingRateLimit"] for s in stage["MethodSettings"]}
    methods = resources_of_type(template, "AWS::ApiGateway::Method")
    public = {method["HttpMethod"] for method in methods if "helloworld" in str(method["ResourceId"])}
    rates = {verb: limits.get(("/~1helloworld", verb), limits["/*", "*"]) for verb in public}
    millions = {verb: rate * 30 * 86_400 / 1e6 for verb, rate in rates.items()}
    *items, (_, total) = anonymous_costs()
    for text, expected in (
        ("`GET`", 3.5 * millions.pop("GET")),
        ("`HEAD`", 3.5 * sum(millions.values())),
        ("X-Ray", 5 * 30 * 86_400 / 1e6 * sum(rates.values())),
    ):
        (cost,) = (cost for item, cost in items if text in item)
        assert cost == pytest.approx(expected, rel=0.02), text
    assert total == pytest.approx(sum(cost for _, cost in items), rel=0.01)
    (summary,) = re.findall(r"about ([\d,]+) USD per month and Region", (ROOT / "docs" / "threat_model.md").read_text())
    assert float(summary.replace(",", "")) == total
