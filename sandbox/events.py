"""EventBridge: asynchronous invocation of functions, and `rate` schedules that run faster.

MiniStack matches patterns and calls targets. Here a function that fails is called again as
Lambda's asynchronous invocation does it, and what still fails goes to the function's failure
destination. Left out: the retry policy and the dead-letter queue of the target itself, which
count only when Lambda cannot be reached.
"""

import json

from ministack.services import eventbridge, lambda_svc


def install(speed: float) -> None:
    """Call functions with retries; run schedules `speed` times faster than the clock."""
    lambda_svc._LAMBDA_ASYNC_RETRY_BASE_SECONDS = 0.5  # 60 s on AWS
    eventbridge._dispatch_to_lambda = _invoke
    eventbridge._SCHEDULER_TICK_INTERVAL = min(10, 60 / speed / 4)
    rate_seconds = eventbridge._parse_rate_seconds

    def faster(expression: str) -> float | None:
        seconds = rate_seconds(expression)
        return seconds / speed if seconds else None

    eventbridge._parse_rate_seconds = faster


def _invoke(arn: str, payload: str) -> None:
    function, _, _ = lambda_svc._get_func_record_for_ref(arn)
    if function:
        lambda_svc.invoke_async_with_retry(function, json.loads(payload))
