"""Lambda's metrics in the sandbox: dimensions, statistics and periods."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox import Sandbox
from sandbox.target import session, target_of

from .functions import Functions

pytestmark = pytest.mark.enable_socket


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(speed=60) as running:
        yield running


@pytest.fixture(scope="module")
def functions(sandbox: Sandbox) -> Functions:
    return Functions(sandbox)


class Metrics:
    """The metrics of a function since this object was created."""

    def __init__(self, sandbox: Sandbox, function: str) -> None:
        self.cloudwatch = session(sandbox).client("cloudwatch")
        self.start, self.function = time.time(), function

    def query(self, metric: str, statistic: str = "Sum", period: int = 60, **dimensions: str) -> dict[str, Any]:
        listed = [{"Name": name, "Value": value} for name, value in dimensions.items()]
        described = {"Namespace": "AWS/Lambda", "MetricName": metric, "Dimensions": listed}
        stat = {"Metric": described, "Period": period, "Stat": statistic}
        response = self.cloudwatch.get_metric_data(
            MetricDataQueries=[{"Id": "m", "MetricStat": stat}],
            StartTime=datetime.fromtimestamp(self.start, UTC),
            EndTime=datetime.fromtimestamp(time.time() + 1, UTC),
        )
        return dict(response["MetricDataResults"][0])

    def values(self, metric: str, statistic: str = "Sum", period: int = 60, **dimensions: str) -> list[float]:
        return list(self.query(metric, statistic, period, FunctionName=self.function, **dimensions)["Values"])


def invoke(functions: Functions, name: str, qualifier: str, times: int, payload: str = "1") -> None:
    for _ in range(times):
        functions.lambda_.invoke(FunctionName=f"{name}:{qualifier}", Payload=payload.encode())


def test_metrics_are_those_of_the_alias_and_of_each_version(sandbox: Sandbox, functions: Functions) -> None:
    name = functions.with_two_versions()
    routing = {"AdditionalVersionWeights": {"2": 1.0}}
    functions.lambda_.create_alias(FunctionName=name, Name="live", FunctionVersion="1", RoutingConfig=routing)
    metrics = Metrics(sandbox, name)
    invoke(functions, name, "live", 3)
    invoke(functions, name, "live", 2, '"fail"')
    functions.lambda_.update_alias(FunctionName=name, Name="live", RoutingConfig={})
    invoke(functions, name, "live", 4)
    invoke(functions, name, "2", 1)  # by its number
    live = f"{name}:live"
    assert metrics.values("Invocations") == [10]
    assert metrics.values("Invocations", Resource=live) == [9]
    assert metrics.values("Invocations", Resource=live, ExecutedVersion="1") == [4]
    assert metrics.values("Invocations", Resource=live, ExecutedVersion="2") == [5]
    assert metrics.values("Errors", Resource=live, ExecutedVersion="2") == [2]
    assert metrics.values("Errors", Resource=live, ExecutedVersion="1") == [0]
    assert metrics.values("Invocations", Resource=f"{name}:2") == [1]
    assert metrics.values("Invocations", Resource=f"{name}:2", ExecutedVersion="2") == []
    assert metrics.query("Invocations")["Values"] == [10]  # across all functions
    assert metrics.query("Invocations", Resource=live)["Values"] == []  # dimensions that no metric has


def test_duration_has_percentiles_and_excludes_initialization(sandbox: Sandbox, functions: Functions) -> None:
    name = functions.create()
    metrics = Metrics(sandbox, name)
    for _ in range(3):
        functions.lambda_.invoke(FunctionName=name)
    (p95,), (maximum,) = metrics.values("Duration", "p95"), metrics.values("Duration", "Maximum")
    assert 0 < p95 <= maximum < 200  # starting Python and importing boto3 takes longer
    assert metrics.values("Duration", "SampleCount") == [3]


def test_throttled_invocation_of_alias_is_a_throttle(sandbox: Sandbox, functions: Functions) -> None:
    name = functions.create()
    functions.publish(name)
    functions.lambda_.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    functions.lambda_.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    metrics = Metrics(sandbox, name)
    functions.lambda_.invoke(FunctionName=f"{name}:live", InvocationType="Event")

    def throttles() -> float:
        return sum(metrics.values("Throttles", Resource=f"{name}:live"))

    target_of(sandbox).wait_until(throttles, "the invocation is throttled")
    assert metrics.values("Invocations", Resource=f"{name}:live") == []


def test_start_is_rounded_to_an_accelerated_minute_where_periods_begin(sandbox: Sandbox) -> None:
    metrics, namespace = Metrics(sandbox, ""), "Rounding"
    second = float(int(time.time())) - 30
    for offset in (-0.1, 0.0, 0.9, 61.0):
        datum = {"MetricName": "Calls", "Value": 1, "Timestamp": datetime.fromtimestamp(second + offset, UTC)}
        metrics.cloudwatch.put_metric_data(Namespace=namespace, MetricData=[datum])
    request = {
        "Namespace": namespace,
        "MetricName": "Calls",
        "Period": 60,
        "StartTime": datetime.fromtimestamp(second + 0.5, UTC),
        "EndTime": datetime.fromtimestamp(second + 100, UTC),
    }
    found = metrics.cloudwatch.get_metric_statistics(Statistics=["Sum", "Average"], **request)["Datapoints"]
    assert [(point["Timestamp"].timestamp(), point["Sum"], point["Average"]) for point in found] == [
        (second, 2.0, 1.0),
        (second + 60, 1.0, 1.0),
    ]
