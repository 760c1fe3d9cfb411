"""The effective values of conditions and of properties in change sets, and which changes replace a resource.

The create-only properties of the resource schemas (bundled with cfn-lint) decide about replacement. DescribeChangeSet
returns the values of properties with IncludePropertyValues.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from ..ministack import cloudformation
from .schemas import schema

CREATE_ONLY = {"createOnlyProperties": "Always", "conditionalCreateOnlyProperties": "Conditionally"}


ATTRIBUTES = ("Metadata", "CreationPolicy", "UpdatePolicy", "DeletionPolicy", "UpdateReplacePolicy")
KNOWN_AFTER_APPLY = "{{changeSet:KNOWN_AFTER_APPLY}}"
VALUE_KEYS = (
    "BeforeContext", "AfterContext", "BeforeValue", "AfterValue", "Path", "AttributeChangeType",
    "BeforeValueFrom", "AfterValueFrom", "Drift",
)  # fmt: skip


def install() -> None:
    """Replace MiniStack's tables and resolution of values."""
    cloudformation.property_recreation.replace(property_recreation)
    cloudformation.requires_replacement.replace(requires_replacement)
    cloudformation.resolve_for_diff.extend(effective_values)
    cloudformation.evaluate_conditions.extend(_resolving)


def property_recreation(kind: str, name: str) -> str:
    """Return RequiresRecreation of a property: Always, Conditionally (also of a part of it) or Never."""
    if not schema(kind):
        return "Conditionally"  # as CloudFormation reports for AWS::CDK::Metadata
    found = [
        recreation if not inner else "Conditionally" for top, inner, recreation in _create_only(kind) if top == name
    ]
    return found[0] if found else "Never"


