"""Validates the template and parameters of a request before MiniStack handles it."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from ..ministack import cloudformation
from .parameters import check_parameters
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
