"""Validates the template and parameters of a request before MiniStack handles it."""

import logging
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from ..iam.authorization import CALLER, AccessDeniedError, require
from ..iam.policy import Permission
from ..ministack import cloudformation, ssm
from ..ministack.requests import get_region
from ..process import ACCOUNT
from .template_validation import (
    FORMAT_ERROR,
    SHORT_FORMS,
    Template,
    TemplateError,
    changed_types,
    check_members,
    check_references,
    check_sections,
    parse,
)

STORED_VALUE = "AWS::SSM::Parameter::Value<"
NESTED_STACK = "AWS::CloudFormation::Stack"
Operation = Callable[[dict[str, Any]], Any]


def install(operations: dict[str, Operation]) -> None:
    """Validate templates, also those of nested stacks, and require capabilities."""
    cloudformation.capabilities_enforced.replace(lambda: True)
    for name in SHORT_FORMS:
        cloudformation.TemplateLoader.add_constructor(f"!{name}", cloudformation.short_form(f"Fn::{name}"))
    for name in ("CreateStack", "UpdateStack", "CreateChangeSet", "ValidateTemplate", "GetTemplateSummary"):
        operations[name] = partial(_validated, operations[name])
    cloudformation.add_steps(NESTED_STACK, check=_validate_nested)


def stack_of(name: str) -> dict[str, Any]:
    """Return the record of a stack, by name or id, or an empty one if it does not exist."""
    stack: dict[str, Any] | None = cloudformation.find_stack(name)
    return stack if stack and stack["StackStatus"] != "DELETE_COMPLETE" else {}


def _validated(operation: Operation, request: dict[str, Any]) -> Any:
    body, error = cloudformation.resolve_template(request)
    action = cloudformation.parameter(request, "Action")
    stack = stack_of(cloudformation.parameter(request, "StackName"))
    has_parameters = action not in ("ValidateTemplate", "GetTemplateSummary")
    body = body or (stack.get("_template_body") if has_parameters else None)
    if body and not error:
        values = cloudformation.extract_members(request, "Parameters") if has_parameters else None
        try:
            template = validate(body, values, stack.get("_resolved_params", {}))
            reason = changed_types(stack.get("_template") or {}, template)
            if reason and action == "UpdateStack":
                raise TemplateError(reason)
        except ValueError as refusal:
            return cloudformation.error_response("ValidationError", str(refusal))
        except (AttributeError, IndexError, KeyError, TypeError):  # a part of the template has the wrong type
            logging.exception("The validation of a template failed")
            return cloudformation.error_response("ValidationError", f"{FORMAT_ERROR}unsupported structure.")
    return operation(request)


def validate(body: str, values: list[dict[str, Any]] | None, previous: dict[str, Any]) -> Template:
    """Return the template in `body`, with its transforms processed if the `values` of parameters are known.

    `previous` has the parameters of the stack before.

    Raises:
        TemplateError: CloudFormation refuses the template or the values.
    """
    template = parse(body)
    check_sections(template)
    if values is None and "Transform" in template:
        return template
    try:
        template = cloudformation.apply_transforms(template, values, previous)
    except ValueError as error:
        raise TemplateError(str(error)) from error
    if isinstance(template, cloudformation.TransformFailed):
        raise TemplateError(template.error)
    check_members(template)
    check_references(template)
    if values is not None:
        check_parameters(template.get("Parameters") or {}, values, previous)
        resolved = cloudformation.resolve_parameters(template, values, previous)
        check_references(template, cloudformation.evaluate_conditions(template, resolved))
    return template


def _validate_nested(_id: str, properties: dict[str, Any]) -> None:
    body, error = cloudformation.resolve_template({"TemplateURL": [properties.get("TemplateURL", "")]})
    if body and not error:
        given = properties.get("Parameters") or {}
        values = [{"Key": key, "Value": value, "UsePreviousValue": False} for key, value in given.items()]
        validate(body, values, {})


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
    """Check that Parameter Store has the parameters with these names, which can end with a version.

    CloudFormation reads them with the permissions of the caller.
    """
    stored = {name: re.sub(r":\d+$", "", name) for name in names}
    for name in stored.values():
        arn = f"arn:aws:ssm:{get_region()}:{ACCOUNT}:parameter/{name.lstrip('/')}"
        try:
            require(CALLER.get(), Permission("ssm:GetParameters", arn, {}, "a parameter of the template"))
        except AccessDeniedError as error:
            raise TemplateError(str(error)) from error
    missing = [name for name in names if ssm.parameter_value(stored[name]) is None]
    if missing:
        raise TemplateError(f"Unable to fetch parameters [{','.join(missing)}] from parameter store for this account.")
    secure = [name for name in names if (ssm.find_parameter(stored[name])[1] or {}).get("Type") == "SecureString"]
    if secure:
        reason = "referenced by template have types not supported by CloudFormation."
        raise TemplateError(f"Parameters [{', '.join(secure)}] {reason}")
