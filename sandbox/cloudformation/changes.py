"""Change sets: made, described in pages, and deleted with those nested in them."""

from typing import Any
from xml.sax.saxutils import escape

from ministack.core.responses import get_account_id, get_region, new_uuid, now_iso
from ministack.services import cloudformation
from ministack.services.cloudformation import changesets, engine, helpers

from .property_values import VALUES, add_values, describe_type
from .replacement import Resources, differences

PAGE = 50  # changes
NESTED = "AWS::CloudFormation::Stack"
EXECUTING = "EXECUTE_IN_PROGRESS"
# With the element that SDKs look for.
DELETED = helpers._xml(200, "DeleteChangeSetResponse", "<DeleteChangeSetResult></DeleteChangeSetResult>")
DESCRIBED = ("ChangeSetId", "ChangeSetName", "StackId", "StackName", "Status", "StatusReason", "ExecutionStatus")


def install(operations: dict[str, Any]) -> None:
    """Answer the calls on change sets here; MiniStack carries them out."""
    changesets._diff_resources = lambda _old, _new: []  # `_fill` knows more of both
    create, delete = operations["CreateChangeSet"], operations["DeleteChangeSet"]

    def create_change_set(parameters: dict[str, Any]) -> Any:
        before = set(cloudformation._change_sets)
        stack = cloudformation._stacks.get(helpers._p(parameters, "StackName"), {})
        templates = stack.get("_template") or {}, stack.get("_resolved_params") or {}
        outputs = templates[0].get("Outputs")
        answer = create(parameters)
        for change_set_id in set(cloudformation._change_sets) - before:
            change_set = cloudformation._change_sets[change_set_id]
            if change_set["ChangeSetType"] == "CREATE":
                templates, outputs = ({}, {}), None
            nested = helpers._p(parameters, "IncludeNestedStacks") == "true"
            _fill(change_set, *templates, nested)
            if change_set["Changes"] or change_set["_template"].get("Outputs") != outputs:
                change_set |= {"Status": "CREATE_COMPLETE", "ExecutionStatus": "AVAILABLE", "StatusReason": ""}
        return answer

    def delete_change_set(parameters: dict[str, Any]) -> Any:
        stack = helpers._p(parameters, "StackName")
        _, found = changesets._find_change_set(helpers._p(parameters, "ChangeSetName"), stack)
        if not found and stack in cloudformation._stacks:
            return DELETED  # by its name a change set of a stack need not be there
        if found and found["ExecutionStatus"] == EXECUTING:
            return helpers._error("InvalidChangeSetStatus", f"The change set is {EXECUTING}")
        for nested_id in found["_nested"] if found else []:
            cloudformation._change_sets.pop(nested_id, None)
        status, headers, body = delete(parameters)
        return DELETED if status == 200 else (status, headers, body)

    operations |= {
        "CreateChangeSet": create_change_set,
        "DescribeChangeSet": _describe,
        "DeleteChangeSet": delete_change_set,
        "DescribeEvents": _describe_events,
        "DescribeType": describe_type,
    }


def _fill(change_set: dict[str, Any], template: Any, values: Any, nested: bool) -> None:
    """Put the changes from `template` with the parameter `values` to the new ones into it."""
    name, stack_id = change_set["StackName"], change_set["StackId"]
    old = _resources(template, values, name, stack_id)
    new = _resources(change_set["_template"], change_set["_resolved_params"], name, stack_id)
    found = differences(old, new, change_set["_template"].get("Resources", {}))
    existing = cloudformation._stacks[name].get("_resources", {})
    physical_ids = {key: item.get("PhysicalResourceId", "") for key, item in existing.items()}
    for logical_id, change in found.items():
        add_values(change, old.get(logical_id), new.get(logical_id), physical_ids)
    change_set["_nested"] = []
    if nested:
        for logical_id, resource in new.items():
            if resource.get("Type") == NESTED and logical_id in old:
                _fill_nested(change_set, logical_id, resource, found)
    for logical_id, change in found.items():
        if logical_id in existing:
            change["PhysicalResourceId"] = existing[logical_id]["PhysicalResourceId"]
    change_set["Changes"] = [{"Type": "Resource", "ResourceChange": found[key]} for key in sorted(found)]


def _resources(template: Any, values: Any, name: str, stack_id: str) -> Resources:
    """The resources that the template's conditions let be, with their parameters filled in."""
    resolved = changesets._resolve_props_for_diff(template, values, name, stack_id).get("Resources", {})
    conditions = engine._evaluate_conditions(template, values) if template else {}
    return {key: item for key, item in resolved.items() if conditions.get(item.get("Condition"), True)}


