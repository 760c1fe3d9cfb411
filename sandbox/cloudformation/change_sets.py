"""Change sets: creation, description in pages, and deletion together with nested change sets."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any
from xml.sax.saxutils import escape

from ..ministack import cloudformation
from . import drift, early_validation
from .diff import KNOWN_AFTER_APPLY, VALUE_KEYS, add_values, as_text, is_unchanged
from .schemas import schema
from .template_validation import changed_types

PAGE_SIZE = 50
NO_CHANGES = "The submitted information didn't contain changes. Submit different information to create a change set."
NESTED_STACK = "AWS::CloudFormation::Stack"
EXECUTING = "EXECUTE_IN_PROGRESS"
Operation = Callable[[dict[str, Any]], Any]
DESCRIBED_KEYS = ("ChangeSetId", "ChangeSetName", "StackId", "StackName", "Status", "StatusReason", "ExecutionStatus")


def install(operations: dict[str, Any]) -> None:
    """Replace MiniStack's operations on change sets."""
    operations |= {
        "CreateChangeSet": _create,
        "DescribeChangeSet": _describe,
        "ExecuteChangeSet": partial(_execute, operations["ExecuteChangeSet"]),
        "DeleteChangeSet": partial(_delete, operations["DeleteChangeSet"]),
        "DescribeEvents": partial(_describe_events, operations["DescribeEvents"]),
        "DescribeType": _describe_type,
    }


def _create(parameters: dict[str, Any]) -> Any:
    """Let MiniStack create the change set, then add to its changes and correct its status."""
    stack: dict[str, Any] = {}
    if cloudformation.parameter(parameters, "ChangeSetType") != "CREATE":
        stack = cloudformation.find_stack(cloudformation.parameter(parameters, "StackName")) or {}
    old_template, old_values = stack.get("_template") or {}, stack.get("_resolved_params") or {}
    existing_ids = set(cloudformation.change_sets)
    response = cloudformation.create_change_set(parameters)
    for change_set_id in set(cloudformation.change_sets) - existing_ids:
        change_set = cloudformation.change_sets[change_set_id]
        if change_set["ChangeSetType"] == "IMPORT" or change_set["StatusReason"] not in ("", NO_CHANGES):
            continue
        reason = changed_types(old_template, change_set["_template"])
        if reason:
            change_set |= {"Status": "FAILED", "ExecutionStatus": "UNAVAILABLE", "StatusReason": reason, "Changes": []}
            continue
        include_nested = cloudformation.parameter(parameters, "IncludeNestedStacks") == "true"
        _complete(change_set, old_template, old_values, include_nested)
        mode = cloudformation.parameter(parameters, "DeploymentMode")
        if mode == drift.REVERT_DRIFT and change_set["ChangeSetType"] == "UPDATE":
            drift.compare(change_set)
        if change_set["Changes"] or change_set["_template"].get("Outputs") != old_template.get("Outputs"):
            change_set |= {"Status": "CREATE_COMPLETE", "ExecutionStatus": "AVAILABLE", "StatusReason": ""}
            _validate(change_set)
    return response


def _validate(change_set: dict[str, Any]) -> None:
    template, values = change_set["_template"], change_set["_resolved_params"]
    existing = cloudformation.stacks[change_set["StackName"]]["_resources"]
    conditions = cloudformation.evaluate_conditions(template, values)
    errors = early_validation.find_errors(template["Resources"], values, conditions, existing)
    if errors and not change_set["_disable_validation"]:
        early_validation.fail(change_set, errors)


def _find(parameters: dict[str, Any]) -> dict[str, Any] | None:
    name, stack = (cloudformation.parameter(parameters, key) for key in ("ChangeSetName", "StackName"))
    change_set: dict[str, Any] | None = cloudformation.find_change_set(name, stack)[1]
    return change_set


