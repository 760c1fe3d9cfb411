"""The values of a stack's parameters, checked as CloudFormation checks them, with its messages."""

import re
from collections.abc import Callable
from typing import Any

from ..ministack import ssm
from .template_validation import TemplateError

STORED_VALUE = "AWS::SSM::Parameter::Value<"


def check_parameters(definitions: dict[str, Any], request: list[dict[str, Any]], previous: dict[str, Any]) -> None:
    """Check the parameters of a request: each with Key, Value and UsePreviousValue.

    `previous` has the parameters of the stack before.

    Raises:
        TemplateError: CloudFormation refuses the values.
    """
    unknown = [parameter["Key"] for parameter in request if parameter["Key"] not in definitions]
    if unknown:
        raise TemplateError(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    values = {name: definition["Default"] for name, definition in definitions.items() if "Default" in definition}
    for parameter in request:
        if not parameter["UsePreviousValue"]:
            values[parameter["Key"]] = parameter["Value"]
        elif parameter["Key"] in previous:
            stored = previous[parameter["Key"]]
            values[parameter["Key"]] = stored.get("SsmName", stored["Value"])
    missing = [name for name in definitions if name not in values]
    if missing:
        raise TemplateError(f"Parameters: [{', '.join(missing)}] must have values")
    for name, definition in definitions.items():
        _check_value(name, definition, str(values[name]))
    _check_stored_values([str(v) for n, v in values.items() if definitions[n]["Type"].startswith(STORED_VALUE)])


def _check_value(name: str, definition: dict[str, Any], value: str) -> None:
    """Check one value; the limits apply to each element of a list."""
    kind = definition["Type"]
    is_number = kind in ("Number", "List<Number>")
    items = [item.strip() for item in value.split(",")] if "List" in kind else [value]
    if is_number and not all(re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", item) for item in items):
        raise TemplateError(f"Parameter '{name}' must be a number.")
    limits: dict[str, tuple[Callable[[Any, str], Any], str]] = {
        "AllowedValues": (lambda limit, item: item in map(str, limit), "must be one of AllowedValues"),
        "AllowedPattern": (lambda limit, item: re.fullmatch(limit, item), "must match pattern {}"),
        "MinLength": (lambda limit, item: len(item) >= int(limit), "must contain at least {} characters"),
        "MaxLength": (lambda limit, item: len(item) <= int(limit), "must contain at most {} characters"),
        "MinValue": (lambda limit, item: float(item) >= float(limit), "must be a number not less than {}"),
        "MaxValue": (lambda limit, item: float(item) <= float(limit), "must be a number not greater than {}"),
    }
    for limit_name, (is_met, reason) in limits.items():
        limit = definition.get(limit_name)
        if limit is not None and not all(is_met(limit, item) for item in items):
            if "ConstraintDescription" in definition:
                raise TemplateError(
                    f"Parameter {name} failed to satisfy constraint: {definition['ConstraintDescription']}"
                )
            raise TemplateError(f"Parameter '{name}' {reason.format(limit)}")


def _check_stored_values(names: list[str]) -> None:
    """Check that Parameter Store has the parameters with these names, which can end with a version."""
    stored = {name: re.sub(r":\d+$", "", name) for name in names}
    missing = [name for name in names if ssm.parameter_value(stored[name]) is None]
    if missing:
        raise TemplateError(f"Unable to fetch parameters [{','.join(missing)}] from parameter store for this account.")
    secure = [name for name in names if (ssm.find_parameter(stored[name])[1] or {}).get("Type") == "SecureString"]
    if secure:
        reason = "referenced by template have types not supported by CloudFormation."
        raise TemplateError(f"Parameters [{', '.join(secure)}] {reason}")
