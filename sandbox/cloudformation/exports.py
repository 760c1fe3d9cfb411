"""Exports that other stacks import: they can be neither changed nor deleted, and imports need an export."""

from collections.abc import Iterator
from typing import Any

from ..ministack import cloudformation
from .template_validation import Template


def missing_import(template: Template, values: Any, conditions: dict[str, bool], stack: dict[str, Any]) -> str | None:
    """Return why a template cannot be deployed because an export that it imports does not exist, or None."""
    record = stack | {"_template": template, "_resolved_params": values, "_conditions": conditions, "_resources": {}}
    active = {
        section: {
            name: member
            for name, member in (template.get(section) or {}).items()
            if conditions.get(member.get("Condition"), True)
        }
        for section in ("Resources", "Outputs")
    }
    record["_template"] = template | active
    for name in sorted(cloudformation.imported_export_names(record, stack["StackName"])):
        if name not in cloudformation.exports:
            return f"No export named {name} found."
    return None


def conflict(outputs: dict[str, Any], values: Any, conditions: dict[str, bool], stack: dict[str, Any]) -> str | None:
    """Return why `stack` cannot have `outputs`, if it would delete an export in use or repeat another's, or None."""
    name = stack["StackName"]
    mappings = (stack.get("_template") or {}).get("Mappings", {})
    exported = {
        str(
            cloudformation.resolve_references(
                output["Export"]["Name"], {}, values, conditions, mappings, name, stack["StackId"]
            )
        )
        for output in outputs.values()
        if "Export" in output and conditions.get(output.get("Condition"), True)
    }
    for export in sorted(exported):
        owner = cloudformation.exports.get(export, {}).get("StackId", stack["StackId"])
        if owner != stack["StackId"]:
            return f"Export with name {export} is already exported by stack {owner.split('/')[1]}."
    return next((in_use(export, "deleted") for export in _exports_of(stack) if export not in exported), None)


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
