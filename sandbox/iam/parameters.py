"""Parameters that the operations of botocore's models have. Authorization and MiniStack must not see different ones."""

import re
from collections.abc import Mapping
from typing import Any

import botocore.session
from botocore.exceptions import UnknownServiceError
from botocore.model import OperationModel, OperationNotFoundError, Shape

SESSION = botocore.session.Session()
MODELS = {"states": "stepfunctions", "tagging": "resourcegroupstaggingapi"}  # that are not named as in signatures
FORM_ONLY = ("Action", "Version")  # parameters of every operation in a form
TAG_KEY = re.compile(r"(.*?)Tags?\.(?:member\.)?\d+\.Key")
NESTED = ("structure", "list", "map")


def are_known(service: str, name: str, parameters: Mapping[str, Any], *, form: bool = False) -> bool:
    """Return whether an operation has all these parameters of a JSON body or a form, with all members.

    Authorization would use another one to determine the resource, and MiniStack would ignore it.
    """
    operation = _operation(service, name)
    if operation is None:
        return False
    shape = operation.input_shape
    names = [key for key in parameters if not (form and key in FORM_ONLY)]
    if shape is None:
        return not names
    if not form:
        return _is_known(parameters, shape)
    has_ec2_names = operation.service_model.metadata["protocol"] == "ec2"
    return (
        _has_complete_lists(names)
        and _has_distinct_tags(parameters)
        and all(_is_known_name(key.split("."), shape, has_ec2_names, is_empty=not parameters[key]) for key in names)
    )


def _has_complete_lists(names: list[str]) -> bool:
    """Return whether the items of each list have the numbers 1, 2 ...; MiniStack stops at the first that is missing."""
    parts = [name.split(".") for name in names]
    places = {tuple(name[: index + 1]) for name in parts for index, part in enumerate(name) if part.isdecimal()}
    return all(
        re.fullmatch("[1-9][0-9]*", place[-1])
        and (place[-1] == "1" or (*place[:-1], str(int(place[-1]) - 1)) in places)
        for place in places
    )


def _has_distinct_tags(parameters: Mapping[str, str]) -> bool:
    """Return whether no tag has two values, of which conditions would use another one than MiniStack."""
    tags: list[tuple[str, str]] = []
    for name, value in parameters.items():
        match = TAG_KEY.fullmatch(name)
        if match:
            kind = parameters.get(f"{match[1]}ResourceType", match[1])
            tags.append((kind, value.lower()))
    return len(set(tags)) == len(tags)


def without_maps(service: str, name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters without maps: the caller chooses their keys, such as of tags."""
    operation = _operation(service, name)
    shape = operation.input_shape if operation else None
    return dict(parameters) if shape is None else _without_maps(dict(parameters), shape)


def _without_maps(value: Any, shape: Any) -> Any:
    match shape.type_name:
        case "structure" if isinstance(value, dict):
            names = {_name(name, member): member for name, member in shape.members.items()} | shape.members
            kept = {key: item for key, item in value.items() if key not in names or names[key].type_name != "map"}
            return {key: _without_maps(item, names[key]) if key in names else item for key, item in kept.items()}
        case "list" if isinstance(value, list):
            return [_without_maps(item, shape.member) for item in value]
    return value


def _is_known(value: Any, shape: Any) -> bool:
    """Return whether JSON has no other members than a shape."""
    if value is None or getattr(shape, "is_document_type", False):
        return True
    match shape.type_name:
        case "structure":
            names = {member.serialization.get("name", name): member for name, member in shape.members.items()}
            return isinstance(value, dict) and all(
                key in names and _is_known(item, names[key]) for key, item in value.items()
            )
        case "list":
            return isinstance(value, list) and all(_is_known(item, shape.member) for item in value)
        case "map":
            return isinstance(value, dict) and all(_is_known(item, shape.value) for item in value.values())
    return not isinstance(value, dict | list)


def _is_known_name(parts: list[str], shape: Any, has_ec2_names: bool, *, is_empty: bool) -> bool:
    """Return whether the parts of a name in a form, such as `Tags`, `member`, `1` and `Key`, lead to a value."""
    if not parts:  # an empty list has no parts
        return is_empty or shape.type_name not in NESTED
    first, rest = parts[0], parts[1:]
    match shape.type_name:
        case "structure":
            for name, member in shape.members.items():
                if first == (_ec2_name if has_ec2_names else _name)(name, member):
                    return _is_known_name(rest, member, has_ec2_names, is_empty=is_empty)
        case "list":
            if not has_ec2_names and not shape.serialization.get("flattened"):
                if first != _name("member", shape.member):
                    return False
                first, rest = rest[0] if rest else "", rest[1:]
            return first.isdecimal() and _is_known_name(rest, shape.member, has_ec2_names, is_empty=is_empty)
        case "map" if len(parts) > 2 and first == "entry" and parts[1].isdecimal():
            for name, member in (("key", shape.key), ("value", shape.value)):
                if parts[2] == _name(name, member):
                    return _is_known_name(parts[3:], member, has_ec2_names, is_empty=is_empty)
    return False


def _name(member: str, shape: Shape) -> str:
    return str(shape.serialization.get("name", member))


def _ec2_name(member: str, shape: Shape) -> str:
    name = _name(member, shape)
    return str(shape.serialization.get("queryName", re.sub("^.", lambda first: first[0].upper(), name)))


def _operation(service: str, name: str) -> OperationModel | None:
    for model in (MODELS.get(service, service), f"{service}streams"):
        try:
            return SESSION.get_service_model(model).operation_model(name)
        except (UnknownServiceError, OperationNotFoundError):
            continue
    return None
