"""CloudFormation's use of permissions: it creates resources with the stack's service role, or as its caller.

The resource schemas list the actions of each handler. Required here are those of the resource's own service, on the
resource, and the permissions to pass the roles among its properties, to read code and nested templates in S3, and to
read parameters and secrets in dynamic references. Services check at creation whether they can assume these roles. A
resource type whose schema lists no actions requires permission for all actions of its service.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from functools import cache
from typing import Any

from ..cloudformation.schemas import schema
from ..ministack import cloudformation, iam
from ..ministack.requests import get_region
from ..process import ACCOUNT
from . import implied, policies
from .actions import has_action, resource_format
from .authorization import CALLER, AccessDeniedError, is_allowed, require
from .policy import Permission

STACK: ContextVar[str] = ContextVar("STACK", default="")  # the stack of the operation that is running
Function = Callable[..., Any]
Properties = dict[str, Any]
# Properties with a role, the services that assume it, and the actions that create the resource.
ASSUMED = {
    "AWS::ApiGateway::Account": ("CloudWatchRoleArn", "apigateway.amazonaws.com", "apigateway:UpdateRestApiPolicy"),
    "AWS::CodePipeline::Pipeline": ("RoleArn", "codepipeline.amazonaws.com", "codepipeline:CreatePipeline"),
    "AWS::EC2::FlowLog": ("DeliverLogsPermissionArn", "vpc-flow-logs.amazonaws.com", "ec2:CreateFlowLogs"),
    "AWS::Lambda::Function": ("Role", "lambda.amazonaws.com", "lambda:CreateFunction"),
    "AWS::StepFunctions::StateMachine": ("RoleArn", "states.amazonaws.com", "states:CreateStateMachine"),
}
# IAM's prefixes of actions that differ from the names in resource types.
SERVICES = {"ApiGatewayV2": "apigateway", "CertificateManager": "acm", "StepFunctions": "states"}
NO_ACTIONS = ("AWS::CloudFormation::", "AWS::CDK::", "Custom::")  # types that are no resources of a service
PASSED_TO = {"AWS::IAM::InstanceProfile": "ec2"}
FREE_NAMES = {"Environment", "DefinitionSubstitutions"}  # properties in which the template chooses the names
DYNAMIC_REFERENCE = re.compile(r"\{\{resolve:(ssm|ssm-secure|secretsmanager):(arn(?::[^:}]*){6}|[^:}]*)[^}]*\}\}")
# Actions with which Step Functions configures the delivery of a state machine's log.
LOG_DELIVERY = (
    *(f"{verb}LogDelivery" for verb in ("Create", "Get", "Update", "Delete")),
    *("ListLogDeliveries", "PutResourcePolicy", "DescribeResourcePolicies", "DescribeLogGroups"),
)
# What Step Functions needs to wait for another state machine, checked when the state machine is created.
MANAGED_RULE = "rule/StepFunctionsGetEventsForStepFunctionsExecutionRule"
MANAGED_RULE_ACTIONS = ("events:PutRule", "events:PutTargets", "events:DescribeRule")
# Types that change another resource, and the properties that name it.
TARGETS = {
    "AWS::AutoScaling::LifecycleHook": "AutoScalingGroupName",
    "AWS::AutoScaling::ScalingPolicy": "AutoScalingGroupName",
    "AWS::AutoScaling::ScheduledAction": "AutoScalingGroupName",
    "AWS::KMS::Alias": "TargetKeyId",
    "AWS::Lambda::Alias": "FunctionName",
    "AWS::Lambda::EventInvokeConfig": "FunctionName",
    "AWS::Lambda::EventSourceMapping": "FunctionName",
    "AWS::Lambda::LayerVersionPermission": "LayerVersionArn",
    "AWS::Lambda::Permission": "FunctionName",
    "AWS::Lambda::Url": "TargetFunctionArn",
    "AWS::Lambda::Version": "FunctionName",
    "AWS::Logs::LogStream": "LogGroupName",
    "AWS::Logs::MetricFilter": "LogGroupName",
    "AWS::Logs::SubscriptionFilter": "LogGroupName",
    "AWS::S3::BucketPolicy": "Bucket",
    "AWS::SNS::Subscription": "TopicArn",
    "AWS::SNS::TopicPolicy": "Topics",
    "AWS::SQS::QueuePolicy": "Queues",
}
# Actions on roles, users and groups among the properties of a policy, and on the groups of a user.
ENTITIES = re.compile(
    "iam:(?:Attach|Detach|Put|Delete|Get)(Role|User|Group)Policy|iam:(?:Add|Remove)User(?:To|From)(Group)"
)


def install() -> None:
    """Check permissions before each creation, update and deletion, and remember the keys of resources."""
    cloudformation.provision_resource.extend(_provision_resource)
    cloudformation.update_resource.extend(_update_resource)
    cloudformation.delete_resource.extend(_delete_resource)
    cloudformation.invoke_custom_resource.extend(_invoke_custom_resource)
    cloudformation.deploy_stack.extend(_deploy_stack)
    cloudformation.resolve_dynamic_reference.extend(_resolve_dynamic_reference)
    cloudformation.fetch_snippet.extend(_fetch_snippet)


def _deploy_stack(deploy: Function, stack: str, *arguments: Any, **options: Any) -> Any:
    async def deploy_as() -> None:
        STACK.set(stack)
        await deploy(stack, *arguments, **options)

    return deploy_as()


def _resolve_dynamic_reference(resolve: Function, literal: str) -> Any:
    match = DYNAMIC_REFERENCE.fullmatch(literal)
    if match and match[1] == "secretsmanager":
        _require_as(_principal(STACK.get()), implied.secret(match[2], "a dynamic reference"))
    else:
        name = match[2].lstrip("/") if match else "*"
        arn = f"arn:aws:ssm:{get_region()}:{ACCOUNT}:parameter/{name}"
        _require_as(_principal(STACK.get()), [Permission("ssm:GetParameters", arn, {}, "a dynamic reference")])
    return resolve(literal)


def _fetch_snippet(fetch: Function, location: Any) -> Any:
    bucket, _, key = str(location).removeprefix("s3://").partition("/")
    _require_as(CALLER.get(), implied.read(bucket, key, "AWS::Include"))
    return fetch(location)


def _require_as(principal: str, permissions: Iterable[Permission]) -> None:
    """Raise an error, as a resource handler does, if the principal lacks a permission; the emulator itself has all."""
    try:
        for permission in permissions if principal else ():
            require(principal, permission)
    except AccessDeniedError as error:
        message = f'Resource handler returned message: "{error}" (HandlerErrorCode: AccessDenied)'
        raise ValueError(message) from error


def _provision_resource(provision: Function, kind: str, logical_id: str, properties: Properties, stack: str) -> Any:
    name = _given_name(kind, properties) or f"{stack}-{logical_id}-XXXXXXXXXXXX"
    _require("create", kind, name, properties, stack)
    created = provision(kind, logical_id, properties, stack)
    implied.remember_key(kind, created[0], properties)
    return created


def _given_name(kind: str, properties: Properties) -> str:
    """Return the name in the template; empty if CloudFormation generates it."""
    identifiers = schema(kind).get("primaryIdentifier", ())
    names = [identifiers[0].split("/")[-1]] if len(identifiers) == 1 else []
    if _service(kind) != "apigateway":  # whose ARNs contain no names
        names += [f"{kind.rsplit('::', 1)[-1]}Name", "Name"]
    given = (properties.get(name) for name in names)
    return next((name for name in given if isinstance(name, str) and name), "")


def _update_resource(
    update: Function, kind: str, physical_id: str, old: Properties, new: Properties, stack: str, *more: Any
) -> Any:
    if old != new:
        _require("update", kind, physical_id, new, stack)
    updated = update(kind, physical_id, old, new, stack, *more)
    implied.remember_key(kind, updated[0], new)
    return updated


def _delete_resource(
    delete: Function, kind: str, physical_id: str, properties: Properties, stack: str, logical_id: str
) -> None:
    _require("delete", kind, physical_id, properties, stack)
    delete(kind, physical_id, properties, stack, logical_id)


def _invoke_custom_resource(
    invoke: Function, request_type: str, logical_id: str, properties: Properties, stack: str, *more: Any, **options: Any
) -> Any:
    principal, token = _principal(stack), properties.get("ServiceToken", "")
    if principal:
        try:
            require(principal, Permission("lambda:InvokeFunction", token, {}, f"custom resource {logical_id}"))
        except AccessDeniedError as error:
            raise RuntimeError(str(error)) from error
    return invoke(request_type, logical_id, properties, stack, *more, **options)


def _principal(stack: str) -> str:
    """Return the service role of a stack, or of the one in which it is nested, or else the caller."""
    found = cloudformation.find_stack(stack) or {}
    parent = found.get("_parent_stack_name")
    return found.get("RoleARN") or (_principal(parent) if parent else CALLER.get())


def _require(operation: str, kind: str, name: str, properties: Properties, stack: str) -> None:
    """Raise an error if CloudFormation or the service of the resource lacks a permission."""
    _require_as(_principal(stack), _permissions(operation, kind, name, properties))
    if operation != "delete" and properties.get(ASSUMED.get(kind, ("",))[0]):
        role_property, service, action = ASSUMED[kind]
        context = {"aws:SourceAccount": ACCOUNT, "aws:SourceArn": _resource(action, kind, name, properties)}
        if not is_allowed(service, "sts:AssumeRole", properties[role_property], context, kind):
            raise ValueError(f"The role {properties[role_property]} cannot be assumed by {service}")
        if kind == "AWS::StepFunctions::StateMachine":
            _require_state_machine_role(properties)


def _require_state_machine_role(properties: Properties) -> None:
    """Raise an error if the role of a state machine cannot write its logs, or wait for another state machine."""
    role = properties["RoleArn"]
    rule = f"arn:aws:events:{get_region()}:{ACCOUNT}:{MANAGED_RULE}"

    def has(actions: Iterable[str], resource: str) -> bool:
        return all(is_allowed(role, action, resource, cause="AWS::StepFunctions::StateMachine") for action in actions)

    writes_logs = bool(properties.get("LoggingConfiguration", {}).get("Destinations"))
    if writes_logs and not has((f"logs:{name}" for name in LOG_DELIVERY), "*"):
        raise ValueError("The state machine IAM Role is not authorized to access the Log Destination")
    waits = "states:::states:startExecution.sync" in str(properties.get("DefinitionString"))
    if waits and not has(MANAGED_RULE_ACTIONS, rule):
        raise ValueError(f"'{role}' is not authorized to create managed-rule.")


def _permissions(operation: str, kind: str, name: str, properties: Properties) -> Iterator[Permission]:
    cause = f"{operation} {kind}"
    absent = schema(kind).get("properties", {}).keys() - properties.keys()
    if not kind.startswith(NO_ACTIONS) and not any(_actions(kind, name) for name in ("create", "update", "delete")):
        yield Permission(f"{_service(kind)}:*", "*", {}, f"{cause}, whose actions are unknown")
    for action in _actions(kind, operation):
        if ":Put" in action and any(property_name in action for property_name in absent):
            continue  # the handler calls it only for the property
        for resource in _resources(action, kind, name, properties):
            yield Permission(action, resource, {}, cause)
    if operation != "delete":
        yield from _read_from_s3(kind, properties)
        for role in _passed_roles(kind, properties):
            service = ASSUMED.get(kind, ("", f"{PASSED_TO.get(kind, _service(kind))}.amazonaws.com"))[1]
            yield Permission("iam:PassRole", role, {"iam:PassedToService": service}, cause)


def _passed_roles(kind: str, properties: Properties) -> Iterator[str]:
    if kind == "AWS::IAM::InstanceProfile":
        yield from (policies.role_arn(f"arn:aws:iam::{ACCOUNT}:role/{name}") for name in properties.get("Roles", []))
    elif kind == "AWS::EC2::Instance":
        profile = iam.instance_profiles.get(str(properties.get("IamInstanceProfile")), {})
        yield from (iam.roles[name]["Arn"] for name in profile.get("Roles", []))
    elif not kind.startswith((*NO_ACTIONS, "AWS::IAM::")):
        typed = {name: value for name, value in properties.items() if name not in FREE_NAMES}
        yield from dict.fromkeys(role for _, role in implied.passed_roles(typed))


def _read_from_s3(kind: str, properties: Properties) -> Iterator[Permission]:
    if kind == "AWS::CloudFormation::Stack":
        yield from implied.template(str(properties.get("TemplateURL", "")))
    code = properties.get("Code" if kind == "AWS::Lambda::Function" else "Content")
    if kind.startswith("AWS::Lambda::") and isinstance(code, dict):
        values = [[str(code[name])] if code.get(name) else [] for name in ("S3Bucket", "S3Key")]
        yield from implied.code(values[0], values[1], kind)


def _service(kind: str) -> str:
    """Return the prefix of the actions of a resource type's service."""
    name = kind.split("::")[1] if "::" in kind else ""
    return SERVICES.get(name, name.lower())