def _execute(original_execute: Operation, parameters: dict[str, Any]) -> Any:
    change_set = _find(parameters)
    if change_set and change_set["ExecutionStatus"] == "AVAILABLE":
        drift.start_from_actual_state(change_set)
    return original_execute(parameters)


def _delete(original_delete: Operation, parameters: dict[str, Any]) -> Any:
    change_set = _find(parameters)
    if change_set and change_set["ExecutionStatus"] == EXECUTING:
        return cloudformation.error_response("InvalidChangeSetStatus", f"The change set is {EXECUTING}")
    for nested_id in change_set.get("_nested", []) if change_set else []:
        cloudformation.change_sets.pop(nested_id, None)
    return original_delete(parameters)


def _complete(change_set: dict[str, Any], old_template: Any, old_values: Any, include_nested: bool) -> None:
    """Add values and nested change sets to a change set's changes from `old_template` with parameters `old_values`."""
    name, stack_id = change_set["StackName"], change_set["StackId"]
    old = cloudformation.resolve_for_diff(old_template, old_values, name, stack_id).get("Resources", {})
    new_template, new_values = change_set["_template"], change_set["_resolved_params"]
    new = cloudformation.resolve_for_diff(new_template, new_values, name, stack_id)["Resources"]
    changes = {c["ResourceChange"]["LogicalResourceId"]: c["ResourceChange"] for c in change_set["Changes"]}
    existing = cloudformation.stacks[name].get("_resources", {})
    known = dict.fromkeys(new, KNOWN_AFTER_APPLY)
    known |= {key: item.get("PhysicalResourceId", "") for key, item in existing.items()}
    known |= {f"{key}.{name}": value for key, item in existing.items() for name, value in item["Attributes"].items()}
    replaced = {logical_id for logical_id, change in changes.items() if change.get("Replacement") == "True"}
    for logical_id, change in changes.items():
        add_values(change, old.get(logical_id), new.get(logical_id), known, replaced)
    change_set["_nested"] = []
    if include_nested:
        unresolved = dict.fromkeys(new, KNOWN_AFTER_APPLY)  # CloudFormation resolves no references in parameters
        for logical_id, resource in new.items():
            if resource.get("Type") == NESTED_STACK and logical_id in old:
                _add_nested_change_set(change_set, logical_id, as_text(resource, unresolved), changes)
    change_set["Changes"] = [{"Type": "Resource", "ResourceChange": changes[key]} for key in sorted(changes)]


def _add_nested_change_set(parent: dict[str, Any], logical_id: str, resource: Any, changes: dict[str, Any]) -> None:
    """Create the change set of a nested stack, and add it to the changes of its parent."""
    physical_id = cloudformation.stacks[parent["StackName"]]["_resources"][logical_id]["PhysicalResourceId"]
    name = f"{parent['ChangeSetName']}-{logical_id}"
    request = {
        "StackName": [physical_id],
        "ChangeSetName": [name],
        "TemplateURL": [resource["Properties"]["TemplateURL"]],
        "Capabilities.member.1": ["CAPABILITY_NAMED_IAM"],
        "DisableValidation": ["true"],
        "IncludeNestedStacks": ["true"],
    }
    for number, (key, value) in enumerate(resource["Properties"].get("Parameters", {}).items(), 1):
        prefix = f"Parameters.member.{number}.Parameter"
        request |= {f"{prefix}Key": [key], f"{prefix}Value": [str(value)]}
    _create(request)
    change_set_id, change_set = cloudformation.find_change_set(
        name, cloudformation.find_stack(physical_id)["StackName"]
    )
    if not change_set["Changes"] and logical_id not in changes:
        del cloudformation.change_sets[change_set_id]
        return
    change_set |= {"Status": "CREATE_COMPLETE", "ExecutionStatus": "AVAILABLE", "StatusReason": ""}
    parent["_nested"] += [change_set_id, *change_set["_nested"]]
    change = changes.setdefault(
        logical_id,
        {
            "Action": "Modify",
            "LogicalResourceId": logical_id,
            "PhysicalResourceId": physical_id,
            "ResourceType": NESTED_STACK,
            "Replacement": "False",
            "Scope": ["Properties"],
            "Details": [],
        },
    )
    target = {"Attribute": "Properties", "RequiresRecreation": "Never"}
    change["Details"].append({"Target": target, "Evaluation": "Dynamic", "ChangeSource": "Automatic"})
    change["ChangeSetId"] = change_set_id


