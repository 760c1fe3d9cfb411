"""CloudFormation: stacks, change sets, and the handlers of resource types.

A handler is ``{"create": f(logical_id, properties, stack), "update": f(physical_id, old, new, stack),
"delete": f(physical_id, properties)}``. With ``"update_with_logical_id"``, `update` also gets the logical id.
"""

from collections.abc import Callable
from typing import Any

from .names import Replaceable, need

PACKAGE = "services.cloudformation"
stacks = need(f"{PACKAGE}._stacks", "stacks")
change_sets = need(f"{PACKAGE}._change_sets", "change sets")
stack_events = need(f"{PACKAGE}._stack_events", "reasons of rollbacks")
exports = need(f"{PACKAGE}._exports", "exports in use")
find_stack = need(f"{PACKAGE}.handlers._resolve_stack", "stacks by name or id", "stack_name")
imported_export_names = need(f"{PACKAGE}.handlers._imported_export_names", "exports in use", "stack stack_name")
operations = need(f"{PACKAGE}.handlers._ACTION_HANDLERS", "replacing and adding operations")
resource_handlers: dict[str, dict[str, Any]] = need(f"{PACKAGE}.provisioners._RESOURCE_HANDLERS", "resource types")
require_entities = need(
    f"{PACKAGE}.provisioners._iam_policy_require_entities", "roles, users and groups of managed policies", "props"
)
physical_name = need(f"{PACKAGE}.provisioners._physical_name", "names of log groups", "stack_name logical_id")

parameter = need(f"{PACKAGE}.helpers._p", "parameters of requests", "params key default")
xml_response = need(f"{PACKAGE}.helpers._xml", "responses", "status root_tag inner")
error_response = need(f"{PACKAGE}.helpers._error", "error responses", "code message status")
resolve_template = Replaceable(f"{PACKAGE}.helpers._resolve_template", "virtual-hosted template URLs", "params")

parse_template = need(f"{PACKAGE}.engine._parse_template", "templates", "template_body")
resolve_parameters = need(
    f"{PACKAGE}.engine._resolve_parameters", "validation", "template provided_params previous_params"
)
evaluate_conditions = Replaceable(
    f"{PACKAGE}.engine._evaluate_conditions", "functions in conditions", "template params"
)

fetch_snippet = Replaceable(f"{PACKAGE}.engine._fetch_include_snippet", "permissions for snippets", "location")
resolve_dynamic_reference = Replaceable(
    f"{PACKAGE}.engine._resolve_dynamic_reference", "permissions for parameters and secrets", "literal"
)
references = need(f"{PACKAGE}.engine._intrinsic_references", "references in templates", "value")
dependencies = need(f"{PACKAGE}.engine._extract_deps", "circular dependencies", "resource_def all_resource_names")
extract_members = need(f"{PACKAGE}.helpers._extract_members", "validation", "params prefix")
TemplateLoader = need(f"{PACKAGE}.engine.CfnLoader", "short forms of functions")
short_form = need(f"{PACKAGE}.engine._construct_cfn_tag", "short forms of functions", "tag_name")
apply_transforms = need(f"{PACKAGE}.engine._apply_transforms", "validation", "template provided_params previous_params")
TransformFailed = need(f"{PACKAGE}.engine._TransformFailed", "validation")
resolve_references = need(f"{PACKAGE}.engine._resolve_refs", "names of exports", "value resources params conditions")
capabilities_enforced = Replaceable(f"{PACKAGE}.handlers._capabilities_enforced", "capabilities", "")
validation_errors = Replaceable(
    f"{PACKAGE}.stacks._validation_errors",
    "validation before deployment",
    "resources_defs ordered param_values conditions mappings stack_name stack_id owned_buckets",
)
operation_event = need(
    f"{PACKAGE}.stacks._operation_event", "errors of change sets", "stack_id operation_id event_type operation_type"
)
import_lookups = need(f"{PACKAGE}.changesets._IMPORT_LOOKUPS", "names that exist")
import_not_found = need(f"{PACKAGE}.changesets._import_not_found", "names that exist", "resources_to_import")