def requires_replacement(kind: str, old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Return whether an update from `old` to `new` properties replaces a resource."""
    return any(
        recreation == "Always" and _at(old, [top, *inner]) != _at(new, [top, *inner])
        for top, inner, recreation in _create_only(kind)
    )


def _create_only(kind: str) -> Iterator[tuple[str, list[str], str]]:
    for key, recreation in CREATE_ONLY.items():
        for pointer in schema(kind).get(key) or []:
            top, *inner = pointer.removeprefix("/properties/").split("/")
            yield top, inner, recreation


def _at(value: Any, path: list[str]) -> Any:
    """Return the value at `path`; where the path has ``*`` for the elements of a list, the whole list."""
    for step in path:
        value = value.get(step) if isinstance(value, dict) else value
    return value


def effective_values(
    resolve: Callable[..., Any], template: dict[str, Any], values: Any, name: str, stack_id: str
) -> dict[str, Any]:
    """Leave out resources whose condition does not hold; keep references to others as ``${Resource.Attribute}``."""
    if not template:
        return {}
    conditions = cloudformation.evaluate_conditions(template, values)
    resources = {
        key: resource | {"Properties": _mark_attributes(resource.get("Properties") or {})}
        for key, resource in template["Resources"].items()
        if conditions.get(resource.get("Condition"), True)
    }
    references = {reference: {"Value": f"${{{reference}}}"} for reference in _references(template["Resources"])}
    resolved: dict[str, Any] = resolve(template | {"Resources": resources}, values | references, name, stack_id)
    return resolved


def _references(resources: dict[str, Any]) -> Iterator[str]:
    """Return the references to resources (``Ref``, ``Fn::GetAtt`` and in ``Fn::Sub``) as ``Fn::Sub`` writes them."""
    for resource in resources.values():
        for logical_id, attribute in cloudformation.references(resource.get("Properties") or {}):
            if logical_id in resources:
                yield f"{logical_id}.{attribute}" if attribute else logical_id


def _mark_attributes(value: Any) -> Any:
    if isinstance(value, list):
        return [_mark_attributes(item) for item in value]
    if isinstance(value, dict):
        if set(value) == {"Fn::GetAtt"}:
            target = value["Fn::GetAtt"]
            return f"${{{target if isinstance(target, str) else '.'.join(map(str, target))}}}"
        return {key: _mark_attributes(item) for key, item in value.items()}
    return value


def _resolving(
    evaluate: Callable[..., dict[str, bool]], template: dict[str, Any], parameters: dict[str, Any]
) -> dict[str, bool]:
    """Resolve the functions in conditions, which MiniStack would compare unresolved; the logical ones are its own."""

    def resolve(value: Any) -> Any:
        if isinstance(value, list):
            return [resolve(item) for item in value]
        if not isinstance(value, dict):
            return value
        if {"Fn::FindInMap", "Fn::Join", "Fn::Select", "Fn::Sub"} & value.keys():
            return cloudformation.resolve_references(value, {}, parameters, {}, mappings, "", "")
        return {key: resolve(item) for key, item in value.items()}

    mappings = template.get("Mappings", {})
    return evaluate({**template, "Conditions": resolve(template.get("Conditions", {}))}, parameters)


def add_values(change: dict[str, Any], old: Any, new: Any, known: dict[str, Any], replaced: set[str]) -> None:
    """Add the old and new resource to a change, and the old and new value to each detail.

    known: the physical ids of all resources by logical id, and the attributes of existing ones by
        ``LogicalId.Attribute``. CloudFormation assumes that they remain the same unless the resource is among the
        `replaced` ones.
    """
    remaining = {name: value for name, value in known.items() if name.split(".")[0] not in replaced}
    remaining |= dict.fromkeys(replaced, KNOWN_AFTER_APPLY)
    contexts = {}
    for when, resource, references in (("Before", old, known), ("After", new, remaining)):
        if resource:
            content = {name: resource[name] for name in ("Properties", *ATTRIBUTES) if name in resource}
            contexts[when] = as_text(content, references)
            change[f"{when}Context"] = json.dumps(contexts[when])
    for detail in change.get("Details", []):
        target = detail["Target"]
        path = ["Properties", target["Name"]] if "Name" in target else [target["Attribute"]]
        values = {when: _at(context, path) for when, context in contexts.items()}
        for when, value in values.items():
            if value is not None:
                target[f"{when}Value"] = value if isinstance(value, str) else json.dumps(value)
        kinds = {(True, False): "Remove", (False, True): "Add"}
        present = values.get("Before") is not None, values.get("After") is not None
        target |= {"Path": "/" + "/".join(path), "AttributeChangeType": kinds.get(present, "Modify")}


def as_text(value: Any, known: dict[str, Any]) -> Any:
    """Convert scalars to text, resolve references to resources with `known`, and mark other functions as unknown."""
    if isinstance(value, list):
        return [as_text(item, known) for item in value]
    if isinstance(value, dict):
        ((name, argument),) = value.items() if len(value) == 1 else ((None, None),)
        if name == "Ref" or str(name).startswith("Fn::"):
            return known.get(str(argument), KNOWN_AFTER_APPLY) if name == "Ref" else KNOWN_AFTER_APPLY
        return {key: as_text(item, known) for key, item in value.items()}

    def resolved(reference: re.Match[str]) -> str:
        logical_id = reference[1].split(".")[0]
        return str(known.get(reference[1], KNOWN_AFTER_APPLY)) if logical_id in known else reference[0]

    text = str(value).lower() if isinstance(value, bool) else str(value)
    return re.sub(r"\$\{(\w+(?:\.\w+)*)\}", resolved, text)


def is_unchanged(change: dict[str, Any]) -> bool:
    """Return whether a resource changes only if attributes of others do; with values, they are assumed not to."""
    details = [(detail["Evaluation"], detail.get("ChangeSource")) for detail in change.get("Details", [])]
    return set(details) == {("Dynamic", "ResourceAttribute")} and change["BeforeContext"] == change["AfterContext"]
