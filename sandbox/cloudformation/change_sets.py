"""Change sets: creation, description in pages, and deletion together with nested change sets."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any
from xml.sax.saxutils import escape

from ..ministack import cloudformation
from ..ministack.requests import get_account_id, get_region
from . import drift, early_validation
from .property_values import VALUE_KEYS, add_values, describe_type
from .template_validation import changed_types

PAGE_SIZE = 50
NO_CHANGES = "The submitted information didn't contain changes. Submit different information to create a change set."
NESTED_STACK = "AWS::CloudFormation::Stack"
EXECUTING = "EXECUTE_IN_PROGRESS"
Operation = Callable[[dict[str, Any]], Any]
# MiniStack's response lacks the result element that SDKs expect.
DELETED = cloudformation.xml_response(200, "DeleteChangeSetResponse", "<DeleteChangeSetResult></DeleteChangeSetResult>")
DESCRIBED_KEYS = ("ChangeSetId", "ChangeSetName", "StackId", "StackName", "Status", "StatusReason", "ExecutionStatus")


def install(operations: dict[str, Any]) -> None:
    """Replace MiniStack's operations on change sets."""
    operations |= {
        "CreateChangeSet": partial(_create, operations["CreateChangeSet"]),
        "DescribeChangeSet": _describe,
        "ExecuteChangeSet": partial(_execute, operations["ExecuteChangeSet"]),
        "DeleteChangeSet": partial(_delete, operations["DeleteChangeSet"]),
        "DescribeEvents": partial(_describe_events, operations["DescribeEvents"]),
        "DescribeType": describe_type,
    }


def _create(original_create: Operation, parameters: dict[str, Any]) -> Any:
    """Let MiniStack create the change set, then add to its changes and correct its status."""
    stack = cloudformation.find_stack(cloudformation.parameter(parameters, "StackName")) or {}
    # MiniStack replaces the template of a new stack, so read it first.
    old_template, old_values = stack.get("_template") or {}, stack.get("_resolved_params") or {}
    old_outputs = old_template.get("Outputs")
    existing_ids = set(cloudformation.change_sets)
    response = original_create(parameters)
    for change_set_id in set(cloudformation.change_sets) - existing_ids:
        change_set = cloudformation.change_sets[change_set_id]
        if change_set["ChangeSetType"] == "IMPORT" or change_set["StatusReason"] not in ("", NO_CHANGES):
            continue
        if change_set["ChangeSetType"] == "CREATE":
            old_template, old_values, old_outputs = {}, {}, None
        reason = changed_types(old_template, change_set["_template"])
        if reason:
            change_set |= {"Status": "FAILED", "ExecutionStatus": "UNAVAILABLE", "StatusReason": reason, "Changes": []}
            continue
        include_nested = cloudformation.parameter(parameters, "IncludeNestedStacks") == "true"
        _complete(change_set, old_template, old_values, include_nested)
        mode = cloudformation.parameter(parameters, "DeploymentMode")
        if mode == drift.REVERT_DRIFT and change_set["ChangeSetType"] == "UPDATE":
            drift.compare(change_set)
        if change_set["Changes"] or change_set["_template"].get("Outputs") != old_outputs:
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


def _execute(original_execute: Operation, parameters: dict[str, Any]) -> Any:
    stack = cloudformation.parameter(parameters, "StackName")
    _, change_set = cloudformation.find_change_set(cloudformation.parameter(parameters, "ChangeSetName"), stack)
    if change_set and change_set["ExecutionStatus"] == "AVAILABLE":
        drift.start_from_actual_state(change_set)
    return original_execute(parameters)


def _delete(original_delete: Operation, parameters: dict[str, Any]) -> Any:
    stack = cloudformation.parameter(parameters, "StackName")
    _, change_set = cloudformation.find_change_set(cloudformation.parameter(parameters, "ChangeSetName"), stack)
    if not change_set and stack in cloudformation.stacks:
        return DELETED  # deleting a missing change set of an existing stack succeeds
    if change_set and change_set["ExecutionStatus"] == EXECUTING:
        return cloudformation.error_response("InvalidChangeSetStatus", f"The change set is {EXECUTING}")
    for nested_id in change_set.get("_nested", []) if change_set else []:
        cloudformation.change_sets.pop(nested_id, None)
    status, headers, body = original_delete(parameters)
    return DELETED if status == 200 else (status, headers, body)


def _complete(change_set: dict[str, Any], old_template: Any, old_values: Any, include_nested: bool) -> None:
    """Add values and nested change sets to a change set's changes from `old_template` with parameters `old_values`."""
    name, stack_id = change_set["StackName"], change_set["StackId"]
    old = cloudformation.resolve_for_diff(old_template, old_values, name, stack_id).get("Resources", {})
    new = cloudformation.resolve_for_diff(change_set["_template"], change_set["_resolved_params"], name, stack_id)[
        "Resources"
    ]
    changes = {c["ResourceChange"]["LogicalResourceId"]: c["ResourceChange"] for c in change_set["Changes"]}
    existing = cloudformation.stacks[name].get("_resources", {})
    physical_ids = {key: item.get("PhysicalResourceId", "") for key, item in existing.items()}
    for logical_id, change in changes.items():
        add_values(change, old.get(logical_id), new.get(logical_id), physical_ids)
    change_set["_nested"] = []
    if include_nested:
        for logical_id, resource in new.items():
            if resource.get("Type") == NESTED_STACK and logical_id in old:
                _add_nested_change_set(change_set, logical_id, resource, changes)
                if logical_id in changes:
                    changes[logical_id]["PhysicalResourceId"] = physical_ids[logical_id]
    change_set["Changes"] = [{"Type": "Resource", "ResourceChange": changes[key]} for key in sorted(changes)]


