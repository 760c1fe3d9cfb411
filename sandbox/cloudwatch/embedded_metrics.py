"""Metrics in the logs of functions. Source: CloudWatch user guide, embedded metric format specification."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from ..ministack import lambda_functions
from .statistics import record

Function = Callable[..., Any]


def install() -> None:
    """Extract the metrics of functions from their logs."""
    lambda_functions.emit_logs.extend(_with_metrics)


def _with_metrics(
    emit: Function, record: dict[str, Any], request_id: str, text: str, *arguments: Any, **options: Any
) -> None:
    emit(record, request_id, text, *arguments, **options)
    for document in _documents(text):
        for directive in document["_aws"]["CloudWatchMetrics"]:
            _store(document, directive)


def _documents(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        if '"_aws"' not in line:
            continue
        try:
            document = json.loads(line)
        except ValueError:
            continue
        if isinstance(document, dict) and "CloudWatchMetrics" in document.get("_aws", {}):
            yield document


def _store(document: dict[str, Any], directive: dict[str, Any]) -> None:
    timestamp = document["_aws"]["Timestamp"] / 1000
    sets = [{name: str(document[name]) for name in names} for names in directive.get("Dimensions") or [[]]]
    for metric in directive["Metrics"]:
        name, unit = metric["Name"], metric.get("Unit", "None")
        for value in document[name] if isinstance(document[name], list) else [document[name]]:
            record(directive["Namespace"], {name: value}, sets, unit=unit, at=timestamp)
