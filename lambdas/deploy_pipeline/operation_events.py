"""Read failed validations and hooks, whose details only CloudFormation's DescribeEvents returns.

CloudFormation validates a template when it creates a change set or a stack. The status reason of either names
the validation that failed, but neither the resource nor the reason.
"""

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Unpack

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from types_boto3_cloudformation import CloudFormationClient
    from types_boto3_cloudformation.type_defs import DescribeEventsInputTypeDef, OperationEventTypeDef

ERRORS = ("VALIDATION_ERROR", "HOOK_INVOCATION_ERROR", "PROVISIONING_ERROR")


def refusals(
    cloudformation: "CloudFormationClient",
    operation_ids: Collection[str] = (),
    **target: "Unpack[DescribeEventsInputTypeDef]",
) -> Iterator[str]:
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


def warnings(
    cloudformation: "CloudFormationClient", path: str = "", **change_set: "Unpack[DescribeEventsInputTypeDef]"
) -> Iterator[str]:
    """Return a line for each warning of validations and hooks, and another one if not all of them can be read.

    `change_set` are the arguments of DescribeEvents, and `path` is the path of its nested stack.
    """
    if not hasattr(cloudformation, "describe_events"):
        return
    try:
        yield from (path + _line(event) for event in _events(cloudformation, change_set) if _warns(event))
    except (BotoCoreError, ClientError) as error:
        yield f"The warnings could not be read: {error}"


def _events(
    cloudformation: "CloudFormationClient", arguments: "DescribeEventsInputTypeDef"
) -> "Iterator[OperationEventTypeDef]":
    """Return the events on all pages."""
    while True:
        page = cloudformation.describe_events(**arguments)
        yield from page.get("OperationEvents", [])
        if not page.get("NextToken"):
            return
        arguments = {**arguments, "NextToken": page["NextToken"]}


def _refuses(event: "OperationEventTypeDef") -> bool:
    """Return whether the event stopped the operation; validations and hooks can also only warn."""
    return _is_failure(event) and not _only_warns(event)


def _warns(event: "OperationEventTypeDef") -> bool:
    return _is_failure(event) and _only_warns(event)


def _is_failure(event: "OperationEventTypeDef") -> bool:
    return event.get("EventType") in ERRORS and event.get("ValidationStatus") != "SKIPPED"


def _only_warns(event: "OperationEventTypeDef") -> bool:
    return "WARN" in (event.get("ValidationFailureMode"), event.get("HookFailureMode"))


def _line(event: "OperationEventTypeDef") -> str:
    reason = (
        event.get("ValidationStatusReason")
        or event.get("HookStatusReason")
        or event.get("ResourceStatusReason")
        or "no reason given"
    )
    origin = [event.get("ValidationName"), event.get("HookType"), event.get("ValidationPath")]
    details = f" [{', '.join(filter(None, origin))}]" if any(origin) else ""
    return f"{event.get('LogicalResourceId', '?')} ({event.get('ResourceType', '?')}): {reason}{details}"
