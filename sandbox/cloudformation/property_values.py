"""Values of properties in a change set, as DescribeChangeSet gives them with IncludePropertyValues."""

import json
from typing import Any
from xml.sax.saxutils import escape

from ministack.services.cloudformation import helpers

from .replacement import ATTRIBUTES, schema

KNOWN_AFTER_APPLY = "{{changeSet:KNOWN_AFTER_APPLY}}"
VALUES = ("BeforeContext", "AfterContext", "BeforeValue", "AfterValue", "Path", "AttributeChangeType")


def add_values(change: dict[str, Any], old: Any, new: Any, physical_ids: dict[str, str]) -> None:
    """Add the resource before and after to its change, and the property to each detail.

    `physical_ids` are those of existing resources, which references are resolved to.
    """
    contexts = {}
    for when, resource in (("Before", old), ("After", new)):
        if resource:
            shown = {name: resource[name] for name in ("Properties", *ATTRIBUTES) if name in resource}
            contexts[when] = _text(shown, physical_ids)
            change[f"{when}Context"] = json.dumps(contexts[when])
    for detail in change.get("Details", []):
        target = detail["Target"]
        path = ["Properties", target["Name"]] if "Name" in target else [target["Attribute"]]
        values = {when: _at(shown, path) for when, shown in contexts.items()}
        for when, value in values.items():
            if value is not None:
                target[f"{when}Value"] = value if isinstance(value, str) else json.dumps(value)
        kinds = {(True, False): "Remove", (False, True): "Add"}
        present = values.get("Before") is not None, values.get("After") is not None
        target |= {"Path": "/" + "/".join(path), "AttributeChangeType": kinds.get(present, "Modify")}


def _at(value: Any, path: list[str]) -> Any:
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _text(value: Any, physical_ids: dict[str, str]) -> Any:
    """Scalars as text, references to existing resources resolved, and other functions unknown."""
    if isinstance(value, list):
        return [_text(item, physical_ids) for item in value]
    if isinstance(value, dict):
        ((name, argument),) = value.items() if len(value) == 1 else ((None, None),)
        if name == "Ref" or str(name).startswith("Fn::"):
            return physical_ids.get(str(argument), KNOWN_AFTER_APPLY) if name == "Ref" else KNOWN_AFTER_APPLY
        return {key: _text(item, physical_ids) for key, item in value.items()}
    return str(value).lower() if isinstance(value, bool) else str(value)


def describe_type(parameters: dict[str, Any]) -> Any:
    """The schema of a resource type."""
    name = helpers._p(parameters, "TypeName")
    found = schema(name)
    if not found:
        return helpers._error("TypeNotFoundException", f"The type '{name}' cannot be found.", 404)
    inner = f"<TypeName>{escape(name)}</TypeName><Schema>{escape(json.dumps(found))}</Schema>"
    return helpers._xml(200, "DescribeTypeResponse", f"<DescribeTypeResult>{inner}</DescribeTypeResult>")