@cache
def _actions(kind: str, operation: str) -> list[str]:
    """Return the actions of the resource's own service that its handler uses."""
    listed = schema(kind).get("handlers", {}).get(operation, {}).get("permissions", [])
    actions = dict.fromkeys(f"{service.lower()}:{name}" for service, _, name in (a.partition(":") for a in listed))
    return [a for a in actions if a.split(":")[0] == _service(kind) and has_action(a) and a != "iam:PassRole"]


def _resources(action: str, kind: str, name: str, properties: Properties) -> list[str]:
    """Return the ARNs that an action applies to."""
    entity = ENTITIES.fullmatch(action)
    if not entity or kind == f"AWS::IAM::{entity[1]}":
        return [_resource(action, kind, name, properties)]
    entity_kind = entity[1] or entity[2]
    prefix = f"arn:aws:iam::{ACCOUNT}:{entity_kind.lower()}"
    return [policies.existing_arn(f"{prefix}/{named}") for named in properties.get(f"{entity_kind}s", [])]


def _resource(action: str, kind: str, name: str, properties: Properties) -> str:
    """Return the ARN of the resource, or of the one whose policy or subscription it is."""
    target = properties.get(TARGETS.get(kind, ""), name)
    text = str(target[0] if isinstance(target, list) else target)
    text = text.rsplit("/", 1)[-1] if text.startswith("http") else text
    if text.startswith("arn:"):
        return text
    template = resource_format(action, kind.rsplit("::", 1)[-1].lower())
    for variable, value in (("Partition", "aws"), ("Region", get_region()), ("Account", ACCOUNT)):
        template = template.replace(f"${{{variable}}}", value)
    return template.replace(".*", text) or "*"
