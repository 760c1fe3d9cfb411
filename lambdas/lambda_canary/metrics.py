"""Read the figures of an alias's versions from CloudWatch.

Lambda's metrics of an alias have the dimensions FunctionName, Resource (``function:alias``) and, for each version that
the alias invoked, ExecutedVersion. Invocations by version number belong to another Resource. Source: Lambda developer
guide, viewing metrics for Lambda functions.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from .alias import function_name
from .comparison import Figures, Throttling
from .errors import MetricsIncompleteError

if TYPE_CHECKING:
    from types_boto3_cloudwatch import CloudWatchClient
    from types_boto3_cloudwatch.type_defs import DimensionTypeDef, MetricDataQueryTypeDef, MetricTypeDef

MINUTE = 60  # Lambda sends metrics in intervals of one minute
SUMS = {"Invocations": "Sum", "Errors": "Sum"}
DURATIONS = {"p95": "p95", "SampleCount": "SampleCount"}


@dataclass(frozen=True)
class Window:
    """Whole minutes around `start` and `end` (epoch seconds), because Lambda's metrics have no shorter periods.

    The first minute can contain earlier calls of the same versions, for example of the previous step.
    """

    start: float
    end: float

    @property
    def times(self) -> dict[str, datetime]:
        first = int(self.start) // MINUTE * MINUTE
        return {
            "StartTime": datetime.fromtimestamp(first, UTC),
            "EndTime": datetime.fromtimestamp(first + self.seconds, UTC),
        }

    @property
    def seconds(self) -> int:
        return (int(self.end) // MINUTE - int(self.start) // MINUTE + 1) * MINUTE


def read_figures(
    client: "CloudWatchClient", function: str, alias: str, versions: tuple[str, str], window: Window
) -> tuple[Figures, Figures, Throttling]:
    """Return the figures of both versions, and the throttling of the alias."""
    queries = [_query("calls", "Invocations", "Sum", MINUTE, _dimensions(function, alias))]
    queries.append(_query("throttles", "Throttles", "Sum", MINUTE, _dimensions(function, alias)))
    for index, version in enumerate(versions):
        dimensions = _dimensions(function, alias, version)
        queries += [_query(f"{name.lower()}{index}", name, "Sum", MINUTE, dimensions) for name in SUMS]
        # One period for the whole window, because percentiles of minutes cannot be combined.
        queries += [
            _query(f"{name.lower()}{index}", "Duration", statistic, window.seconds, dimensions)
            for name, statistic in DURATIONS.items()
        ]
    values = _values(client, queries, window)
    new, old = (_figures(values, index) for index in range(len(versions)))
    return new, old, Throttling(round(sum(values["calls"])), round(sum(values["throttles"])))


def _figures(values: dict[str, list[float]], index: int) -> Figures:
    """Return the figures of a version. An error whose invocation has not arrived yet counts as a call."""
    calls, errors = (round(sum(values[f"{name}{index}"])) for name in ("invocations", "errors"))
    return Figures(max(calls, errors), errors, _mean(values[f"p95{index}"], values[f"samplecount{index}"]))


def read_throttling(client: "CloudWatchClient", function: str, alias: str, seconds: int) -> Throttling:
    """Return the throttling of the alias in the last `seconds`."""
    now = time.time()
    queries = [
        _query(name, metric, "Sum", MINUTE, _dimensions(function, alias))
        for name, metric in (("calls", "Invocations"), ("throttles", "Throttles"))
    ]
    values = _values(client, queries, Window(now - seconds, now))
    return Throttling(round(sum(values["calls"])), round(sum(values["throttles"])))


def _mean(values: list[float], counts: list[float]) -> float | None:
    """Return the mean, weighted with `counts`, of the data points of a window (CloudWatch can divide it into two)."""
    if len(values) != len(counts) or not sum(counts):
        return None
    return sum(value * count for value, count in zip(values, counts, strict=True)) / sum(counts)


def _dimensions(function: str, alias: str, version: str | None = None) -> "list[DimensionTypeDef]":
    name = function_name(function)
    values = {"FunctionName": name, "Resource": f"{name}:{alias}"} | ({"ExecutedVersion": version} if version else {})
    return [{"Name": key, "Value": value} for key, value in values.items()]


def _query(
    identifier: str, name: str, statistic: str, period: int, dimensions: "list[DimensionTypeDef]"
) -> "MetricDataQueryTypeDef":
    metric: MetricTypeDef = {"Namespace": "AWS/Lambda", "MetricName": name, "Dimensions": dimensions}
    return {"Id": identifier, "MetricStat": {"Metric": metric, "Period": period, "Stat": statistic}}


def _values(
    client: "CloudWatchClient", queries: "list[MetricDataQueryTypeDef]", window: Window
) -> dict[str, list[float]]:
    """Return the values of each query, of all pages, in the order of their times.

    Raises:
        MetricsIncompleteError: some are missing, for example because of an internal error.
    """
    values: dict[str, list[float]] = {query["Id"]: [] for query in queries}
    statuses: dict[str, str] = {}  # of the last page
    times = window.times
    pages = client.get_paginator("get_metric_data").paginate(
        MetricDataQueries=queries,
        ScanBy="TimestampAscending",
        StartTime=times["StartTime"],
        EndTime=times["EndTime"],
    )
    for page in pages:
        for result in page["MetricDataResults"]:
            values[result["Id"]] += result["Values"]
            statuses[result["Id"]] = result["StatusCode"]
    if incomplete := [name for name in values if statuses.get(name) != "Complete"]:
        raise MetricsIncompleteError(f"CloudWatch has not returned all values of {', '.join(incomplete)}.")
    return values