def _fill_nested(parent: dict[str, Any], logical_id: str, resource: Any, found: dict[str, Any]) -> None:
    """Make the change set of a stack that is nested in the parent's."""
    physical_id = cloudformation._stacks[parent["StackName"]]["_resources"][logical_id]["PhysicalResourceId"]
    child = next(stack for stack in cloudformation._stacks.values() if stack["StackId"] == physical_id)
    body, _ = helpers._resolve_template({"TemplateURL": [resource["Properties"]["TemplateURL"]]})
    template = engine._parse_template(body)
    given = [{"Key": key, "Value": str(value)} for key, value in resource["Properties"].get("Parameters", {}).items()]
    name = f"{parent['ChangeSetName']}-{logical_id}"
    arn = f"arn:aws:cloudformation:{get_region()}:{get_account_id()}:changeSet/{name}/{new_uuid()}"
    change_set = {
        "ChangeSetId": arn,
        "ChangeSetName": name,
        "StackId": child["StackId"],
        "StackName": child["StackName"],
        "ChangeSetType": "UPDATE",
        "Status": "CREATE_COMPLETE",
        "StatusReason": "",
        "ExecutionStatus": "AVAILABLE",
        "CreationTime": now_iso(),
        "_template": template,
        "_template_body": body,
        "_resolved_params": engine._resolve_parameters(template, given, child.get("_resolved_params")),
    }
    _fill(change_set, child["_template"], child["_resolved_params"], nested=True)
    if not change_set["Changes"] and logical_id not in found:
        return
    cloudformation._change_sets[arn] = change_set
    parent["_nested"] += [arn, *change_set["_nested"]]
    automatic = {
        "Target": {"Attribute": "Properties", "RequiresRecreation": "Never"},
        "Evaluation": "Dynamic",
        "ChangeSource": "Automatic",
    }
    change = found.setdefault(
        logical_id,
        {
            "Action": "Modify",
            "LogicalResourceId": logical_id,
            "ResourceType": NESTED,
            "Replacement": "False",
            "Scope": ["Properties"],
            "Details": [],
        },
    )
    change["Details"].append(automatic)
    change["ChangeSetId"] = arn


def _describe(parameters: dict[str, Any]) -> Any:
    name = helpers._p(parameters, "ChangeSetName")
    _, found = changesets._find_change_set(name, helpers._p(parameters, "StackName"))
    if not found:
        return helpers._error("ChangeSetNotFound", f"ChangeSet [{name}] does not exist", 404)
    start = int(helpers._p(parameters, "NextToken") or 0)
    page = found["Changes"][start : start + PAGE]
    if helpers._p(parameters, "IncludePropertyValues") != "true":
        page = [change | {"ResourceChange": _without_values(change["ResourceChange"])} for change in page]
    answer = {key: found[key] for key in DESCRIBED} | {
        "CreationTime": found["CreationTime"],
        "Parameters": found.get("Parameters", []),
        "Tags": [{"Key": tag["Key"], "Value": tag["Value"]} for tag in found.get("Tags", [])],
        "Changes": page,
        "IncludeNestedStacks": "true",
    }
    if start + PAGE < len(found["Changes"]):
        answer["NextToken"] = str(start + PAGE)
    inner = "".join(_xml(key, value) for key, value in answer.items())
    return helpers._xml(200, "DescribeChangeSetResponse", f"<DescribeChangeSetResult>{inner}</DescribeChangeSetResult>")


def _without_values(item: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in item.items() if name not in VALUES}
    if "Details" in kept:
        kept["Details"] = [
            detail | {"Target": {name: value for name, value in detail["Target"].items() if name not in VALUES}}
            for detail in kept["Details"]
        ]
    return kept


def _describe_events(parameters: dict[str, Any]) -> Any:
    """Failed events: there are none here, since nothing is validated before it is deployed, and no hook runs."""
    name, stack = helpers._p(parameters, "ChangeSetName"), helpers._p(parameters, "StackName")
    _, found = changesets._find_change_set(name, stack)
    if name and not found:
        return helpers._error("ChangeSetNotFound", f"ChangeSet [{name}] does not exist", 404)
    empty = "<DescribeEventsResult><OperationEvents></OperationEvents></DescribeEventsResult>"
    return helpers._xml(200, "DescribeEventsResponse", empty)


def _xml(name: str, value: Any) -> str:
    if isinstance(value, dict):
        text = "".join(_xml(key, item) for key, item in value.items())
    elif isinstance(value, list):
        text = "".join(_xml("member", item) for item in value)
    else:
        text = escape(str(value))
    return f"<{name}>{text}</{name}>"