def _describe(parameters: dict[str, Any]) -> Any:
    name, change_set = cloudformation.parameter(parameters, "ChangeSetName"), _find(parameters)
    if not change_set:
        return cloudformation.error_response("ChangeSetNotFound", f"ChangeSet [{name}] does not exist", 404)
    changes, start = change_set["Changes"], int(cloudformation.parameter(parameters, "NextToken") or 0)
    if cloudformation.parameter(parameters, "IncludePropertyValues") == "true":
        changes = [change for change in changes if not is_unchanged(change["ResourceChange"])]
    else:
        changes = [change | {"ResourceChange": _without_values(change["ResourceChange"])} for change in changes]
    page = changes[start : start + PAGE_SIZE]
    elements = {key: change_set[key] for key in DESCRIBED_KEYS} | {
        "CreationTime": change_set["CreationTime"],
        "Parameters": change_set.get("Parameters", []),
        "Tags": [{"Key": tag["Key"], "Value": tag["Value"]} for tag in change_set.get("Tags", [])],
        "Changes": page,
        "IncludeNestedStacks": "true",
    }
    elements |= {key: change_set[key] for key in ("DeploymentMode", "StackDriftStatus") if key in change_set}
    if start + PAGE_SIZE < len(changes):
        elements["NextToken"] = str(start + PAGE_SIZE)
    inner = "".join(_xml(key, value) for key, value in elements.items())
    return cloudformation.xml_response(
        200, "DescribeChangeSetResponse", f"<DescribeChangeSetResult>{inner}</DescribeChangeSetResult>"
    )


def _without_values(resource_change: dict[str, Any]) -> dict[str, Any]:
    reduced = {name: value for name, value in resource_change.items() if name not in VALUE_KEYS}
    if "Details" in reduced:
        reduced["Details"] = [
            detail | {"Target": {name: value for name, value in detail["Target"].items() if name not in VALUE_KEYS}}
            for detail in reduced["Details"]
        ]
    return reduced


def _describe_events(original_describe: Operation, parameters: dict[str, Any]) -> Any:
    """Return the errors that validation found in a change set, or the events of a stack."""
    name, change_set = cloudformation.parameter(parameters, "ChangeSetName"), _find(parameters)
    if not name:
        return original_describe(parameters)
    if not change_set:
        return cloudformation.error_response("ChangeSetNotFound", f"ChangeSet [{name}] does not exist", 404)
    inner = f"<DescribeEventsResult>{_xml('OperationEvents', change_set.get('_events', []))}</DescribeEventsResult>"
    return cloudformation.xml_response(200, "DescribeEventsResponse", inner)


def _xml(name: str, value: Any) -> str:
    if isinstance(value, dict):
        text = "".join(_xml(key, item) for key, item in value.items())
    elif isinstance(value, list):
        text = "".join(_xml("member", item) for item in value)
    else:
        text = escape(str(value))
    return f"<{name}>{text}</{name}>"


def _describe_type(parameters: dict[str, Any]) -> Any:
    """Return the schema of a resource type (DescribeType)."""
    name = cloudformation.parameter(parameters, "TypeName")
    resource_schema = schema(name)
    if not resource_schema:
        return cloudformation.error_response("TypeNotFoundException", f"The type '{name}' cannot be found.", 404)
    inner = f"<TypeName>{escape(name)}</TypeName><Schema>{escape(json.dumps(resource_schema))}</Schema>"
    return cloudformation.xml_response(200, "DescribeTypeResponse", f"<DescribeTypeResult>{inner}</DescribeTypeResult>")
