"""Read failed validations and hooks, whose details only CloudFormation's DescribeEvents returns.

CloudFormation validates a template when it creates a change set or a stack. The status reason of either names
the validation that failed, but neither the resource nor the reason.
"""

from collections.abc import Collection, Iterator
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from .api_types import OperationEvent

ERRORS = ("VALIDATION_ERROR", "HOOK_INVOCATION_ERROR", "PROVISIONING_ERROR")


def refusals(cloudformation: Any, operation_ids: Collection[str] = (), **target: str) -> Iterator[str]:
    """Return a line for each failed validation or hook, and another one if not all of them can be read.

    `target` are the arguments of DescribeEvents that name a change set, an operation or a stack. With
    `operation_ids`, events of other operations on the stack are omitted.
    """
    if not hasattr(cloudformation, "describe_events"):  # the SDK of the Lambda runtime can be older
        yield "The details could not be read: this version of boto3 does not have DescribeEvents."
        return
    try:
        for event in _events(cloudformation, {**target, "Filters": {"FailedEvents": True}}):
            if _refuses(event) and (not operation_ids or event.get("OperationId") in operation_ids):
                yield _line(event)
    except (BotoCoreError, ClientError) as error:
        yield f"The details could not be read: {error}"


def warnings(cloudformation: Any, path: str = "", **change_set: str) -> Iterator[str]:
    """Return a line for each warning of validations and hooks, and another one if not all of them can be read.

    `change_set` are the arguments of DescribeEvents, and `path` is the path of its nested stack.
    """
    if not hasattr(cloudformation, "describe_events"):
        return
    try:
        yield from (path + _line(event) for event in _events(cloudformation, change_set) if _warns(event))
    except (BotoCoreError, ClientError) as error:
        yield f"The warnings could not be read: {error}"


def _events(cloudformation: Any, arguments: dict[str, Any]) -> Iterator[OperationEvent]:
    """Return the events on all pages."""
    token: dict[str, str] = {}
    while True:
        page = cloudformation.describe_events(**arguments, **token)
        yield from page.get("OperationEvents", [])
        if not page.get("NextToken"):
            return
        token = {"NextToken": page["NextToken"]}


def _refuses(event: OperationEvent) -> bool:
    """Return whether the event stopped the operation; validations and hooks can also only warn."""
    return _is_failure(event) and not _only_warns(event)


def _warns(event: OperationEvent) -> bool:
    return _is_failure(event) and _only_warns(event)


def _is_failure(event: OperationEvent) -> bool:
    return event.get("EventType") in ERRORS and event.get("ValidationStatus") != "SKIPPED"


def _only_warns(event: OperationEvent) -> bool:
    return "WARN" in (event.get("ValidationFailureMode"), event.get("HookFailureMode"))


def _line(event: OperationEvent) -> str:
    reason = (
        event.get("ValidationStatusReason")
        or event.get("HookStatusReason")
        or event.get("ResourceStatusReason")
        or "no reason given"
    )
    origin = [event.get("ValidationName"), event.get("HookType"), event.get("ValidationPath")]
    details = f" [{', '.join(filter(None, origin))}]" if any(origin) else ""
    return f"{event.get('LogicalResourceId', '?')} ({event.get('ResourceType', '?')}): {reason}{details}"
