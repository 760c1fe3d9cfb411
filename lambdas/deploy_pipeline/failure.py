"""Explain why a stack operation failed: the resources that caused it, including those of nested stacks.

The events of a stack contain several operations. The parent of a nested stack that fails deletes it or rolls it
back, so the last operation of the nested stack is not the one that failed; the event of the parent names the one
that did. Failures after the start of a rollback are not the cause and are reported separately. If no resource
failed, the reason is in the events of the stack itself, such as a failed transform or an export in use.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from .operation_events import refusals
from .truncation import MAX_CAUSE_CHARACTERS, truncate

if TYPE_CHECKING:
    from types_boto3_cloudformation import CloudFormationClient
    from types_boto3_cloudformation.type_defs import StackEventTypeDef

STACK = "AWS::CloudFormation::Stack"
CONSEQUENCE = re.compile(r"Resource \w+ cancelled")  # because of the failure of another resource
REFUSED = re.compile(r"hook\(s\)|EarlyValidation|DescribeEvents")  # the message does not contain the actual reason
FAILED = re.compile(r"_FAILED$|ROLLBACK")  # status of the stack itself
DEPLOYMENTS = ("CREATE", "UPDATE", "IMPORT")
START = re.compile(r"(CREATE|UPDATE|IMPORT|DELETE)_IN_PROGRESS")


@dataclass(frozen=True)
class Failure:
    """A failed resource and the reason. `path` includes nested stacks; it is empty for the stack itself."""

    path: str
    type: str
    reason: str

    @property
    def name(self) -> str:
        return f"{self.path} ({self.type})"


def explain(
    cloudformation: "CloudFormationClient", stack_id: str, stack_name: str, status: str, status_reason: str = ""
) -> str:
    """Describe the failure of the last operation on a stack, with every reason that CloudFormation returns.

    `status_reason`, from the stack's description, is used if the events have no reason or cannot be read.
    """
    state = _state(stack_name, status)
    verbs = ("DELETE",) if status == "DELETE_FAILED" else DEPLOYMENTS
    try:
        events = _operation(cloudformation, stack_id, verbs)
    except ClientError as error:
        known = f" ({status_reason})" if status_reason else ""
        return f"{state}{known}; its events could not be read: {error}"
    causes = _failures(cloudformation, stack_id, events)
    if not causes:
        if status == "DELETE_COMPLETE" or status.endswith("_IN_PROGRESS"):
            return f"{state}."
        known = f": {status_reason}" if status_reason else "; its events give no reason."
        return f"{state}{known}{_details(cloudformation, stack_id, events, status_reason)}"
    first = causes[0]
    lines = [f"{state}: {first.name} failed first: {first.reason}" if first.path else f"{state}: {first.reason}"]
    if len(causes) > 1:
        lines += ["Also failed:", *(f"- {cause.name}: {cause.reason}" for cause in causes[1:])]
    if later := _failures_of_rollback(cloudformation, stack_id, events):
        lines += ["Failed during the rollback:", *(f"- {failure.name}: {failure.reason}" for failure in later)]
    elif status.endswith("ROLLBACK_FAILED") and status_reason:
        lines.append(f"The rollback failed: {status_reason}")
    return truncate("\n".join(lines), MAX_CAUSE_CHARACTERS)


def _state(stack_name: str, status: str) -> str:
    if status == "DELETE_COMPLETE":
        return f"{stack_name} was deleted by somebody else during the deployment"
    if status.endswith("_IN_PROGRESS"):
        return f"{stack_name} is still {status}; the deployment no longer waits for it"
    return f"{stack_name} is {status}"


def _operation(
    cloudformation: "CloudFormationClient", stack_id: str, verbs: Collection[str]
) -> "list[StackEventTypeDef]":
    """Return the events of the last operation that is one of `verbs`, oldest first."""
    events: list[StackEventTypeDef] = []
    for page in cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack_id):
        for event in page["StackEvents"]:  # newest first
            events.append(event)
            start = START.fullmatch(event["ResourceStatus"]) if _is_stack(event, stack_id) else None
            if start and start[1] in verbs:
                return events[::-1]
            if start:  # these events belong to a later operation
                events.clear()
    return events[::-1]


def _failures(
    cloudformation: "CloudFormationClient", stack_id: str, events: "list[StackEventTypeDef]"
) -> list[Failure]:
    """Return the failures before the rollback or, if no resource failed, the reason of the stack itself."""
    before, _ = _split_at_rollback(events, stack_id)
    failures = [f for event in before if _failed(event, stack_id) for f in _resolve_nested(cloudformation, event)]
    own = [event for event in events if _is_stack(event, stack_id)]
    for index, failure in enumerate(failures):
        if REFUSED.search(failure.reason):
            details = _details(cloudformation, stack_id, events, failure.reason)
            failures[index] = replace(failure, reason=failure.reason + details)
            break
    if failures or not any(FAILED.search(event["ResourceStatus"]) for event in own):
        return failures
    reasons = [event.get("ResourceStatusReason") for event in own if not START.fullmatch(event["ResourceStatus"])]
    reason = " ".join(dict.fromkeys(filter(None, reasons))) or "no reason given"
    return [Failure("", STACK, reason + _details(cloudformation, stack_id, events, reason))]


def _failures_of_rollback(
    cloudformation: "CloudFormationClient", stack_id: str, events: "list[StackEventTypeDef]"
) -> list[Failure]:
    _, after = _split_at_rollback(events, stack_id)
    return [
        f for event in after if _failed(event, stack_id) for f in _resolve_nested(cloudformation, event, rollback=True)
    ]


def _resolve_nested(
    cloudformation: "CloudFormationClient", event: "StackEventTypeDef", rollback: bool = False
) -> Iterator[Failure]:
    """Return the failures inside a nested stack, or the failure of the resource itself."""
    name, child = event["LogicalResourceId"], event.get("PhysicalResourceId", "")
    itself = Failure(name, event["ResourceType"], _reason(event))
    if event["ResourceType"] != STACK or not child.startswith("arn:"):
        yield itself
        return
    status = event["ResourceStatus"]
    verb = status.partition("_")[0].replace("ROLLBACK", "CREATE")  # ROLLBACK_FAILED belongs to a creation
    later = "ROLLBACK" in status or (rollback and verb != "DELETE")
    find_failures = _failures_of_rollback if later else _failures
    try:
        inner = find_failures(cloudformation, child, _operation(cloudformation, child, [verb]))
    except ClientError as error:  # must not hide the known reason
        yield replace(itself, reason=f"{itself.reason} (its events could not be read: {error})")
        return
    for failure in inner:
        reason = failure.reason if failure.path else f"{itself.reason} {failure.reason}"
        yield Failure("/".join(filter(None, (name, failure.path))), failure.type, reason)
    if not inner:
        yield itself


def _split_at_rollback(
    events: "list[StackEventTypeDef]", stack_id: str
) -> "tuple[list[StackEventTypeDef], list[StackEventTypeDef]]":
    for index, event in enumerate(events):
        if _is_stack(event, stack_id) and event["ResourceStatus"].endswith("ROLLBACK_IN_PROGRESS"):
            return events[:index], events[index:]
    return events, []


def _failed(event: "StackEventTypeDef", stack_id: str) -> bool:
    """Return whether a resource failed, and not because of the failure of another one."""
    failed = event["ResourceStatus"].endswith("_FAILED") and not _is_stack(event, stack_id)
    return failed and not CONSEQUENCE.match(_reason(event))


def _details(
    cloudformation: "CloudFormationClient", stack_id: str, events: "list[StackEventTypeDef]", reason: str
) -> str:
    """List the failed validations and hooks, one per line.

    If `reason` mentions them and the stack's events do not contain them, the events of each operation are read:
    a rollback is a separate operation, and CloudFormation may return only the latest operation of a stack.
    """
    operations = list(dict.fromkeys(event["OperationId"] for event in events if event.get("OperationId")))
    lines = list(refusals(cloudformation, operations, StackName=stack_id))
    if not lines and REFUSED.search(reason):
        lines = [line for operation in operations for line in refusals(cloudformation, OperationId=operation)]
    return "".join(f"\n- {line}" for line in lines)


def _is_stack(event: "StackEventTypeDef", stack_id: str) -> bool:
    return bool(event.get("PhysicalResourceId") == stack_id)


def _reason(event: "StackEventTypeDef") -> str:
    return str(event.get("ResourceStatusReason") or "no reason given")
