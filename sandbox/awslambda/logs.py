"""JSON logs of Python functions: settings of the runtime, and the request ID in each line.

`opt/sitecustomize.py` formats the lines. Not implemented: JSON for START, END and REPORT, and for Node.js.
Source: Lambda developer guide, "Log and monitor Python Lambda functions".
"""

import json
from collections.abc import Callable
from typing import Any

from ..ministack import lambda_functions

Function = Callable[..., Any]


def install() -> None:
    """Add the request ID to the lines of logs."""
    lambda_functions.emit_logs.extend(_with_request_id)


def environment(config: dict[str, Any]) -> dict[str, str]:
    """Return the environment variables with which Lambda configures the runtime's logs."""
    logging = config.get("LoggingConfig") or {}
    names = {"LogFormat": "AWS_LAMBDA_LOG_FORMAT", "ApplicationLogLevel": "AWS_LAMBDA_LOG_LEVEL"}
    return {variable: logging[name] for name, variable in names.items() if name in logging}


def _with_request_id(
    emit: Function, record: dict[str, Any], request_id: str, text: str, *arguments: Any, **options: Any
) -> None:
    lines = (_add_request_id(line, request_id) for line in text.splitlines())
    emit(record, request_id, "\n".join(lines), *arguments, **options)


def _add_request_id(line: str, request_id: str) -> str:
    if not line.startswith('{"timestamp": '):
        return line
    return json.dumps(json.loads(line) | {"requestId": request_id})
