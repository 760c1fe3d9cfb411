"""What an update would do to each resource, told from two templates and the resource schemas."""

import importlib.util
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

ATTRIBUTES = ("Metadata", "CreationPolicy", "UpdatePolicy", "DeletionPolicy", "UpdateReplacePolicy")
Resources = dict[str, dict[str, Any]]


def differences(old: Resources, new: Resources, raw: Resources) -> dict[str, dict[str, Any]]:
    """Give a ``ResourceChange`` for each resource that an update from `old` to `new` would touch.

    Properties in `old` and `new` have their parameters filled in; `raw` is `new` before that,
    with its references.
    """
    found: dict[str, dict[str, Any]] = {}
    for name in sorted(old.keys() | new.keys()):
        if name not in old:
            found[name] = _change("Add", name, new[name])
        elif name not in new:
            found[name] = _change("Remove", name, old[name]) | _policy("Delete", old[name].get("DeletionPolicy"))
        elif details := list(_direct(old[name], new[name])):
            found[name] = _modified(name, new[name], details)
    while True:
        following = {
            name: _modified(name, new[name], found.get(name, {}).get("Details", []) + details)
            for name in sorted(old.keys() & new.keys())
            if (details := _caused(name, raw.get(name, {}), found))
        }
        if not following:
            return found
        found |= following


@cache
def schema(kind: str) -> dict[str, Any]:
    """The schema of a resource type; empty when there is none."""
    if kind.startswith("AWS::CDK::"):  # that one is cfn-lint's own
        return {}
    spec = importlib.util.find_spec("cfnlint")
    assert spec
    assert spec.origin
    schemas = Path(spec.origin).parent / "data" / "schemas"
    name = json.loads((schemas / "providers" / "us-east-1.json").read_text()).get(kind)
    found: dict[str, Any] = json.loads((schemas / "resources" / f"{name}.json").read_text()) if name else {}
    return found


def _change(action: str, name: str, resource: dict[str, Any]) -> dict[str, Any]:
    return {"Action": action, "LogicalResourceId": name, "ResourceType": resource.get("Type", "")}


def _policy(consequence: str, policy: str | None) -> dict[str, str]:
    kept = {"Retain": "Retain", "RetainExceptOnCreate": "Retain", "Snapshot": "Snapshot"}.get(policy or "", "Delete")
    return {"PolicyAction": consequence.replace("Delete", kept)}


def _modified(name: str, resource: dict[str, Any], details: list[dict[str, Any]]) -> dict[str, Any]:
    needs = {(detail["Target"].get("RequiresRecreation"), detail["Evaluation"]) for detail in details}
    replacement = "False"
    if any(recreation in ("Always", "Conditionally") for recreation, _ in needs):
        replacement = "True" if ("Always", "Static") in needs else "Conditional"
    change = _change("Modify", name, resource) | {
        "Replacement": replacement,
        "Scope": sorted({detail["Target"]["Attribute"] for detail in details}),
        "Details": details,
    }
    if replacement == "True":
        change |= _policy("ReplaceAndDelete", resource.get("UpdateReplacePolicy"))
    return change


def _direct(old: dict[str, Any], new: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What the template itself changes."""
    for attribute in ATTRIBUTES:
        if old.get(attribute) != new.get(attribute):
            yield _detail({"Attribute": attribute}, "Static", "DirectModification")
    before, after = old.get("Properties", {}), new.get("Properties", {})
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            recreation = _recreation(new.get("Type", ""), name, before.get(name), after.get(name))
            yield _detail(_property(name, recreation), "Static", "DirectModification")


def _caused(name: str, raw: dict[str, Any], found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """What other changes may change in a resource, and is not told of it yet."""
    known = {
        (detail["Target"].get("Name"), detail.get("CausingEntity")) for detail in found.get(name, {}).get("Details", [])
    }
    details = []
    for property_name, value in raw.get("Properties", {}).items():
        for entity in sorted(set(_references(value))):
            cause = found.get(entity.split(".")[0], {})
            moves = cause.get("Action") == "Modify" and ("." in entity or cause.get("Replacement") != "False")
            if moves and (property_name, entity) not in known:
                source = "ResourceAttribute" if "." in entity else "ResourceReference"
                target = _property(property_name, _recreation(raw.get("Type", ""), property_name, None, value))
                details.append(_detail(target, "Dynamic", source) | {"CausingEntity": entity})
    return details


def _references(value: Any) -> Iterator[str]:
    """Resources that a value names, with the attribute after a dot if it wants one."""
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
    """Whether a new value of a property makes CloudFormation replace the resource."""
    described = schema(kind)
    if not described:
        return "Conditionally"  # as it says of AWS::CDK::Metadata
    for key, answer in (("createOnlyProperties", "Always"), ("conditionalCreateOnlyProperties", "Conditionally")):
        for pointer in described.get(key) or []:
            top, *inner = pointer.removeprefix("/properties/").split("/")
            if top == name and _at(before, inner) != _at(after, inner):
                return answer
    return "Never"


def _at(value: Any, path: list[str]) -> Any:
    for step in path:
        value = value.get(step) if isinstance(value, dict) else value
    return value


def _property(name: str, recreation: str) -> dict[str, str]:
    return {"Attribute": "Properties", "Name": name, "RequiresRecreation": recreation}


def _detail(target: dict[str, str], evaluation: str, source: str) -> dict[str, Any]:
    return {"Target": target, "Evaluation": evaluation, "ChangeSource": source}
