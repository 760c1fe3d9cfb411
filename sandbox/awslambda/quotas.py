"""Quotas of payloads, environment variables and concurrency, with AWS's messages; throttled events wait.

Sources: API reference of Invoke; Lambda developer guide, "Lambda quotas" and "Troubleshoot deployment issues".
"""

import json
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from ..iam.operations import Operation
from ..ministack import lambda_functions
from ..ministack.requests import json_error
from .aliases import name_and_qualifier

Function = Callable[..., Any]
MAX_EVENT_BYTES = 1024**2  # of an asynchronous invocation
MAX_REQUEST_BYTES = 6 * 1024**2
MAX_RESPONSE_BYTES = 6 * 1024**2 + 100
MAX_ENVIRONMENT_BYTES = 4096
ACCOUNT_CONCURRENCY = 1000
MIN_UNRESERVED = 100
MAX_EVENT_AGE, MAX_WAIT = 6 * 3600, 300  # seconds; of a throttled event, and between its attempts
_deadline: ContextVar[float] = ContextVar("DEADLINE", default=0.0)  # of the asynchronous invocation


def install() -> None:
    """Limit responses, and use AWS's message for throttled invocations."""
    lambda_functions.execute.extend(_with_limited_response)
    lambda_functions.throttle_response.replace(_throttle)
    lambda_functions.invoke_asynchronously.extend(_with_deadline)
    lambda_functions.run.extend(_with_wait_for_concurrency)


def _throttle(reason_code: str, retry_after: int = 1, **_message: str) -> Any:
    return lambda_functions.throttle_response.original(reason_code, "Rate Exceeded.", retry_after)


def _with_deadline(invoke: Function, record: dict[str, Any], event: Any) -> None:
    age = (record.get("event_invoke_config") or {}).get("MaximumEventAgeInSeconds") or MAX_EVENT_AGE
    token = _deadline.set(time.time() + age)
    try:
        invoke(record, event)  # its thread has a copy of the context
    finally:
        _deadline.reset(token)


def _with_wait_for_concurrency(run: Function, record: dict[str, Any], event: Any) -> Any:
    """Run throttled events again until they are too old, except those of functions without any concurrency."""
    result, seconds = run(record, event), 1.0
    name, _ = name_and_qualifier((record.get("config") or record)["FunctionArn"])
    is_disabled = lambda_functions.functions.get(name, {}).get("concurrency") == 0
    while result.get("throttle") and not is_disabled and time.time() + seconds < _deadline.get():
        time.sleep(seconds * lambda_functions.retry_seconds.current / 60)
        result, seconds = run(record, event), min(2 * seconds, MAX_WAIT)
    return result


def _with_limited_response(execute: Function, *arguments: Any, **options: Any) -> Any:
    result = execute(*arguments, **options)
    if len(json.dumps(result.get("body"), ensure_ascii=False, default=str).encode()) <= MAX_RESPONSE_BYTES:
        return result
    message = f"Response payload size exceeded maximum allowed payload size ({MAX_RESPONSE_BYTES} bytes)."
    error = {"errorMessage": message, "errorType": "Function.ResponseSizeTooLarge"}
    return result | {"body": error, "error": True, "function_error": "Unhandled"}


def refusal(operation: Operation, headers: Any, body: bytes) -> Any:
    """Return an error if a request exceeds a quota."""
    if operation.name == "Invoke":
        limit = MAX_EVENT_BYTES if headers.get("x-amz-invocation-type") == "Event" else MAX_REQUEST_BYTES
        message = f"Request must be smaller than {limit} bytes for the InvokeFunction operation"
        return json_error("RequestEntityTooLargeException", message, 413) if len(body) > limit else None
    if operation.name in ("CreateFunction", "UpdateFunctionConfiguration", "PutFunctionConcurrency"):
        reason = configuration_error(operation.get("FunctionName").split(":function:")[-1], operation.parameters)
        return json_error("InvalidParameterValueException", reason, 400) if reason else None
    return None


def configuration_error(name: str, configuration: Mapping[str, Any]) -> str:
    """Return why a function cannot have these environment variables and reserved concurrency, or an empty string."""
    variables = json.dumps((configuration.get("Environment") or {}).get("Variables") or {}, separators=(",", ":"))
    if len(variables.encode()) > MAX_ENVIRONMENT_BYTES:
        reason = "because the environment variables you have provided exceeded the 4KB limit. String measured: "
        return f"Lambda was unable to configure your environment variables {reason}{variables}"
    functions = lambda_functions.functions.items()
    others = sum(function.get("concurrency") or 0 for other, function in functions if other != name)
    if others + int(configuration.get("ReservedConcurrentExecutions") or 0) > ACCOUNT_CONCURRENCY - MIN_UNRESERVED:
        reason = f"decreases account's UnreservedConcurrentExecution below its minimum value of [{MIN_UNRESERVED}]."
        return f"Specified ReservedConcurrentExecutions for function {reason}"
    return ""
