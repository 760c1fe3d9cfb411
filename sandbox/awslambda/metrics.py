"""Lambda's metrics: by function, by alias or version, and by the version that an alias ran.

Each attempt has a data point at the time when it started. Duration excludes the initialization of the environment and
the wait for a process. Throttled attempts have no executed version. Source: Lambda developer guide, "Using CloudWatch
metrics with Lambda" and "Types of metrics for Lambda functions". Not implemented: the other metrics.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

from .. import cloudwatch
from ..ministack import lambda_functions
from ..ministack.requests import get_region
from .aliases import name_and_qualifier

Function = Callable[..., Any]
_started: ContextVar[float] = ContextVar("STARTED", default=0.0)  # when the environment was ready


def install() -> None:
    """Record each attempt in place of MiniStack."""
    lambda_functions.emit_metrics.replace(lambda *_arguments, **_options: None)
    lambda_functions.acquire_process.extend(_with_initialization)
    lambda_functions.run.extend(_with_metrics)


def _with_initialization(acquire: Function, *arguments: Any, **options: Any) -> Any:
    """Start the process before the time is measured."""
    process, reason = acquire(*arguments, **options)
    if process:
        with suppress(Exception):  # the invocation starts it again and reports the error
            lambda_functions.start_process(process)
    _started.set(time.time())
    return process, reason


def _with_metrics(run: Function, record: dict[str, Any], event: Any) -> Any:
    config = record.get("config") or record
    if config["FunctionArn"].split(":")[3] != get_region():
        return run(record, event)  # MiniStack calls this again in the function's Region
    called = time.time()
    result = run(record, event)
    _record(config, result, called)
    return result


def _record(config: dict[str, Any], result: dict[str, Any], called: float) -> None:
    name, qualifier = name_and_qualifier(config["FunctionArn"])
    by_function = {"FunctionName": name}
    by_resource = by_function | {"Resource": f"{name}:{qualifier}" if qualifier else name}
    sets: list[dict[str, str]] = [{}, by_function, by_resource]
    if result.get("throttle"):
        cloudwatch.record("AWS/Lambda", {"Throttles": 1}, sets, at=called)
        return
    is_alias = qualifier and not qualifier.isdigit() and qualifier != "$LATEST"
    if is_alias:
        sets.append(by_resource | {"ExecutedVersion": config["Version"]})
    counts = {"Invocations": 1, "Errors": 1 if result.get("error") else 0, "Throttles": 0}
    cloudwatch.record("AWS/Lambda", counts, sets, at=called)
    milliseconds = (time.time() - max(_started.get(), called)) * 1000
    cloudwatch.record("AWS/Lambda", {"Duration": milliseconds}, sets, unit="Milliseconds", at=called)
