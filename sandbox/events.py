"""EventBridge: retries of function targets, and accelerated `rate` schedules.

Implements: retries and the failure destination of asynchronous invocations. MiniStack matches patterns and calls
targets. Not implemented: the target's own retry policy and dead-letter queue, which apply when Lambda is unavailable.
"""

import json

from ministack.services import eventbridge, lambda_svc


def install(speed: float) -> None:
    """Invoke functions with retries, and run `rate` schedules `speed` times faster."""
    lambda_svc._LAMBDA_ASYNC_RETRY_BASE_SECONDS = 0.5  # 60 s on AWS
    eventbridge._dispatch_to_lambda = _invoke
    eventbridge._SCHEDULER_TICK_INTERVAL = min(10, 60 / speed / 4)
    rate_seconds = eventbridge._parse_rate_seconds

    def parse_rate_seconds(expression: str) -> float | None:
        seconds = rate_seconds(expression)
        return seconds / speed if seconds else None

    eventbridge._parse_rate_seconds = parse_rate_seconds


def _invoke(arn: str, payload: str) -> None:
    function, _, _ = lambda_svc._get_func_record_for_ref(arn)
    if function:
        lambda_svc.invoke_async_with_retry(function, json.loads(payload))