def _diff_nested(template: Any, values: Any, child: dict[str, Any]) -> list[Any]:
    """Return the changes of a nested stack from its template to `template`."""
    name, stack_id, old_values = child["StackName"], child["StackId"], child["_resolved_params"]
    old = cloudformation.resolve_for_diff(child["_template"], old_values, name, stack_id)
    new = cloudformation.resolve_for_diff(template, values, name, stack_id)
    changed = {key for key, item in values.items() if old_values.get(key, {}).get("Value") != item["Value"]}
    changes: list[Any] = cloudformation.diff_resources(old, new, child["_resources"], template, changed)
    return changes


def _add_nested_change_set(parent: dict[str, Any], logical_id: str, resource: Any, changes: dict[str, Any]) -> None:
    """Create the change set of a nested stack, and add it to the changes of its parent."""
    physical_id = cloudformation.stacks[parent["StackName"]]["_resources"][logical_id]["PhysicalResourceId"]
    child = next(stack for stack in cloudformation.stacks.values() if stack["StackId"] == physical_id)
    body, _ = cloudformation.resolve_template({"TemplateURL": [resource["Properties"]["TemplateURL"]]})
    template = cloudformation.parse_template(body)
    declared = resource["Properties"].get("Parameters", {})
    parameters = [{"Key": key, "Value": str(value)} for key, value in declared.items()]
    values = cloudformation.resolve_parameters(template, parameters, child.get("_resolved_params"))
    name = f"{parent['ChangeSetName']}-{logical_id}"
    arn = f"arn:aws:cloudformation:{get_region()}:{get_account_id()}:changeSet/{name}/{uuid.uuid4()}"
    change_set = {
        "ChangeSetId": arn,
        "ChangeSetName": name,
        "StackId": child["StackId"],
        "StackName": child["StackName"],
        "ChangeSetType": "UPDATE",
        "Status": "CREATE_COMPLETE",
        "StatusReason": "",
        "ExecutionStatus": "AVAILABLE",
        "CreationTime": datetime.now(UTC).isoformat(),
        "_template": template,
        "_template_body": body,
        "_resolved_params": values,
        "Changes": _diff_nested(template, values, child),
    }
    _complete(change_set, child["_template"], child["_resolved_params"], include_nested=True)
    if not change_set["Changes"] and logical_id not in changes:
        return
    cloudformation.change_sets[arn] = change_set
    parent["_nested"] += [arn, *change_set["_nested"]]
    automatic = {
        "Target": {"Attribute": "Properties", "RequiresRecreation": "Never"},
        "Evaluation": "Dynamic",
        "ChangeSource": "Automatic",
    }
    change = changes.setdefault(
        logical_id,
        {
            "Action": "Modify",
            "LogicalResourceId": logical_id,
            "ResourceType": NESTED_STACK,
            "Replacement": "False",
            "Scope": ["Properties"],
            "Details": [],
        },
    )
    change["Details"].append(automatic)
    change["ChangeSetId"] = arn


def _describe(parameters: dict[str, Any]) -> Any:
    name = cloudformation.parameter(parameters, "ChangeSetName")
    _, change_set = cloudformation.find_change_set(name, cloudformation.parameter(parameters, "StackName"))
    if not change_set:
        return cloudformation.error_response("ChangeSetNotFound", f"ChangeSet [{name}] does not exist", 404)
    start = int(cloudformation.parameter(parameters, "NextToken") or 0)
    page = change_set["Changes"][start : start + PAGE_SIZE]
    if cloudformation.parameter(parameters, "IncludePropertyValues") != "true":
        page = [change | {"ResourceChange": _without_values(change["ResourceChange"])} for change in page]
    elements = {key: change_set[key] for key in DESCRIBED_KEYS} | {
        "CreationTime": change_set["CreationTime"],
        "Parameters": change_set.get("Parameters", []),
        "Tags": [{"Key": tag["Key"], "Value": tag["Value"]} for tag in change_set.get("Tags", [])],
        "Changes": page,
        "IncludeNestedStacks": "true",
    }
    elements |= {key: change_set[key] for key in ("DeploymentMode", "StackDriftStatus") if key in change_set}
    if start + PAGE_SIZE < len(change_set["Changes"]):
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
    name = cloudformation.parameter(parameters, "ChangeSetName")
    if not name:
        return original_describe(parameters)
    _, change_set = cloudformation.find_change_set(name, cloudformation.parameter(parameters, "StackName"))
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
