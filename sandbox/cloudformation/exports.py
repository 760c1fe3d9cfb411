"""Exports that other stacks import: they can be neither changed nor deleted, and imports need an export.

DeleteStack succeeds even so, and the status of the stack has the reason. Otherwise, the status is DELETE_IN_PROGRESS as
soon as DeleteStack returns.
"""

from typing import Any

from ..ministack import cloudformation
from .template_validation import Template, active

STARTED = cloudformation.xml_response(200, "DeleteStackResponse", "")


def install() -> None:
    """Replace MiniStack's deletion of stacks."""
    cloudformation.operations["DeleteStack"] = _start_deletion


def _start_deletion(parameters: dict[str, Any]) -> Any:
    stack = cloudformation.find_stack(cloudformation.parameter(parameters, "StackName"))
    if stack and not stack.get("EnableTerminationProtection"):
        reason = _in_use(_exports_of(stack), "deleted")
        if reason:
            stack["StackStatusReason"] = reason
            return STARTED
    response = cloudformation.delete_stack(parameters)
    if response[0] == 200 and stack and stack["StackStatus"] != "DELETE_COMPLETE":
        stack["StackStatus"] = "DELETE_IN_PROGRESS"
    return response


def missing_import(template: Template, values: Any, conditions: dict[str, bool], stack: dict[str, Any]) -> str | None:
    """Return why a template cannot be deployed because an export that it imports does not exist, or None."""
    used = template | {section: active(template.get(section) or {}, conditions) for section in ("Resources", "Outputs")}
    record = stack | {"_template": used, "_resolved_params": values, "_conditions": conditions}
    names = sorted(cloudformation.imported_export_names(record, stack["StackName"]))
    return next((f"No export named {name} found." for name in names if name not in cloudformation.exports), None)


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
        for output in active(template.get("Outputs") or {}, conditions).values()
        if "Export" in output
    }
    for export in sorted(exported):
        owner = cloudformation.exports.get(export, {}).get("StackId", stack_id)
        if owner != stack_id:
            return f"Export with name {export} is already exported by stack {owner.split('/')[1]}."
    return _in_use([name for name in _exports_of(stack) if name not in exported], "deleted")


def changed_export(exports: dict[str, Any]) -> str | None:
    """Return why `exports` cannot have these values, because another stack imports the old value, or None."""
    old = cloudformation.exports
    changed = [name for name, export in exports.items() if name in old and old[name]["Value"] != export["Value"]]
    return _in_use(changed, "updated")


def _in_use(exports: list[str], participle: str) -> str | None:
    """Return why one of the exports cannot be `deleted` or `updated`, or None if no stack imports them."""
    for export in exports:
        importers = [
            name
            for name, stack in cloudformation.stacks.items()
            if stack["StackStatus"] not in ("DELETE_COMPLETE", "REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE")
            and export in cloudformation.imported_export_names(stack, name)
        ]
        if importers:
            return f"Export {export} cannot be {participle} as it is in use by {' and '.join(importers)}"
    return None


def remove_stale(stack: dict[str, Any]) -> None:
    """Remove the exports that a stack no longer has."""
    current = {output.get("ExportName") for output in stack["Outputs"]}
    for name in _exports_of(stack):
        if name not in current:
            del cloudformation.exports[name]


def _exports_of(stack: dict[str, Any]) -> list[str]:
    return [name for name, export in cloudformation.exports.items() if export["StackId"] == stack["StackId"]]
