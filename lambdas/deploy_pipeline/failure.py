"""Why a stack operation failed: the first resource that did, down through nested stacks."""

import re
from collections.abc import Iterator
from typing import Any

STACK = "AWS::CloudFormation::Stack"
CONSEQUENCE = re.compile(r"Resource \w+ cancelled")  # because another resource failed
STARTS = ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS", "IMPORT_IN_PROGRESS")


def explain(cloudformation: Any, stack_id: str, stack_name: str, status: str) -> str:
    """Say in one sentence what became of the last operation on a stack."""
    if status == "DELETE_COMPLETE":
        return f"{stack_name} was deleted by somebody else meanwhile."
    if status.endswith("_IN_PROGRESS"):
        return f"{stack_name} is still {status}; waiting for it has been given up."
    found = _first_failure(cloudformation, stack_id)
    if not found:
        return f"{stack_name} is {status}; its events name no resource that failed."
    path, event = found
    return f"{stack_name} is {status}: {path} ({event['ResourceType']}) failed first: {_reason(event)}"


def _first_failure(cloudformation: Any, stack_id: str) -> tuple[str, dict[str, Any]] | None:
    failures = [event for event in _last_operation(cloudformation, stack_id) if _failed(event, stack_id)]
    if not failures:
        return None
    first = failures[-1]  # events come newest first
    child = first.get("PhysicalResourceId", "")
    if first["ResourceType"] == STACK and child.startswith("arn:"):
        inner = _first_failure(cloudformation, child)
        if inner:
            return f"{first['LogicalResourceId']}/{inner[0]}", inner[1]
    return first["LogicalResourceId"], first


def _last_operation(cloudformation: Any, stack_id: str) -> Iterator[dict[str, Any]]:
    """The events since the last operation began, newest first."""
    for page in cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack_id):
        for event in page["StackEvents"]:
            yield event
            if event.get("PhysicalResourceId") == stack_id and event["ResourceStatus"] in STARTS:
                return


def _failed(event: dict[str, Any], stack_id: str) -> bool:
    """Whether the event is of a resource that failed by itself, not because another one did."""
    return (
        event["ResourceStatus"].endswith("_FAILED")
        and event.get("PhysicalResourceId") != stack_id
        and not CONSEQUENCE.match(_reason(event))
    )


def _reason(event: dict[str, Any]) -> str:
    return str(event.get("ResourceStatusReason") or "no reason given")
