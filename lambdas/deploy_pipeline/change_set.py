"""Read a change set: whether it is there yet, and everything it would change."""

import json
import re
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from .errors import ChangeSetGoneError
from .inspection import Policy, violations
from .lookups import lookups
from .messages import LARGEST_CAUSE, fit
from .operation_events import refusals
from .stack import change_set_name, is_absence

LARGEST_LIST = 100_000  # characters; a state's output may have 262,144 bytes
NO_CHANGES = ("didn't contain changes", "No updates are to be performed")
CHANGE_SET_ARN = re.compile(r"arn:[\w-]+:cloudformation:[\w-]+:\d+:changeSet/[\w/-]+")
CONTEXTS = ("BeforeContext", "AfterContext")
STARTED = ("EXECUTE_IN_PROGRESS", "EXECUTE_COMPLETE", "EXECUTE_FAILED")


def creation_status(cloudformation: Any, change_set_id: str, stack_name: str) -> dict[str, str]:
    """Say whether a change set is ``pending``, ``ready``, ``empty`` or ``failed``, and the reason.

    Raises:
        ChangeSetGoneError: somebody else has deleted it.
    """
    found = _page(cloudformation, change_set_id, stack_name)
    status, reason = found["Status"], found.get("StatusReason", "")
    if status == "CREATE_COMPLETE" and found["ExecutionStatus"] == "AVAILABLE":
        return {"status": "ready", "reason": ""}
    # A complete one is unavailable while those nested in it are being made.
    unavailable = status == "CREATE_COMPLETE" and found["ExecutionStatus"] == "UNAVAILABLE"
    if status in ("CREATE_PENDING", "CREATE_IN_PROGRESS") or unavailable:
        return {"status": "pending", "reason": f"The change set is still {status}. {reason}".strip()}
    if status == "FAILED" and any(text in reason for text in NO_CHANGES):
        return {"status": "empty", "reason": reason}
    beginning = f"The change set is {status}, {found['ExecutionStatus']}: {reason or 'no reason given'}"
    lines = [beginning, *_details(cloudformation, change_set_id, stack_name, reason)]
    return {"status": "failed", "reason": fit("\n".join(lines), LARGEST_CAUSE)}


def _details(cloudformation: Any, change_set_id: str, stack_name: str, reason: str) -> Iterator[str]:
    """What CloudFormation refused, here and in nested change sets, of which `reason` gives only the ARNs.

    They have to be read before the change set is deleted. What cannot be read does not hide the rest.
    """
    yield from _refused(cloudformation, ChangeSetName=change_set_id, StackName=stack_name)
    seen, waiting = {change_set_id}, CHANGE_SET_ARN.findall(reason)
    while waiting:
        nested = waiting.pop(0)
        if nested in seen:
            continue
        seen.add(nested)
        try:
            reason = _page(cloudformation, nested, None).get("StatusReason") or "no reason given"
        except (ChangeSetGoneError, ClientError) as error:
            yield f"{nested} could not be read: {error}"
            continue
        yield f"{nested}: {reason}"
        yield from _refused(cloudformation, ChangeSetName=nested)
        waiting += CHANGE_SET_ARN.findall(reason)


def _refused(cloudformation: Any, **change_set: str) -> Iterator[str]:
    return (f"- {line}" for line in refusals(cloudformation, **change_set))


def inspect(cloudformation: Any, change_set_id: str, stack_name: str, policy: Policy) -> dict[str, Any]:
    """Judge every change of a change set and of those nested in it.

    Gives whether it is ``safe``, the ``count`` of unsafe changes, the ``violations`` (when
    they are too many for a state's output, the first of them), and the same as text: ``cause``.

    Raises:
        ChangeSetGoneError: somebody else has deleted it.
    """
    known = lookups(cloudformation, stack_name)
    found = [
        unsafe
        for path, stack_changes in _changes_by_stack(cloudformation, change_set_id, stack_name)
        for unsafe in violations(stack_changes, policy, path, known)
    ]
    listed, size = [], 0
    for unsafe in found:
        record = {"logicalId": unsafe.logical_id, "type": unsafe.type, "action": unsafe.action, "why": unsafe.why}
        size += len(json.dumps(record))
        if size > LARGEST_LIST:
            break
        listed.append(record)
    plural = "change" if len(found) == 1 else "changes"
    count = f"{len(found)} unsafe {plural} to {stack_name}, which is left as it was:"
    return {
        "safe": not found,
        "count": len(found),
        "violations": listed,
        "cause": fit("\n".join([count, *(f"- {unsafe}" for unsafe in found)]), LARGEST_CAUSE) if found else "",
    }


def _changes_by_stack(
    cloudformation: Any, change_set_id: str, stack_name: str | None, path: str = ""
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """All changes of the stack and of each stack nested in it, every page of them, with its path."""
    found = _changes(cloudformation, change_set_id, stack_name)
    _add_values(found, _changes(cloudformation, change_set_id, stack_name, IncludePropertyValues=True))
    yield path, found
    for change in found:
        resource = change.get("ResourceChange") or {}
        if resource.get("ChangeSetId"):
            child = f"{path}{resource.get('LogicalResourceId', '?')}/"
            yield from _changes_by_stack(cloudformation, resource["ChangeSetId"], None, child)


def _changes(cloudformation: Any, change_set_id: str, stack_name: str | None, **options: bool) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    token = None
    while True:
        page = _page(cloudformation, change_set_id, stack_name, token, **options)
        found += page.get("Changes", [])
        token = page.get("NextToken")
        if not token:
            return found


def _add_values(changes: list[dict[str, Any]], with_values: list[dict[str, Any]]) -> None:
    """Add the values before and after to the resources, and nothing else.

    A change set that is described with values lacks some resources, and lists replacements that do
    not happen, so it does not decide what is replaced.
    """
    described = [change.get("ResourceChange") or {} for change in with_values]
    values = {resource.get("LogicalResourceId"): resource for resource in described}
    for change in changes:
        resource = change.get("ResourceChange") or {}
        shown = values.get(resource.get("LogicalResourceId"), {})
        resource |= {name: shown[name] for name in CONTEXTS if name in shown}


def delete_left_behind(cloudformation: Any, execution_name: str, stack_name: str) -> str:
    """Delete the change set of an execution that has ended, unless it has been executed.

    Gives what was found. A change set that is being made cannot be deleted yet: that error is
    for the caller to try again.
    """
    name = change_set_name(execution_name)
    try:
        found = cloudformation.describe_change_set(ChangeSetName=name, StackName=stack_name)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ChangeSetNotFound" or is_absence(error):
            return "none"
        raise
    if found["ExecutionStatus"] in STARTED:
        return "executed"
    cloudformation.delete_change_set(ChangeSetName=name, StackName=stack_name)
    return "deleted"


def _page(
    cloudformation: Any, change_set_id: str, stack_name: str | None, token: str | None = None, **options: bool
) -> dict[str, Any]:
    """One page; the name of the stack is known for all but those that are nested."""
    given = {"StackName": stack_name, "NextToken": token}
    named = {name: value for name, value in given.items() if value}
    try:
        page = cloudformation.describe_change_set(ChangeSetName=change_set_id, **named, **options)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ChangeSetNotFound":
            raise ChangeSetGoneError("The change set was deleted by somebody else before it was executed.") from error
        raise
    return dict(page)
