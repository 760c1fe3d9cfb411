"""The alarms of StaticSite."""

from typing import Any

import pytest

from ..conftest import resources_of_type
from .test_stack import id_of

STACK = "StaticSite"


@pytest.mark.reliability(
    "static_site",
    "Partial failure",
    fault="the edge function fails or is throttled, or S3 fails",
    expected="alarms, if `email` is set",
    observed="template: alarms on the rate of server errors, and on the function's errors and throttles",
)
def test_errors_raise_alarms_if_email_is_set(
    template: dict[str, Any], full_template: dict[str, Any], uncached: dict[str, Any]
) -> None:
    assert not resources_of_type(template, "AWS::CloudWatch::Alarm"), "a key and alarms cost more than an idle site"
    of_distribution = {"DistributionId": {"Ref": id_of(uncached, "Distribution", "AWS::CloudFront::Distribution")}}
    assert alarms(uncached) == {
        "5xxErrorRate": ("Average", 1, of_distribution),
        "LambdaExecutionError": ("Sum", 10, of_distribution),
        "LambdaValidationError": ("Sum", 10, of_distribution),
        "LambdaLimitExceededErrors": ("Sum", 10, of_distribution),
    }
    of_distribution = {"DistributionId": {"Ref": id_of(full_template, "Distribution", "AWS::CloudFront::Distribution")}}
    of_function = {"FunctionName": full_template["Outputs"]["RewriterName"]["Value"]}
    assert alarms(full_template) == {
        "5xxErrorRate": ("Average", 1, of_distribution),
        "FunctionExecutionErrors": ("Sum", 10, of_function),
        "FunctionValidationErrors": ("Sum", 10, of_function),
        "FunctionThrottles": ("Sum", 10, of_function),
    }


def alarms(template: dict[str, Any]) -> dict[str, tuple[str, float, dict[str, Any]]]:
    """The statistic, threshold and dimensions, except the Region, of CloudFront's metrics with an alarm."""
    resources = resources_of_type(template, "AWS::CloudWatch::Alarm")
    assert {alarm["Namespace"] for alarm in resources} == {"AWS/CloudFront"}
    topic = {"Ref": id_of(template, "Topic", "AWS::SNS::Topic")}
    assert all(alarm["AlarmActions"] == [topic] for alarm in resources)
    dimensions = {alarm["MetricName"]: {d["Name"]: d["Value"] for d in alarm["Dimensions"]} for alarm in resources}
    assert all(of_metric.pop("Region") == "Global" for of_metric in dimensions.values())
    return {a["MetricName"]: (a["Statistic"], a["Threshold"], dimensions[a["MetricName"]]) for a in resources}
