"""Validation before deployment: properties against the resource schemas, and names that already exist.

CloudFormation fails the change set or the stack operation, and DescribeEvents returns the reasons. Not implemented:
types and formats of values, combinations of properties, and checks that only warn. Reasons other than those of missing
properties and existing names are not known from AWS.
"""

import uuid
from collections.abc import Iterator
from typing import Any

from ..ministack import cloudformation
from ..ministack.requests import get_account_id, get_region
from .schemas import schema
from .template_validation import active

CHECKS = {"PROPERTY_VALIDATION": "PropertyValidation", "NAME_CONFLICT_VALIDATION": "ResourceExistenceCheck"}
# Identifiers that AWS generates from a property.
GENERATED = {"QueueUrl": "QueueName", "TopicArn": "TopicName"}
UNKNOWN = object()  # a value that is known only during the deployment
Error = tuple[str, str, str, str, str]  # logical id, type, check, path, reason


def install() -> None:
    """Replace MiniStack's validation of stack operations."""
    cloudformation.validation_errors.replace(_errors_of_operation)


def _errors_of_operation(
    resources: dict[str, Any], _ordered: Any, values: Any, conditions: dict[str, bool], *arguments: Any
) -> list[Error]:
    _mappings, stack_name, *_ = arguments
    return find_errors(resources, values, conditions, cloudformation.stacks[stack_name]["_resources"])


def find_errors(
    resources: dict[str, Any], values: Any, conditions: dict[str, bool], existing: dict[str, Any]
) -> list[Error]:
    """Return the errors of `resources`, with the `values` of parameters; the stack already has `existing`."""
    errors = []
    for logical_id, resource in active(resources, conditions).items():
        if not resource:
            continue
        kind, path = resource["Type"], f"/Resources/{logical_id}"
        properties = _known(resource.get("Properties") or {}, values)
        for where, reason in _property_errors(schema(kind), properties, f"{path}/Properties", schema(kind)):
            errors.append((logical_id, kind, "PROPERTY_VALIDATION", where, reason))
        name = _existing_name(kind, properties) if logical_id not in existing else None
        if name:
            reason = f"Resource of type '{kind}' with identifier '{name}' already exists."
            errors.append((logical_id, kind, "NAME_CONFLICT_VALIDATION", path, reason))
    return errors


def fail(change_set: dict[str, Any], errors: list[Error]) -> None:
    """Fail a change set because of errors, and keep them for DescribeEvents."""
    checks = ", ".join(
        f"AWS::EarlyValidation::{name}" for check, name in CHECKS.items() if check in {e[2] for e in errors}
    )
    change_set |= {
        "Status": "FAILED",
        "ExecutionStatus": "UNAVAILABLE",
        "StatusReason": f"The following hook(s)/validation failed: [{checks}]. To troubleshoot Early Validation "
        "errors, use the DescribeEvents API for detailed failure information.",
    }
    operation_id = str(uuid.uuid4())
    change_set["_events"] = [
        cloudformation.operation_event(
            change_set["StackId"],
            operation_id,
            "VALIDATION_ERROR",
            "CREATE_CHANGESET",
            LogicalResourceId=logical_id,
            ResourceType=kind,
            ValidationFailureMode="FAIL",
            ValidationName=check,
            ValidationStatus="FAILED",
            ValidationStatusReason=reason,
            ValidationPath=path,
        )
        for logical_id, kind, check, path, reason in errors
    ]


def _known(value: Any, values: Any) -> Any:
    """Return a value with parameters resolved, and UNKNOWN for other functions."""
    if isinstance(value, list):
        return [item for item in (_known(item, values) for item in value) if item is not None]
    if not isinstance(value, dict):
        return value
    name: str = next(iter(value)) if len(value) == 1 else ""
    if name == "Ref":
        target = value[name]
        return None if target == "AWS::NoValue" else values[target]["Value"] if target in values else UNKNOWN
    if name.startswith("Fn::"):
        return UNKNOWN
    known = {key: _known(item, values) for key, item in value.items()}
    return {key: item for key, item in known.items() if item is not None}


def _property_errors(model: Any, value: Any, path: str, root: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield path and reason of each error in a value that must match `model`, a part of the schema `root`."""
    while "$ref" in model:
        model = root["definitions"][model["$ref"].split("/")[-1]]
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _property_errors(model.get("items", {}), item, f"{path}/{index}", root)
    elif isinstance(value, dict):
        properties = model.get("properties", {})
        for name in model.get("required", ()):
            if name not in value:
                yield path, f"Required property [{name}] not found"
        for name, item in value.items():
            if name in properties:
                yield from _property_errors(properties[name], item, f"{path}/{name}", root)
            elif model.get("additionalProperties") is False and not model.get("patternProperties"):
                yield path, f"Unsupported property [{name}]"
    elif value is not UNKNOWN and "enum" in model and str(value) not in map(str, model["enum"]):
        yield path, f"{value} is not a valid enum value. Supported values: [{', '.join(map(str, model['enum']))}]"


def _existing_name(kind: str, properties: dict[str, Any]) -> str | None:
    """Return the name of a resource if a resource with that name exists."""
    identifiers = cloudformation.import_lookups.get(kind, ((),))[0]
    values = [properties.get(GENERATED.get(name, name)) for name in identifiers]
    names = [value for value in values if isinstance(value, str) and value]
    if not names or len(names) < len(identifiers):
        return None
    identifier = dict(zip(identifiers, names, strict=True))
    if kind == "AWS::SNS::Topic":
        identifier["TopicArn"] = f"arn:aws:sns:{get_region()}:{get_account_id()}:{names[0]}"
    is_missing = cloudformation.import_not_found([{"ResourceType": kind, "ResourceIdentifier": identifier}]) is not None
    return None if is_missing else "|".join(names)
