"""CloudFormation: stacks, change sets, and the handlers of resource types.

A handler is ``{"create": f(logical_id, properties, stack), "update": f(physical_id, old, new, stack),
"delete": f(physical_id, properties)}``. With ``"update_with_logical_id"``, `update` also gets the logical id.
"""

from typing import Any

from .names import Replaceable, need

PACKAGE = "services.cloudformation"
stacks = need(f"{PACKAGE}._stacks", "stacks")
change_sets = need(f"{PACKAGE}._change_sets", "change sets")
operations = need(f"{PACKAGE}.handlers._ACTION_HANDLERS", "replacing and adding operations")
resource_handlers: dict[str, dict[str, Any]] = need(f"{PACKAGE}.provisioners._RESOURCE_HANDLERS", "resource types")

parameter = need(f"{PACKAGE}.helpers._p", "parameters of requests", "params key default")
xml_response = need(f"{PACKAGE}.helpers._xml", "responses", "status root_tag inner")
error_response = need(f"{PACKAGE}.helpers._error", "error responses", "code message status")
resolve_template = Replaceable(
    f"{PACKAGE}.helpers._resolve_template",
    "virtual-hosted template URLs",
    "params",
    also_in=(f"{PACKAGE}.handlers", f"{PACKAGE}.changesets"),
)

parse_template = need(f"{PACKAGE}.engine._parse_template", "templates", "template_body")
resolve_parameters = need(
    f"{PACKAGE}.engine._resolve_parameters", "nested change sets", "template provided_params previous_params"
)
evaluate_conditions = need(f"{PACKAGE}.engine._evaluate_conditions", "change sets", "template params")

find_change_set = need(f"{PACKAGE}.changesets._find_change_set", "change sets", "cs_name stack_name")
resolve_for_diff = need(
    f"{PACKAGE}.changesets._resolve_props_for_diff", "change sets", "template params stack_name stack_id"
)
diff_resources = Replaceable(
    f"{PACKAGE}.changesets._diff_resources",
    "replacements that change sets report",
    "old_template new_template resources template changed_params retag",
)

delete_stack = need(f"{PACKAGE}.handlers._delete_stack", "deleting stacks", "params")
runs_on_worker_thread = Replaceable(
    f"{PACKAGE}.stacks._runs_on_worker_thread", "resources that wait for signals", "resource_type"
)
event_timestamp = Replaceable(f"{PACKAGE}.stacks.now_iso", "timestamps of events, in their order", "")


def extend_resource_type(resource_type: str, **functions: Any) -> dict[str, Any]:
    """Replace functions of a resource type's handler, and return the original handler."""
    original = resource_handlers[resource_type]
    extended = {**original, **functions}
    if "update" in functions:
        extended.pop("update_with_logical_id", None)
    resource_handlers[resource_type] = extended
    return original
