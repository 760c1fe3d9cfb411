"""Refusals that only CloudFormation's DescribeEvents explains: failed validations and hooks.

CloudFormation validates a template before it deploys it, when a change set or a stack is created.
The status of either names the validation that failed, but neither the resource nor the reason.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

ERRORS = ("VALIDATION_ERROR", "HOOK_INVOCATION_ERROR", "PROVISIONING_ERROR")


def refusals(cloudformation: Any, operation_ids: Collection[str] = (), **target: str) -> Iterator[str]:
    """Give a line for each refusal, and one more if they cannot all be read.

    `target` has the arguments of DescribeEvents that name a change set, an operation or a stack. With
    `operation_ids`, events of other operations on the stack are left out.
    """
    if not hasattr(cloudformation, "describe_events"):  # the call is newer than some runtimes' SDK
        yield "The details could not be read: this version of boto3 has no DescribeEvents."
        return
    arguments: dict[str, Any] = {**target, "Filters": {"FailedEvents": True}}
    try:
        while True:
            page = cloudformation.describe_events(**arguments)
            for event in page.get("OperationEvents", []):
                if _refuses(event) and (not operation_ids or event.get("OperationId") in operation_ids):
                    yield _line(event)
            if not page.get("NextToken"):
                return
            arguments["NextToken"] = page["NextToken"]
    except (BotoCoreError, ClientError) as error:
        yield f"The details could not be read: {error}"


def _refuses(event: Mapping[str, Any]) -> bool:
    """Whether the event stopped the operation: a validation or a hook may also only warn."""
    modes = (event.get("ValidationFailureMode"), event.get("HookFailureMode"))
    return event.get("EventType") in ERRORS and "WARN" not in modes and event.get("ValidationStatus") != "SKIPPED"


def _line(event: Mapping[str, Any]) -> str:
    reasons = (event.get(f"{kind}StatusReason") for kind in ("Validation", "Hook", "Resource"))
    reason = next(filter(None, reasons), "no reason given")
    origin = [event.get("ValidationName"), event.get("HookType"), event.get("ValidationPath")]
    named = f" [{', '.join(filter(None, origin))}]" if any(origin) else ""
    return f"{event.get('LogicalResourceId', '?')} ({event.get('ResourceType', '?')}): {reason}{named}"
