"""EventBridge: retries and dead-letter queues of targets, retries of functions, and accelerated `rate` schedules.

MiniStack matches patterns and calls targets. A target fails if it does not exist or policies deny it, which is not
retried, or by `fault_injection` of the action `InvokeTarget`. Retries follow the target's retry policy, in accelerated
time; then the event is sent to the dead-letter queue. Source: EventBridge user guide, "How EventBridge retries
delivering events" and "Using dead-letter queues to process undelivered events". The delays and the texts of
ERROR_MESSAGE are not documented. Not implemented: the other attributes of dead letters of schedules.
"""

import contextvars
import json
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from . import cloudwatch
from .emulator.fault_injection import next_fault
from .iam import services
from .ministack import eventbridge, lambda_functions, sns, sqs, stepfunctions

NOT_RETRIED = ("NO_PERMISSIONS", "NO_RESOURCE")
MAX_RETRIES, MAX_AGE = 185, 86_400  # unless the target has a retry policy; the age is in seconds
FIRST_DELAY, MAX_DELAY = 10, 600  # seconds
FINDERS: dict[str, Callable[[str], Any]] = {
    "lambda": lambda arn: lambda_functions.find_function(arn)[0],
    "sns": sns.find_topic,
    "sqs": sqs.queue_by_arn,
    "states": lambda arn: ":".join(arn.split(":")[:7]) in stepfunctions.state_machines,  # without the alias
}
SPEED = 1.0


def install(speed: float) -> None:
    """Deliver to targets with retries, and run `rate` schedules `speed` times faster."""
    global SPEED
    SPEED = speed
    lambda_functions.retry_seconds.replace(60 / speed)
    eventbridge.invoke_function.replace(_invoke)
    eventbridge.invoke_target.extend(_delivering)
    eventbridge.scheduler_interval.replace(min(10, 60 / speed / 4))
    eventbridge.rate_seconds.extend(_accelerated)


def _accelerated(parse: Callable[[str], float | None], expression: str) -> float | None:
    seconds = parse(expression)
    return seconds / SPEED if seconds else None


def _invoke(arn: str, payload: str) -> None:
    function, _, _ = lambda_functions.find_function(arn)
    if function:
        lambda_functions.invoke_asynchronously(function, json.loads(payload))


def _delivering(
    invoke: Callable[..., None], target: dict[str, Any], event: Any, rule: dict[str, Any], *arguments: Any
) -> None:
    _attempt(partial(invoke, target, event, rule, *arguments), target, event, rule["Arn"], time.time(), 0)


def _attempt(
    invoke: Callable[[], None], target: dict[str, Any], event: Any, rule: str, started: float, retries: int
) -> None:
    """Invoke a target, or try again later, or give up. retries: the number of previous attempts."""
    reason = _failure(target, rule)
    if retries:
        _record(rule, "RetryInvocationAttempts")
    if reason is None:
        _record(rule, "Invocations")
        invoke()
        return
    delay = min(FIRST_DELAY * 2**retries, MAX_DELAY) / SPEED
    is_retriable = reason["ERROR_CODE"] not in NOT_RETRIED
    exhausted = _exhausted(target.get("RetryPolicy", {}), retries, time.time() + delay - started)
    if is_retriable and not exhausted:
        again = partial(_attempt, invoke, target, event, rule, started, retries + 1)
        timer = threading.Timer(delay, contextvars.copy_context().run, (again,))
        timer.daemon = True
        timer.start()
        return
    condition = {"EXHAUSTED_RETRY_CONDITION": exhausted} if is_retriable else {}
    _give_up(target, event, rule, reason | condition | {"RETRY_ATTEMPTS": str(retries)})


def _exhausted(policy: dict[str, int], retries: int, age: float) -> str:
    """Return which limit of a retry policy another attempt at this age would exceed, or an empty string."""
    if retries >= policy.get("MaximumRetryAttempts", MAX_RETRIES):
        return "MaximumRetryAttempts"
    return "MaximumEventAgeInSeconds" if age > policy.get("MaximumEventAgeInSeconds", MAX_AGE) / SPEED else ""


def _failure(target: dict[str, Any], rule: str) -> dict[str, str] | None:
    """Return code and message of the error with which the invocation of a target fails, or None."""
    arn = target["Arn"]
    fault = next_fault("InvokeTarget")
    if fault:
        code, message = fault["code"], fault.get("message", "")
    elif not FINDERS.get(arn.split(":")[2], bool)(arn):
        code, message = "NO_RESOURCE", f"The target {arn} does not exist."
    elif not services.reaches_target(target, rule):
        code, message = "NO_PERMISSIONS", f"{rule} has no permission to invoke {arn}."
    else:
        return None
    return {"ERROR_CODE": code, "ERROR_MESSAGE": message}


def _give_up(target: dict[str, Any], event: Any, rule: str, reason: dict[str, str]) -> None:
    """Send an event that could not be delivered to the dead-letter queue of the target."""
    _record(rule, "Invocations", "FailedInvocations")
    if "DeadLetterConfig" not in target:
        return
    queue = target["DeadLetterConfig"]["Arn"]
    if not sqs.queue_by_arn(queue) or not services.may_send_dead_letter(target, rule):
        _record(rule, "InvocationsFailedToBeSentToDlq")
        return
    source = "SCHEDULE_ARN" if ":scheduler:" in rule else "RULE_ARN"
    attributes = {source: rule, "TARGET_ARN": target["Arn"]} | reason
    message = {
        "QueueUrl": queue.split(":")[-1],
        "MessageBody": json.dumps(eventbridge.event_view(event).event_with_detail()),
        "MessageAttributes": {k: {"DataType": "String", "StringValue": v} for k, v in attributes.items()},
    }
    sqs.send_message(message, "")
    _record(rule, "InvocationsSentToDlq")


def _record(rule: str, *metrics: str) -> None:
    if ":scheduler:" not in rule:
        cloudwatch.record("AWS/Events", dict.fromkeys(metrics, 1), [{"RuleName": rule.rsplit("/", 1)[-1]}])
