"""How a stack operation starts, fails and ends.

Failures of the stack itself, before its resources change: imports that do not exist, exports in use, attributes that
a resource type does not have. An update deletes replaced and removed resources in its cleanup phase, with events.
Resources are replaced as the resource schema requires; custom resources are updated if the text of a property changes.
"""

import logging
from collections.abc import Callable
from typing import Any

from ..ministack import cloudformation
from . import exports
from .diff import requires_replacement
from .schemas import schema
from .template_validation import Template, unsupported_attribute

Step = Callable[..., Any]
STACK = "AWS::CloudFormation::Stack"
CLEANUP = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"


def install() -> None:
    """Replace the steps of MiniStack's stack operations."""
    cloudformation.deploy_stack.replace(_deploy_stack)
    cloudformation.roll_back.replace(_roll_back_with_reason)
    cloudformation.resolve_outputs.replace(_resolve_outputs_and_clean_up)
    cloudformation.delete_resource.extend(_with_events)
    cloudformation.update_resource.extend(_by_text)
    cloudformation.update_refusal.replace(_refusal)


async def _deploy_stack(
    name: str, stack_id: str, template: Template, values: Any, disable_rollback: bool, tags: Any, **options: Any
) -> None:
    stack, previous = cloudformation.stacks[name], options.get("previous_stack")
    try:
        reason = _failure(template, values, stack)
        if not reason:
            await cloudformation.deploy_stack.original(
                name, stack_id, template, values, disable_rollback, tags, **options
            )
            if stack["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
                exports.remove_stale(stack)
            return
    except Exception:  # otherwise, the stack would stay in progress
        logging.exception("The operation on stack %s failed", name)
        reason, disable_rollback = "Internal Failure", True
    is_update = options.get("is_update", False)
    operation = cloudformation.failed_operation(
        is_update, previous, [], None, None, [], False, template, values, False, tags, (previous or {}).get("Tags")
    )
    if disable_rollback:
        stack["StackStatus"] = "UPDATE_FAILED" if is_update else "CREATE_FAILED"
        stack |= {"StackStatusReason": reason, "_failed_operation": operation}
        cloudformation.add_event(stack_id, name, name, STACK, stack["StackStatus"], reason, stack_id)
    else:
        await _roll_back_with_reason(name, stack_id, stack, operation, _requested(reason, is_update))


def _failure(template: Template, values: Any, stack: dict[str, Any]) -> str | None:
    """Return why the operation fails before resources change, or None."""
    conditions = cloudformation.evaluate_conditions(template, values)
    return (
        unsupported_attribute(template, conditions)
        or exports.missing_import(template, values, conditions, stack)
        or exports.conflict(template, values, conditions, stack)
    )


async def _roll_back_with_reason(
    name: str, stack_id: str, stack: dict[str, Any], operation: dict[str, Any], reason_override: str = ""
) -> None:
    """Roll back, with CloudFormation's reason in the event that starts it."""
    events = cloudformation.stack_events[stack_id]
    failed, is_update = operation["failed_logical_id"], operation["is_update"]
    is_failure_of_outputs = events[-1]["LogicalResourceId"] == name and events[-1]["ResourceStatus"].endswith("_FAILED")
    if not reason_override and failed:
        verb = "update" if operation["failed_update"] else "create"
        reason_override = _requested(f"The following resource(s) failed to {verb}: [{failed}].", is_update)
    elif not reason_override and is_failure_of_outputs:  # CloudFormation has no event for it
        reason_override = _requested(events.pop()["ResourceStatusReason"], is_update)
    await cloudformation.roll_back.original(name, stack_id, stack, operation, reason_override)
    if events[-1]["ResourceStatus"] == "ROLLBACK_COMPLETE":
        events[-1]["ResourceStatusReason"] = ""


def _requested(reason: str, is_update: bool) -> str:
    return reason if is_update else f"{reason} Rollback requested by user."


def _resolve_outputs_and_clean_up(*arguments: Any) -> Any:
    """Resolve the outputs, which is the last step before an update's cleanup phase."""
    outputs, exported = cloudformation.resolve_outputs.original(*arguments)
    *_, name, stack_id = arguments
    reason = exports.changed_export(exported)
    if reason:
        raise ValueError(reason)
    stack = cloudformation.stacks[name]
    if stack["StackStatus"] == "UPDATE_IN_PROGRESS":
        stack["StackStatus"] = CLEANUP
        cloudformation.add_event(stack_id, name, name, STACK, CLEANUP, physical_id=stack_id)
    return outputs, exported


def _with_events(delete: Step, kind: str, physical_id: str, properties: Any, stack_name: str, logical_id: str) -> None:
    """Add the events of deletions in the cleanup phase."""
    stack = cloudformation.stacks[stack_name]
    event = (stack["StackId"], stack_name, logical_id, kind)
    is_cleanup = stack["StackStatus"] == CLEANUP
    if is_cleanup:
        cloudformation.add_event(*event, "DELETE_IN_PROGRESS", physical_id=physical_id)
    delete(kind, physical_id, properties, stack_name, logical_id)
    if is_cleanup:
        cloudformation.add_event(*event, "DELETE_COMPLETE", physical_id=physical_id)


def _by_text(update: Step, kind: str, physical_id: str, old: Any, new: Any, *arguments: Any) -> Any:
    """Update a custom resource only if the text of a property changes."""
    if _is_custom(kind):
        old, new = (cloudformation.custom_resource_properties(properties) for properties in (old, new))
    return update(kind, physical_id, old, new, *arguments)


def _is_custom(kind: str) -> bool:
    return kind.startswith("Custom::") or kind == "AWS::CloudFormation::CustomResource"


def _refusal(kind: str, old: dict[str, Any], new: dict[str, Any], physical_id: str | None = None) -> Any:
    """Return why a resource cannot be updated, or None: its replacement would have the same name, for example."""
    if _is_custom(kind) and old.get("ServiceToken") != new.get("ServiceToken"):
        return "Modifying service token is not allowed."
    identifier = [pointer.split("/")[-1] for pointer in schema(kind).get("primaryIdentifier", ())]
    has_same_name = all(name in old and old[name] == new.get(name) for name in identifier)
    if not identifier or not has_same_name or not requires_replacement(kind, old, new):
        return cloudformation.update_refusal.original(kind, old, new, physical_id)
    reason = "CloudFormation cannot update a stack when a custom-named resource requires replacing."
    return f"{reason} Rename {physical_id} and update the stack again."
