"""CloudFormation's use of permissions: it creates resources with the stack's service role, or as its caller.

The resource schemas list the actions of each handler. Required here are those of the resource's own service, on the
resource, and the permission to pass the roles among its properties. Services check at creation whether they can
assume these roles.
"""

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from ministack.core.responses import get_region
from ministack.services.cloudformation import _stacks, custom_resource, stacks

from ..cloudformation.diff import schema
from ..process import ACCOUNT
from . import policies
from .actions import has_action, resource_formats
from .authorization import CALLER, AccessDeniedError, is_allowed, require
from .policy import Permission

# Properties with a role, and the services that assume it.
ASSUMED = {
    "AWS::ApiGateway::Account": ("CloudWatchRoleArn", "apigateway.amazonaws.com"),
    "AWS::CodePipeline::Pipeline": ("RoleArn", "codepipeline.amazonaws.com"),
    "AWS::EC2::FlowLog": ("DeliverLogsPermissionArn", "vpc-flow-logs.amazonaws.com"),
    "AWS::Lambda::Function": ("Role", "lambda.amazonaws.com"),
    "AWS::StepFunctions::StateMachine": ("RoleArn", "states.amazonaws.com"),
}
QUEUE_URL = re.compile(r"https?://[^/]+/\d{12}/([\w.-]+)")


def install() -> None:
    """Check permissions before each creation, update and deletion, and keep the properties of resources."""
    provision, update, delete = stacks._provision_resource, stacks._update_resource, stacks._delete_resource

    def provision_resource(kind: str, logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        _require("create", kind, f"{stack}-{logical_id}-XXXXXXXXXXXX", properties, stack)
        created = provision(kind, logical_id, properties, stack)
        policies.PROPERTIES[get_region(), kind, created[0]] = properties
        return created

    def update_resource(kind: str, physical_id: str, old: Any, new: Any, stack: str, *more: Any) -> Any:
        if old != new:
            _require("update", kind, physical_id, new, stack)
        updated = update(kind, physical_id, old, new, stack, *more)
        policies.PROPERTIES[get_region(), kind, updated[0]] = new
        return updated

    def delete_resource(kind: str, physical_id: str, properties: Any, stack: str, logical_id: str) -> None:
        _require("delete", kind, physical_id, properties, stack)
        delete(kind, physical_id, properties, stack, logical_id)

    stacks._provision_resource, stacks._update_resource = provision_resource, update_resource
    stacks._delete_resource = delete_resource
    custom_resource.invoke_custom_resource = _require_invoke(custom_resource.invoke_custom_resource)


def _principal(stack: str) -> str:
    record: dict[str, Any] = next((s for s in _stacks.values() if stack in (s["StackName"], s.get("StackId"))), {})
    return record.get("RoleARN") or CALLER.get()


def _require(operation: str, kind: str, name: str, properties: dict[str, Any], stack: str) -> None:
    """Raise an error if CloudFormation or the service of the resource lacks a permission."""
    principal = _principal(stack)
    try:
        for permission in _permissions(operation, kind, name, properties) if principal else ():
            require(principal, permission)
    except AccessDeniedError as error:
        message = f'Resource handler returned message: "{error}" (HandlerErrorCode: AccessDenied)'
        raise ValueError(message) from error
    role_property, service = ASSUMED.get(kind, ("", ""))
    role = properties.get(role_property)
    if operation != "delete" and role and not is_allowed(service, "sts:AssumeRole", role, _source(), kind):
        raise ValueError(f"The role {role} cannot be assumed by {service}")


def _source() -> dict[str, str | list[str]]:
    return {"aws:SourceAccount": ACCOUNT}


def _permissions(operation: str, kind: str, name: str, properties: dict[str, Any]) -> Iterator[Permission]:
    cause = f"{operation} {kind}"
    for action in _actions(kind, operation):
        for resource in _resources(action, name, properties):
            yield Permission(action, resource, {}, cause)
    role_property, service = ASSUMED.get(kind, ("", ""))
    if operation != "delete" and properties.get(role_property):
        yield Permission("iam:PassRole", properties[role_property], {"iam:PassedToService": service}, cause)


@cache
def _actions(kind: str, operation: str) -> list[str]:
    """Return the actions of the resource's own service that its handler uses."""
    listed = schema(kind).get("handlers", {}).get(operation, {}).get("permissions", [])
    actions = sorted({f"{service.lower()}:{name}" for service, _, name in (a.partition(":") for a in listed)})
    own = kind.split("::")[1].lower() if "::" in kind else ""
    return [action for action in actions if action.split(":")[0] == own and has_action(action)]


def _resources(action: str, name: str, properties: dict[str, Any]) -> list[str]:
    """Return the resource that an action applies to: one that the properties name, or the resource itself."""
    service = action.split(":")[0]
    values = [v for value in properties.values() for v in (value if isinstance(value, list) else [value])]
    formats = resource_formats(action)
    if not formats:
        return ["*"]
    for value in [*values, name]:
        url = QUEUE_URL.fullmatch(str(value)) if service == "sqs" else None
        if url:
            return [f"arn:aws:sqs:{get_region()}:{ACCOUNT}:{url[1]}"]
        if str(value).startswith(f"arn:aws:{service}:"):
            return [":".join(str(value).split(":")[:6])] if service == "sns" else [str(value)]
    arn = formats[0].replace("${Partition}", "aws").replace("${Region}", get_region()).replace("${Account}", ACCOUNT)
    return [arn.replace(".*", name)]


def _require_invoke(invoke: Callable[..., Any]) -> Callable[..., Any]:
    def invoke_custom_resource(
        request_type: str, logical_id: str, properties: Any, stack: str, *arguments: Any, **options: Any
    ) -> Any:
        principal, token = _principal(stack), properties.get("ServiceToken", "")
        if principal:
            try:
                require(principal, Permission("lambda:InvokeFunction", token, {}, f"custom resource {logical_id}"))
            except AccessDeniedError as error:
                raise RuntimeError(str(error)) from error
        return invoke(request_type, logical_id, properties, stack, *arguments, **options)

    return invoke_custom_resource