deploy_stack = Replaceable(
    f"{PACKAGE}.stacks._deploy_stack_async",
    "failures before resources change",
    "stack_name stack_id template param_values disable_rollback tags is_update previous_stack retain_except_on_create "
    "imports",
)
roll_back = Replaceable(
    f"{PACKAGE}.stacks._roll_back_operation",
    "reasons of rollbacks",
    "stack_name stack_id stack operation reason_override",
)
failed_operation = need(f"{PACKAGE}.stacks._failed_operation", "failures before resources change")
add_event = need(f"{PACKAGE}.stacks._add_event", "events", "stack_id stack_name logical_id resource_type status")
resolve_outputs = Replaceable(
    f"{PACKAGE}.stacks._resolve_stack_outputs",
    "the cleanup phase of updates",
    "outputs_defs conditions resources param_values mappings stack_name stack_id",
)
delete_resource = Replaceable(
    f"{PACKAGE}.provisioners._delete_resource", "events", "resource_type physical_id props stack_name logical_id"
)
provision_resource = Replaceable(
    f"{PACKAGE}.provisioners._provision_resource", "quotas of policies", "resource_type logical_id props stack_name"
)
update_resource = Replaceable(
    f"{PACKAGE}.provisioners._update_resource",
    "changes of custom resources",
    "resource_type physical_id old_props new_props stack_name logical_id old_attrs",
)
requires_replacement = Replaceable(
    f"{PACKAGE}.provisioners._replacing_change",
    "replacement by the resource schemas",
    "resource_type old_props new_props",
)
update_refusal = Replaceable(
    f"{PACKAGE}.provisioners._custom_named_replacement_error",
    "updates that are refused",
    "resource_type old_props new_props physical_id",
)
invoke_custom_resource = Replaceable(
    f"{PACKAGE}.custom_resource.invoke_custom_resource",
    "permissions of custom resources",
    "request_type logical_id props stack_name stack_id resource_type physical_id old_props",
)
custom_resource_properties = need(
    f"{PACKAGE}.custom_resource._normalise_resource_properties", "changes of custom resources", "value"
)
create_change_set = need(f"{PACKAGE}.changesets._create_change_set", "change sets", "params")
find_change_set = need(f"{PACKAGE}.changesets._find_change_set", "change sets", "cs_name stack_name")
resolve_for_diff = Replaceable(
    f"{PACKAGE}.changesets._resolve_props_for_diff",
    "conditions and attributes in change sets",
    "template params stack_name stack_id",
)
diff_resources = need(
    f"{PACKAGE}.changesets._diff_resources",
    "tests of replacements",
    "old_template new_template resources template changed_params retag",
)
property_recreation = Replaceable(
    f"{PACKAGE}.provisioners._property_recreation", "replacements that change sets report", "resource_type name"
)

supports_drift = need(f"{PACKAGE}.drift.supports_drift", "drift-aware change sets", "resource_type")
detect_drift = need(
    f"{PACKAGE}.drift.detect_resource_drift", "drift-aware change sets", "stack logical_id record timestamp"
)

delete_stack = need(f"{PACKAGE}.handlers._delete_stack", "deleting stacks", "params")
runs_on_worker_thread = Replaceable(
    f"{PACKAGE}.stacks._runs_on_worker_thread", "resources that wait for signals", "resource_type"
)


def extend_resource_type(resource_type: str, **functions: Any) -> dict[str, Any]:
    """Replace functions of a resource type's handler, and return the original handler."""
    original = resource_handlers[resource_type]
    extended = {**original, **functions}
    if "update" in functions:
        extended.pop("update_with_logical_id", None)
    resource_handlers[resource_type] = extended
    return original


_Step = Callable[[str, dict[str, Any]], Any]


def add_steps(
    resource_type: str, *, check: _Step | None = None, apply: _Step | None = None, check_deletion: _Step | None = None
) -> None:
    """Let a resource type's handlers call ``check(id, properties)`` first, and ``apply(physical_id, properties)`` last.

    The id is the logical one in `create`, and the physical one in `update` and ``check_deletion(id, properties)``.
    """
    original = resource_handlers[resource_type]

    def with_steps(handler: Callable[..., Any], position: int) -> Callable[..., Any]:
        def handle(*arguments: Any) -> Any:
            if check:
                check(arguments[0], arguments[position])
            result = handler(*arguments)
            if apply:
                apply(result[0], arguments[position])
            return result

        return handle

    def check_and_delete(physical_id: str, properties: dict[str, Any]) -> None:
        if check_deletion:
            check_deletion(physical_id, properties)
        original["delete"](physical_id, properties)

    positions = {"create": 1, "update": 2}  # of the properties
    steps = {name: with_steps(original[name], at) for name, at in positions.items() if name in original}
    if check_deletion:
        steps["delete"] = check_and_delete
    resource_handlers[resource_type] = original | steps
