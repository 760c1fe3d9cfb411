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


def are_known(service: str, name: str, parameters: Mapping[str, Any]) -> bool:
    """Return whether an operation has all these parameters, of a JSON body or a form.

    Authorization would use another one to determine the resource, and MiniStack would ignore it.
    """
    operation = _operation(service, name)
    if operation is None:
        return False
    members = operation.input_shape.members if operation.input_shape else {}
    if operation.service_model.metadata["protocol"] == "ec2":
        names = {_ec2_name(member, shape): shape for member, shape in members.items()}
    else:
        names = {shape.serialization.get("name", member): shape for member, shape in members.items()}
    return all(key in FORM_ONLY or _is_known(key, value, names) for key, value in parameters.items())


def _is_known(key: str, value: Any, names: Mapping[str, Shape]) -> bool:
    if key in names:  # in a form, a list or structure has no value, except an empty one
        return not isinstance(value, str) or not value or names[key].type_name not in ("list", "structure", "map")
    first = key.partition(".")[0]
    return first in names and names[first].type_name in ("list", "structure", "map")


def _ec2_name(member: str, shape: Shape) -> str:
    name = str(shape.serialization.get("name", member))
    return str(shape.serialization.get("queryName", re.sub("^.", lambda first: first[0].upper(), name)))


def _operation(service: str, name: str) -> OperationModel | None:
    for model in (MODELS.get(service, service), f"{service}streams"):
        try:
            return SESSION.get_service_model(model).operation_model(name)
        except (UnknownServiceError, OperationNotFoundError):
            continue
    return None
