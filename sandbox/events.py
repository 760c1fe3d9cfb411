"""EventBridge: retries of function targets, and accelerated `rate` schedules.

Implements: retries and the failure destination of asynchronous invocations. MiniStack matches patterns and calls
targets. Not implemented: the target's own retry policy and dead-letter queue, which apply when Lambda is unavailable.
"""

import json

from .ministack import eventbridge, lambda_functions


def install(speed: float) -> None:
    """Invoke functions with retries, and run `rate` schedules `speed` times faster."""
    lambda_functions.retry_seconds.replace(0.5)  # 60 s on AWS
    eventbridge.invoke_function.replace(_invoke)
    eventbridge.scheduler_interval.replace(min(10, 60 / speed / 4))
    eventbridge.rate_seconds.replace(lambda expression: _accelerated(expression, speed))


def _accelerated(expression: str, speed: float) -> float | None:
    seconds: float | None = eventbridge.rate_seconds.original(expression)
    return seconds / speed if seconds else None


def _invoke(arn: str, payload: str) -> None:
    function, _, _ = lambda_functions.find_function(arn)
    if function:
        lambda_functions.invoke_asynchronously(function, json.loads(payload))
