"""Drift-aware change sets: the actual state of resources, compared when the change set is created, reverted by it.

For the types whose drift MiniStack detects; the others are reported as not supported, as by CloudFormation. Not
implemented: nested stacks, and parts of properties (a changed part is reported as a change of the property).
"""

import json
from datetime import UTC, datetime
from typing import Any

from ..ministack import cloudformation
from .diff import property_recreation

Record = dict[str, Any]
REVERT_DRIFT, SYNC = "REVERT_DRIFT", "SyncWithActual"


def compare(change_set: dict[str, Any]) -> None:
    """Compare the actual state of the stack's resources with the new template, and add what differs to the changes."""
    name, stack_id = change_set["StackName"], change_set["StackId"]
    stack, template = cloudformation.stacks[name], change_set["_template"]
    new = cloudformation.resolve_for_diff(template, change_set["_resolved_params"], name, stack_id)["Resources"]
    changes = {c["ResourceChange"]["LogicalResourceId"]: c["ResourceChange"] for c in change_set["Changes"]}
    change_set["_actual"], statuses = {}, set()
    for logical_id, record in stack["_resources"].items():
        status = _compare_resource(change_set, stack, logical_id, record, new.get(logical_id), changes)
        statuses.add(status)
        if logical_id in changes:
            changes[logical_id]["ResourceDriftStatus"] = status
    is_drifted = not statuses.isdisjoint({"MODIFIED", "DELETED"})
    change_set |= {"DeploymentMode": REVERT_DRIFT, "StackDriftStatus": "DRIFTED" if is_drifted else "IN_SYNC"}
    change_set["Changes"] = [{"Type": "Resource", "ResourceChange": changes[key]} for key in sorted(changes)]


def _compare_resource(
    change_set: Record, stack: Record, logical_id: str, record: Record, new: Record | None, changes: dict[str, Record]
) -> str:
    """Add the drift of a resource to the changes, and return its drift status."""
    if not cloudformation.supports_drift(record["ResourceType"]):
        return "UNSUPPORTED"
    found = cloudformation.detect_drift(stack, logical_id, record, datetime.now(UTC).isoformat())
    status = str(found["StackResourceDriftStatus"])
    resource = {name: record[name] for name in ("LogicalResourceId", "PhysicalResourceId", "ResourceType")}
    if status == "DELETED" and new:
        after = json.dumps({"Properties": new.get("Properties", {})})
        changes[logical_id] = {**resource, "Action": "Add", "Scope": [], "Details": [], "AfterContext": after}
        change_set["_actual"][logical_id] = None
    elif status == "MODIFIED" and new:
        details = list(_details(found, record["ResourceType"], new.get("Properties", {})))
        change = changes.setdefault(logical_id, {**resource, "Action": SYNC, "Scope": ["Properties"], "Details": []})
        _add_details(change, details)
        actual = record["Properties"] | json.loads(found["ActualProperties"])
        change |= {"BeforeContext": _context(actual), "AfterContext": _context(new.get("Properties", {}))}
        change_set["_actual"][logical_id] = actual
    return status


def _details(found: dict[str, Any], kind: str, new: dict[str, Any]) -> Any:
    """Yield a detail of a change for each property that drifted, except create-only ones."""
    expected, actual = json.loads(found["ExpectedProperties"]), json.loads(found["ActualProperties"])
    for name in sorted({difference["PropertyPath"].split("/")[1] for difference in found["PropertyDifferences"]}):
        if property_recreation(kind, name) != "Never":
            continue
        is_same = _text(new.get(name)) == _text(actual.get(name))
        values = {"BeforeValue": _text(actual.get(name)), "AfterValue": _text(new.get(name))}
        drift = {"PreviousValue": _text(expected.get(name)), "ActualValue": _text(actual.get(name))}
        target = {
            "Attribute": "Properties",
            "Name": name,
            "Path": f"/Properties/{name}",
            "RequiresRecreation": "Never",
            "AttributeChangeType": SYNC if is_same else "Modify" if name in new else "Remove",
            "BeforeValueFrom": "ACTUAL_STATE",
            "AfterValueFrom": "TEMPLATE",
            **{key: value for key, value in values.items() if value},
            "Drift": {key: value for key, value in drift.items() if value},
        }
        source = "NoModification" if is_same else "DirectModification"
        yield {"Target": target, "Evaluation": "Static", "ChangeSource": source}


def _add_details(change: dict[str, Any], details: list[dict[str, Any]]) -> None:
    """Replace the details of the properties that drifted."""
    names = {detail["Target"]["Name"] for detail in details}
    others = [detail for detail in change["Details"] if detail["Target"].get("Name") not in names]
    change["Details"] = others + details
    if any(detail["Target"].get("AttributeChangeType") != SYNC for detail in change["Details"]):
        change["Action"] = "Modify"
        change.setdefault("Replacement", "False")


def _text(value: Any) -> str:
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, dict | list | bool) else str(value)


def _context(properties: dict[str, Any]) -> str:
    return json.dumps({"Properties": {name: _text(value) for name, value in properties.items()}})


def start_from_actual_state(change_set: dict[str, Any]) -> None:
    """Let the execution update resources from their actual state, to which a rollback returns them, too."""
    resources = cloudformation.stacks[change_set["StackName"]]["_resources"]
    for logical_id, properties in change_set.get("_actual", {}).items():
        if properties is None:
            resources.pop(logical_id, None)
        else:
            resources[logical_id]["Properties"] = properties
