"""The changes that an update makes to each resource, from two templates and the resource schemas."""

import importlib.util
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

ATTRIBUTES = ("Metadata", "CreationPolicy", "UpdatePolicy", "DeletionPolicy", "UpdateReplacePolicy")
Resources = dict[str, dict[str, Any]]


def diff_resources(old: Resources, new: Resources, raw: Resources) -> dict[str, dict[str, Any]]:
    """Return a ``ResourceChange`` for each resource that an update from `old` to `new` changes.

    Parameters in `old` and `new` are resolved; `raw` is `new` with its references.
    """
    changes: dict[str, dict[str, Any]] = {}
    for name in sorted(old.keys() | new.keys()):
        if name not in old:
            changes[name] = _change("Add", name, new[name])
        elif name not in new:
            policy_action = _policy_action("Delete", old[name].get("DeletionPolicy"))
            changes[name] = _change("Remove", name, old[name]) | policy_action
        elif details := list(_direct_details(old[name], new[name])):
            changes[name] = _modification(name, new[name], details)
    # A change can cause changes of resources that reference it, which can cause others in turn.
    while True:
        caused = {
            name: _modification(name, new[name], changes.get(name, {}).get("Details", []) + details)
            for name in sorted(old.keys() & new.keys())
            if (details := _caused_details(name, raw.get(name, {}), changes))
        }
        if not caused:
            return changes
        changes |= caused


def schema_types() -> set[str]:
    """Return the resource types that have a schema."""
    return set(_schema_files())


@cache
def schema(kind: str) -> dict[str, Any]:
    """Return the schema of a resource type, or an empty one if it is unknown."""
    if kind.startswith("AWS::CDK::"):  # this schema is not CloudFormation's
        return {}
    file = _schema_files().get(kind)
    content: dict[str, Any] = json.loads(file.read_text()) if file else {}
    return content


@cache
def _schema_files() -> dict[str, Path]:
    """Return the file of the schema of each resource type."""
    spec = importlib.util.find_spec("cfnlint")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("cfn-lint, which contains the resource schemas, is not installed")
    schemas = Path(spec.origin).parent / "data" / "schemas"
    names = json.loads((schemas / "providers" / "us-east-1.json").read_text())
    return {kind: schemas / "resources" / f"{name}.json" for kind, name in names.items()}


def _change(action: str, name: str, resource: dict[str, Any]) -> dict[str, Any]:
    return {"Action": action, "LogicalResourceId": name, "ResourceType": resource.get("Type", "")}


def _policy_action(default: str, policy: str | None) -> dict[str, str]:
    """Return the policy action; `default`, such as ReplaceAndDelete, is the action for the policy ``Delete``."""
    action = {"Retain": "Retain", "RetainExceptOnCreate": "Retain", "Snapshot": "Snapshot"}.get(policy or "", "Delete")
    return {"PolicyAction": default.replace("Delete", action)}


def _modification(name: str, resource: dict[str, Any], details: list[dict[str, Any]]) -> dict[str, Any]:
    recreations = {(detail["Target"].get("RequiresRecreation"), detail["Evaluation"]) for detail in details}
    replacement = "False"
    if any(recreation in ("Always", "Conditionally") for recreation, _ in recreations):
        replacement = "True" if ("Always", "Static") in recreations else "Conditional"
    change = _change("Modify", name, resource) | {
        "Replacement": replacement,
        "Scope": sorted({detail["Target"]["Attribute"] for detail in details}),
        "Details": details,
    }
    if replacement == "True":
        change |= _policy_action("ReplaceAndDelete", resource.get("UpdateReplacePolicy"))
    return change


def _direct_details(old: dict[str, Any], new: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield details of the differences between the templates."""
    for attribute in ATTRIBUTES:
        if old.get(attribute) != new.get(attribute):
            yield _detail({"Attribute": attribute}, "Static", "DirectModification")
    before, after = old.get("Properties", {}), new.get("Properties", {})
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            recreation = _recreation(new.get("Type", ""), name, before.get(name), after.get(name))
            yield _detail(_property_target(name, recreation), "Static", "DirectModification")


def _caused_details(name: str, raw: dict[str, Any], changes: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return details of references to changed resources that the change does not have yet."""
    details_so_far = changes.get(name, {}).get("Details", [])
    reported = {(detail["Target"].get("Name"), detail.get("CausingEntity")) for detail in details_so_far}
    details = []
    for property_name, value in raw.get("Properties", {}).items():
        for entity in sorted(set(_references(value))):
            cause = changes.get(entity.split(".")[0], {})
            can_change = cause.get("Action") == "Modify" and ("." in entity or cause.get("Replacement") != "False")
            if can_change and (property_name, entity) not in reported:
                source = "ResourceAttribute" if "." in entity else "ResourceReference"
                target = _property_target(property_name, _recreation(raw.get("Type", ""), property_name, None, value))
                details.append(_detail(target, "Dynamic", source) | {"CausingEntity": entity})
    return details


def _references(value: Any) -> Iterator[str]:
    """Yield the references in a value: `Resource`, or `Resource.Attribute`."""
    if isinstance(value, list):
        for item in value:
            yield from _references(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "Ref":
                yield str(item)
            elif key == "Fn::GetAtt":
                yield item if isinstance(item, str) else ".".join(map(str, item))
            elif key == "Fn::Sub":
                yield from re.findall(r"\$\{([^!}]+)\}", item if isinstance(item, str) else item[0])
                yield from _references(item if isinstance(item, list) else [])
            else:
                yield from _references(item)


def _recreation(kind: str, name: str, before: Any, after: Any) -> str:
    """Return RequiresRecreation of a property: Always, Conditionally or Never."""
    resource_schema = schema(kind)
    if not resource_schema:
        return "Conditionally"  # as CloudFormation reports for AWS::CDK::Metadata
    for key, recreation in (("createOnlyProperties", "Always"), ("conditionalCreateOnlyProperties", "Conditionally")):
        for pointer in resource_schema.get(key) or []:
            top, *inner = pointer.removeprefix("/properties/").split("/")
            if top == name and _at(before, inner) != _at(after, inner):
                return recreation
    return "Never"


def _at(value: Any, path: list[str]) -> Any:
    for step in path:
        value = value.get(step) if isinstance(value, dict) else value
    return value


def _property_target(name: str, recreation: str) -> dict[str, str]:
    return {"Attribute": "Properties", "Name": name, "RequiresRecreation": recreation}


def _detail(target: dict[str, str], evaluation: str, source: str) -> dict[str, Any]:
    return {"Target": target, "Evaluation": evaluation, "ChangeSource": source}
