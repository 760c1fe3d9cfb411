"""Why a stack operation failed: every resource that failed by itself, down through nested stacks.

A stack's events hold many operations. A nested stack that fails is deleted or rolled back by its
parent, so its last operation is not the one that failed: the parent's event says which one is.
What fails after a rollback has begun is not the cause, and is reported separately. If no resource
failed, the stack's own events have the reason, such as a failed transform or an export in use.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

from botocore.exceptions import ClientError

from .messages import LARGEST_CAUSE, fit
from .operation_events import refusals

Event = dict[str, Any]
STACK = "AWS::CloudFormation::Stack"
CONSEQUENCE = re.compile(r"Resource \w+ cancelled")  # because another resource failed
REFUSED = re.compile(r"hook\(s\)|EarlyValidation|DescribeEvents")  # the reason itself is elsewhere
FAILED = re.compile(r"_FAILED$|ROLLBACK")  # a status of the stack itself
DEPLOYMENTS = ("CREATE", "UPDATE", "IMPORT")
START = re.compile(r"(CREATE|UPDATE|IMPORT|DELETE)_IN_PROGRESS")


@dataclass(frozen=True)
class Failure:
    """What failed, and why. `path` leads through nested stacks; it is empty for the stack itself."""

    path: str
    type: str
    reason: str

    @property
    def name(self) -> str:
        return f"{self.path} ({self.type})"


def explain(cloudformation: Any, stack_id: str, stack_name: str, status: str, status_reason: str = "") -> str:
    """Describe the failure of the last operation on a stack, with every reason that CloudFormation gives.

    `status_reason` is that of the stack's description, for what its events do not give or cannot be read.
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
    return fit("\n".join(lines), LARGEST_CAUSE)


def _state(stack_name: str, status: str) -> str:
    if status == "DELETE_COMPLETE":
        return f"{stack_name} was deleted by somebody else meanwhile"
    if status.endswith("_IN_PROGRESS"):
        return f"{stack_name} is still {status}; waiting for it has been given up"
    return f"{stack_name} is {status}"


def _operation(cloudformation: Any, stack_id: str, verbs: Collection[str]) -> list[Event]:
    """The events of the last operation that is one of `verbs`, oldest first."""
    events: list[Event] = []
    for page in cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack_id):
        for event in page["StackEvents"]:  # newest first
            events.append(event)
            start = START.fullmatch(event["ResourceStatus"]) if _is_stack(event, stack_id) else None
            if start and start[1] in verbs:
                return events[::-1]
            if start:  # of a later operation, to which all of these belong
                events.clear()
    return events[::-1]


def _failures(cloudformation: Any, stack_id: str, events: list[Event]) -> list[Failure]:
    """What failed before the rollback or, if no resource did, the stack's own reason."""
    before, _ = _split_at_rollback(events, stack_id)
    found = [f for event in before if _failed(event, stack_id) for f in _inside(cloudformation, event)]
    own = [event for event in events if _is_stack(event, stack_id)]
    for index, failure in enumerate(found):
        if REFUSED.search(failure.reason):
            details = _details(cloudformation, stack_id, events, failure.reason)
            found[index] = replace(failure, reason=failure.reason + details)
            break
    if found or not any(FAILED.search(event["ResourceStatus"]) for event in own):
        return found
    given = [event.get("ResourceStatusReason") for event in own if not START.fullmatch(event["ResourceStatus"])]
    reason = " ".join(dict.fromkeys(filter(None, given))) or "no reason given"
    return [Failure("", STACK, reason + _details(cloudformation, stack_id, events, reason))]


def _failures_of_rollback(cloudformation: Any, stack_id: str, events: list[Event]) -> list[Failure]:
    _, after = _split_at_rollback(events, stack_id)
    return [f for event in after if _failed(event, stack_id) for f in _inside(cloudformation, event, rollback=True)]


def _inside(cloudformation: Any, event: Event, rollback: bool = False) -> Iterator[Failure]:
    """The failures behind an event: those in a nested stack, or the resource's own."""
    name, child = event["LogicalResourceId"], event.get("PhysicalResourceId", "")
    itself = Failure(name, event["ResourceType"], _reason(event))
    if event["ResourceType"] != STACK or not child.startswith("arn:"):
        yield itself
        return
    status = event["ResourceStatus"]
    verb = status.partition("_")[0].replace("ROLLBACK", "CREATE")  # ROLLBACK_FAILED is of a creation
    later = "ROLLBACK" in status or (rollback and verb != "DELETE")
    look = _failures_of_rollback if later else _failures
    try:
        inner = look(cloudformation, child, _operation(cloudformation, child, [verb]))
    except ClientError as error:  # which must not hide what is known
        yield replace(itself, reason=f"{itself.reason} (its events could not be read: {error})")
        return
    for failure in inner:
        reason = failure.reason if failure.path else f"{itself.reason} {failure.reason}"
        yield Failure("/".join(filter(None, (name, failure.path))), failure.type, reason)
    if not inner:
        yield itself


def _split_at_rollback(events: list[Event], stack_id: str) -> tuple[list[Event], list[Event]]:
    for index, event in enumerate(events):
        if _is_stack(event, stack_id) and event["ResourceStatus"].endswith("ROLLBACK_IN_PROGRESS"):
            return events[:index], events[index:]
    return events, []


def _failed(event: Event, stack_id: str) -> bool:
    """Whether the event is of a resource that failed by itself, not because another one did."""
    failed = event["ResourceStatus"].endswith("_FAILED") and not _is_stack(event, stack_id)
    return failed and not CONSEQUENCE.match(_reason(event))


def _details(cloudformation: Any, stack_id: str, events: list[Event], reason: str) -> str:
    """Lines that say which validation or hook refused what.

    If `reason` says that there are such refusals and the stack has none, its operations are read one by one: after a
    rollback, which is an operation of its own, CloudFormation may give the stack's latest operation only.
    """
    operations = list(dict.fromkeys(event["OperationId"] for event in events if event.get("OperationId")))
    lines = list(refusals(cloudformation, operations, StackName=stack_id))
    if not lines and REFUSED.search(reason):
        lines = [line for operation in operations for line in refusals(cloudformation, OperationId=operation)]
    return "".join(f"\n- {line}" for line in lines)


def _is_stack(event: Event, stack_id: str) -> bool:
    return bool(event.get("PhysicalResourceId") == stack_id)


def _reason(event: Event) -> str:
    return str(event.get("ResourceStatusReason") or "no reason given")
