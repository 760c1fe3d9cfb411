"""Exports that other stacks import: they can be neither changed nor deleted, and imports need an export."""

from collections.abc import Iterator
from typing import Any

from ..ministack import cloudformation
from .template_validation import Template


def missing_import(template: Template, values: Any, conditions: dict[str, bool], stack: dict[str, Any]) -> str | None:
    """Return why a template cannot be deployed because an export that it imports does not exist, or None."""
    used = template | {section: _used(template.get(section) or {}, conditions) for section in ("Resources", "Outputs")}
    record = stack | {"_template": used, "_resolved_params": values, "_conditions": conditions}
    names = sorted(cloudformation.imported_export_names(record, stack["StackName"]))
    return next((f"No export named {name} found." for name in names if name not in cloudformation.exports), None)


def _used(value: Any, conditions: dict[str, bool]) -> Any:
    """Return a part of a template without what does not apply under `conditions`."""
    if isinstance(value, list):
        return [_used(item, conditions) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"Fn::If"}:
        name, if_true, if_false = value["Fn::If"]
        return _used(if_true if conditions.get(name) else if_false, conditions)
    is_inactive = isinstance(value.get("Condition"), str) and not conditions.get(value["Condition"], True)
    return {} if is_inactive else {key: _used(item, conditions) for key, item in value.items()}


def conflict(template: Template, values: Any, conditions: dict[str, bool], stack: dict[str, Any]) -> str | None:
    """Return why `stack` cannot have a template's outputs, or None.

    They would delete an export in use, or repeat an export of another stack.
    """
    name, stack_id, mappings = stack["StackName"], stack["StackId"], template.get("Mappings", {})
    exported = {
        str(
            cloudformation.resolve_references(
                output["Export"]["Name"], stack["_resources"], values, conditions, mappings, name, stack_id
            )
        )
        for output in _used(template.get("Outputs") or {}, conditions).values()
        if "Export" in output
    }
    for export in sorted(exported):
        owner = cloudformation.exports.get(export, {}).get("StackId", stack_id)
        if owner != stack_id:
            return f"Export with name {export} is already exported by stack {owner.split('/')[1]}."
    return next((reason for e in _exports_of(stack) if e not in exported and (reason := in_use(e, "deleted"))), None)


def changed_export(exports: dict[str, Any]) -> str | None:
    """Return why `exports` cannot have these values, because another stack imports the old value, or None."""
    old = cloudformation.exports
    changed = (name for name, export in exports.items() if name in old and old[name]["Value"] != export["Value"])
    return next((reason for name in changed if (reason := in_use(name, "updated"))), None)


def in_use(export: str, participle: str) -> str | None:
    """Return why an export cannot be `deleted` or `updated`, or None if no stack imports it."""
    importers = [
        name
        for name, stack in cloudformation.stacks.items()
        if stack["StackStatus"] not in ("DELETE_COMPLETE", "REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE")
        and export in cloudformation.imported_export_names(stack, name)
    ]
    return f"Export {export} cannot be {participle} as it is in use by {' and '.join(importers)}" if importers else None


def remove_stale(stack: dict[str, Any]) -> None:
    """Remove the exports that a stack no longer has."""
    current = {output.get("ExportName") for output in stack["Outputs"]}
    for name in list(_exports_of(stack)):
        if name not in current:
            del cloudformation.exports[name]


def first_in_use(stack: dict[str, Any]) -> str | None:
    """Return why the exports of a stack cannot be deleted, or None."""
    return next((reason for name in _exports_of(stack) if (reason := in_use(name, "deleted"))), None)


def _exports_of(stack: dict[str, Any]) -> Iterator[str]:
    return (name for name, export in cloudformation.exports.items() if export["StackId"] == stack["StackId"])
