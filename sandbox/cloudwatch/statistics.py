"""Metrics: storing values, also those in the logs of functions, GetMetricStatistics and GetMetricData.

`StartTime` is rounded down to a minute of accelerated time, and the periods start there. Sources: API reference of
these operations; CloudWatch user guide, embedded metric format specification. Not implemented: expressions, tokens of
pages, and the query protocol, which MiniStack serves.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from ..ministack import cloudwatch, lambda_functions

Function = Callable[..., Any]
Points = list[dict[str, Any]]
MINUTE = 60.0
SECONDS = {"minute": MINUTE}  # the duration of an accelerated minute


def install(speed: float) -> None:
    """Replace the operations, and extract the metrics of functions from their logs."""
    SECONDS["minute"] = MINUTE / speed
    cloudwatch.get_metric_data.extend(_with_metric_data)
    cloudwatch.get_metric_statistics.extend(_with_statistics)
    lambda_functions.emit_logs.extend(_with_embedded_metrics)


def record(
    namespace: str,
    values: Mapping[str, float],
    dimension_sets: Iterable[Mapping[str, str]],
    *,
    unit: str = "Count",
    at: float | None = None,
) -> None:
    """Store a value of each metric in `values`, once for each set of dimensions.

    at: the time in epoch seconds (default: now).
    """
    now = time.time()
    for dimensions in dimension_sets:
        for name, value in values.items():
            key = (namespace, name, cloudwatch.dimensions_key(dict(dimensions)))
            cloudwatch.store_datum(namespace, name, dict(dimensions), at or now, unit, value, None, None, None)
            cloudwatch.metrics[key][-1]["Arrived"] = now


def _with_embedded_metrics(
    emit: Function, function: dict[str, Any], request_id: str, text: str, *arguments: Any, **options: Any
) -> None:
    emit(function, request_id, text, *arguments, **options)
    for line in text.splitlines():
        with suppress(ValueError):  # other output
            document = json.loads(line) if '"_aws"' in line else None
            if isinstance(document, dict):
                _store(document)


def _store(document: dict[str, Any]) -> None:
    timestamp = document["_aws"]["Timestamp"] / 1000
    for directive in document["_aws"].get("CloudWatchMetrics", []):
        sets = [{name: str(document[name]) for name in names} for names in directive.get("Dimensions") or [[]]]
        for metric in directive["Metrics"]:
            name, unit = metric["Name"], metric.get("Unit", "None")
            for value in document[name] if isinstance(document[name], list) else [document[name]]:
                record(directive["Namespace"], {name: value}, sets, unit=unit, at=timestamp)


def points_of(namespace: str, name: str, dimensions: list[dict[str, str]]) -> Points:
    """Return the data points of exactly this metric."""
    key = cloudwatch.dimensions_key({dimension["Name"]: dimension["Value"] for dimension in dimensions})
    points: Points = cloudwatch.metrics.get((namespace, name, key)) or []
    return points


def value_of(points: Points, statistic: str) -> float | None:
    """Return a statistic or percentile of data points; None if there are none."""
    return cloudwatch.statistic(cloudwatch.statistics_of(points), statistic, points) if points else None


def _periods(points: Points, request: dict[str, Any], period: int) -> Iterator[tuple[float, Points]]:
    """Yield the start and the data points of each period that has any."""
    minute = SECONDS["minute"]
    start = cloudwatch.parse_timestamp(request["StartTime"]) // minute * minute
    end = cloudwatch.parse_timestamp(request["EndTime"])
    by_start: dict[float, Points] = {}
    for point in points:
        if start <= point["Timestamp"] < end:
            by_start.setdefault(start + (point["Timestamp"] - start) // period * period, []).append(point)
    yield from sorted(by_start.items())


def _with_metric_data(
    original: Function, parameters: Any, request: dict[str, Any], is_cbor: bool, is_json: bool = False
) -> Any:
    queries = request.get("MetricDataQueries", [])
    if not is_json or any("Expression" in query for query in queries):
        return original(parameters, request, is_cbor, is_json)
    descending = request.get("ScanBy", "TimestampDescending") == "TimestampDescending"
    results = [_result(query, request, descending) for query in queries if query.get("ReturnData", True)]
    return cloudwatch.json_response({"MetricDataResults": results, "Messages": []})


def _result(query: dict[str, Any], request: dict[str, Any], descending: bool) -> dict[str, Any]:
    stat = query["MetricStat"]
    metric = stat["Metric"]
    points = points_of(metric["Namespace"], metric["MetricName"], metric.get("Dimensions") or [])
    values = [(start, value_of(found, stat["Stat"])) for start, found in _periods(points, request, stat["Period"])]
    values = sorted(((start, value) for start, value in values if value is not None), reverse=descending)
    return {
        "Id": query["Id"],
        "Label": query.get("Label", metric["MetricName"]),
        "Timestamps": [start for start, _ in values],
        "Values": [value for _, value in values],
        "StatusCode": "Complete",
    }


def _with_statistics(
    original: Function, parameters: Any, request: dict[str, Any], is_cbor: bool, is_json: bool = False
) -> Any:
    if not is_json:
        return original(parameters, request, is_cbor, is_json)
    points = points_of(request["Namespace"], request["MetricName"], request.get("Dimensions") or [])
    datapoints = []
    for start, found in _periods(points, request, request["Period"]):
        values = {name: value_of(found, name) for name in request.get("Statistics") or []}
        extended = {name: value_of(found, name) for name in request.get("ExtendedStatistics") or []}
        datapoint = {"Timestamp": start, "Unit": found[0]["Unit"], **values}
        datapoints.append(datapoint | ({"ExtendedStatistics": extended} if extended else {}))
    return cloudwatch.json_response({"Label": request["MetricName"], "Datapoints": datapoints})
