"""Every alarm of every template goes off and back in the sandbox, on the metric of a resource there.

Only the dimensions' values are those of other resources than the template's.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox import Sandbox
from sandbox.target import session, target_of

from ..conftest import Assembly
from .metric_sources import MetricSources, repeat

pytestmark = pytest.mark.enable_socket
METRICS = [
    ("AWS/ApiGateway", "4XXError"),
    ("AWS/ApiGateway", "5XXError"),
    ("AWS/Billing", "EstimatedCharges"),
    ("AWS/CloudFront", "5xxErrorRate"),
    ("AWS/CloudFront", "FunctionExecutionErrors"),
    ("AWS/CloudFront", "FunctionThrottles"),
    ("AWS/CloudFront", "FunctionValidationErrors"),
    ("AWS/Events", "Invocations"),
    ("AWS/Lambda", "Errors"),
    ("AWS/Lambda", "Invocations"),
    ("AWS/Lambda", "Throttles"),
    ("AWS/Route53", "HealthCheckStatus"),
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"),
    ("AWS/States", "ExecutionsAborted"),
    ("AWS/States", "ExecutionsFailed"),
    ("AWS/States", "ExecutionsTimedOut"),
    ("DeployPipeline", "EditedInput"),
    ("SecurityGroupRevert", "MissedEvents"),
    ("SecurityGroupRevert", "NotReverted"),
    ("SecurityGroupRevert", "RevertsSuspended"),
    ("SecurityGroupRevert", "SecondsToRevert"),
]
MAX_PERIOD = 300  # seconds; with the six hours of EstimatedCharges, a test would take minutes
CONFIGURATION = (
    "MetricName",
    "Namespace",
    "Statistic",
    "Period",
    "EvaluationPeriods",
    "DatapointsToAlarm",
    "Threshold",
    "ComparisonOperator",
    "TreatMissingData",
)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(speed=300) as running:  # a period of five minutes takes a second
        yield running


@pytest.fixture(scope="module")
def alarms(full_assembly: Assembly) -> dict[str, dict[str, Any]]:
    """The properties of each alarm by stack and logical id, with every option."""
    templates = {path.name.split(".")[0]: json.loads(path.read_text()) for path in full_assembly.templates}
    return {
        f"{stack}-{logical_id}": resource["Properties"]
        for stack, template in templates.items()
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] == "AWS::CloudWatch::Alarm"
    }


def test_metric_of_every_alarm_is_tested(alarms: dict[str, dict[str, Any]]) -> None:
    assert {(alarm["Namespace"], alarm["MetricName"]) for alarm in alarms.values()} == {*METRICS}


@pytest.mark.parametrize(("namespace", "metric"), METRICS)
def test_alarm_goes_off_and_back(
    sandbox: Sandbox, alarms: dict[str, dict[str, Any]], namespace: str, metric: str
) -> None:
    cloudwatch = session(sandbox).client("cloudwatch")
    source = MetricSources(sandbox).create(namespace, metric)
    selected = {n: a for n, a in alarms.items() if (a["Namespace"], a["MetricName"]) == (namespace, metric)}
    for name, alarm in selected.items():
        assert {d["Name"] for d in alarm.get("Dimensions", [])} == source.dimensions.keys(), name
        dimensions = [{"Name": key, "Value": value} for key, value in source.dimensions.items()]
        configuration = {key: alarm[key] for key in CONFIGURATION if key in alarm}
        configuration["Period"] = min(configuration["Period"], MAX_PERIOD)
        cloudwatch.put_metric_alarm(AlarmName=name, Dimensions=dimensions, **configuration)

    def changed_to(state: str) -> bool:
        """Return whether all alarms have been in a state."""
        return all(state in states(cloudwatch, name) for name in selected)

    source.recover()
    is_missing = all(alarm.get("TreatMissingData") == "breaching" for alarm in selected.values())
    if not is_missing:
        target_of(sandbox).wait_until(lambda: changed_to("OK"), "the alarms are off")
    assert repeat(source.breach, lambda: changed_to("ALARM")), f"not all of {list(selected)} went off"
    source.recover()
    returned = lambda: all(states(cloudwatch, name)[-1] == "OK" for name in selected)  # noqa: E731
    needs_data = any(alarm.get("TreatMissingData") in ("breaching", "missing") for alarm in selected.values())
    assert repeat(source.recover if needs_data else lambda: None, returned), f"not all of {list(selected)} went back"


def states(cloudwatch: Any, alarm: str) -> list[str]:
    """Return the states that an alarm has entered, the oldest first."""
    items = cloudwatch.describe_alarm_history(
        AlarmName=alarm, HistoryItemType="StateUpdate", ScanBy="TimestampAscending"
    )["AlarmHistoryItems"]
    return [json.loads(item["HistoryData"])["newState"]["stateValue"] for item in items]
