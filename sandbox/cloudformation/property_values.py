"""Property values in a change set, as returned by DescribeChangeSet with IncludePropertyValues."""

import json
import re
from typing import Any
from xml.sax.saxutils import escape

from ..ministack import cloudformation
from .schemas import schema

ATTRIBUTES = ("Metadata", "CreationPolicy", "UpdatePolicy", "DeletionPolicy", "UpdateReplacePolicy")
KNOWN_AFTER_APPLY = "{{changeSet:KNOWN_AFTER_APPLY}}"
VALUE_KEYS = (
    "BeforeContext", "AfterContext", "BeforeValue", "AfterValue", "Path", "AttributeChangeType",
    "BeforeValueFrom", "AfterValueFrom", "Drift",
)  # fmt: skip


def add_values(change: dict[str, Any], old: Any, new: Any, physical_ids: dict[str, str]) -> None:
    """Add the old and new resource to a change, and the old and new value to each detail.

    References to resources in `physical_ids`, the existing resources, are resolved.
    """
    contexts = {}
    for when, resource in (("Before", old), ("After", new)):
        if resource:
            content = {name: resource[name] for name in ("Properties", *ATTRIBUTES) if name in resource}
            contexts[when] = _as_text(content, physical_ids)
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


def _at(value: Any, path: list[str]) -> Any:
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _as_text(value: Any, physical_ids: dict[str, str]) -> Any:
    """Convert scalars to text, resolve references to existing resources, and mark other functions as unknown."""
    if isinstance(value, list):
        return [_as_text(item, physical_ids) for item in value]
    if isinstance(value, dict):
        ((name, argument),) = value.items() if len(value) == 1 else ((None, None),)
        if name == "Ref" or str(name).startswith("Fn::"):
            return physical_ids.get(str(argument), KNOWN_AFTER_APPLY) if name == "Ref" else KNOWN_AFTER_APPLY
        return {key: _as_text(item, physical_ids) for key, item in value.items()}
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return re.sub(r"\$\{\w+(\.\w+)+\}", KNOWN_AFTER_APPLY, text)


def describe_type(parameters: dict[str, Any]) -> Any:
    """Return the schema of a resource type (DescribeType)."""
    name = cloudformation.parameter(parameters, "TypeName")
    resource_schema = schema(name)
    if not resource_schema:
        return cloudformation.error_response("TypeNotFoundException", f"The type '{name}' cannot be found.", 404)
    inner = f"<TypeName>{escape(name)}</TypeName><Schema>{escape(json.dumps(resource_schema))}</Schema>"
    return cloudformation.xml_response(200, "DescribeTypeResponse", f"<DescribeTypeResult>{inner}</DescribeTypeResult>")
