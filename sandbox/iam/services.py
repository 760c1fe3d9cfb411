"""Permissions for calls that services make, as a service principal or with a role.

Implemented: targets of EventBridge rules and schedules, and their dead-letter queues; deliveries of SNS;
alarm actions; destinations, logs and traces of Lambda; integrations of API Gateway; tasks, logs and traces of state
machines; actions of CodePipeline. `cloudfront.origin` and `provisioning` have those of CloudFront and CloudFormation.
"""

import json
import logging
import re
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from ..ministack import apigateway, cloudwatch, lambda_functions, sns, stepfunctions
from ..ministack.requests import get_region
from ..process import ACCOUNT
from . import implied
from .authorization import AccessDeniedError, is_allowed, require
from .policy import Context, Permission

ROLE: ContextVar[str] = ContextVar("ROLE", default="")  # of the state machine whose execution is running
Function = Callable[..., Any]
EVENTS = "events.amazonaws.com"
SCHEDULER = "scheduler.amazonaws.com"
ROLE_ACTIONS = {"codepipeline": "codepipeline:StartPipelineExecution", "states": "states:StartExecution"}
SERVICE_ACTIONS = {"lambda": "lambda:InvokeFunction", "sns": "sns:Publish", "sqs": "sqs:SendMessage"}
# Resources of tasks whose permissions are checked: here, by nested executions, and when SDK integrations call the API.
TASK = re.compile(
    r"arn:aws:states:::"
    r"(lambda:invoke|states:startExecution\.sync(:2)?|aws-sdk:(cloudformation|lambda|stepfunctions):\w+)"
)
TRACING = ("xray:PutTraceSegments", "xray:PutTelemetryRecords")


def install() -> None:
    """Check the permissions of services before they act."""
    sns.deliver_to_queue.extend(_deliver_message)
    sns.deliver_to_function.extend(_deliver_message)
    cloudwatch.dispatch_alarm_actions.extend(_dispatch_alarm_actions)
    lambda_functions.route_failure.extend(_route_failure)
    lambda_functions.emit_logs.extend(_emit_logs)
    apigateway.invoke_function.extend(_invoke_integration)
    stepfunctions.invoke_resource.extend(_invoke_resource)


def _invoke_resource(invoke: Function, resource: str, data: Any) -> Any:
    if ROLE.get() and not TASK.fullmatch(resource):
        message = f"the sandbox does not know the permissions for the resource {resource} of a task"
        logging.getLogger("authorization").warning(message)
        raise stepfunctions.ExecutionError("States.TaskFailed", message)
    if "lambda:invoke" in resource and ROLE.get():
        name = ":".join(filter(None, (data["FunctionName"], data.get("Qualifier"))))
        arn = name if name.startswith("arn:") else f"arn:aws:lambda:{get_region()}:{ACCOUNT}:function:{name}"
        try:
            require(ROLE.get(), Permission("lambda:InvokeFunction", arn, {}, "a task"))
        except AccessDeniedError as error:
            raise stepfunctions.ExecutionError("Lambda.AWSLambdaException", str(error)) from error
    return invoke(resource, data)


def source(arn: str) -> Context:
    """Return the condition keys of a request that a service makes for a resource."""
    return {"aws:SourceArn": arn, "aws:SourceAccount": ACCOUNT}


def deliver(principal: str, arn: str, context: Context, cause: str) -> bool:
    """Return whether a principal has the permissions to invoke, publish or send to a resource."""
    service = arn.split(":")[2]
    permissions = [Permission(SERVICE_ACTIONS[service], arn, context, cause)]
    if service == "sns":
        permissions += implied.topic_key(arn)
    elif service == "sqs":
        permissions += implied.queue_key(arn)
    return all(is_allowed(principal, p.action, p.resource, {**p.context, **context}, cause) for p in permissions)


def reaches_target(target: dict[str, Any], rule: str) -> bool:
    """Return whether EventBridge may invoke a target of a rule or schedule, itself or with the target's role."""
    arn, role, service = target["Arn"], target.get("RoleArn"), target["Arn"].split(":")[2]
    cause = f"a target of {rule.rsplit(':', 1)[-1]}"
    if role and not is_allowed(_principal(rule), "sts:AssumeRole", role, source(rule), cause):
        return False
    if role and service in ROLE_ACTIONS:
        return is_allowed(role, ROLE_ACTIONS[service], arn, cause=cause)
    if role and service == "scheduler":
        return all(is_allowed(role, action, name, cause=cause) for action, name in _sdk_call(target))
    if service not in SERVICE_ACTIONS:
        logging.getLogger("authorization").warning("the sandbox does not know the permissions for the target %s", arn)
        return False
    # SNS supports no condition keys for EventBridge.
    return deliver(role or EVENTS, arn, {} if role or service == "sns" else source(rule), cause)


def _principal(rule: str) -> str:
    return SCHEDULER if ":scheduler:" in rule else EVENTS


def _sdk_call(target: dict[str, Any]) -> list[tuple[str, str]]:
    """Return actions and resources of a schedule's universal target, such as ``aws-sdk:ec2:stopInstances``."""
    service, call = target["Arn"].split(":")[-2:]
    instances = json.loads(target.get("Input", "{}")).get("InstanceIds", []) if service == "ec2" else []
    resources = [f"arn:aws:ec2:{get_region()}:{ACCOUNT}:instance/{name}" for name in instances] or ["*"]
    return [(f"{service}:{call[0].upper()}{call[1:]}", resource) for resource in resources]


def may_send_dead_letter(target: dict[str, Any], rule: str) -> bool:
    """Return whether an event that could not be delivered may be sent to the target's dead-letter queue."""
    queue, cause = target["DeadLetterConfig"]["Arn"], f"the dead-letter queue of {rule.rsplit(':', 1)[-1]}"
    sender, context = (EVENTS, source(rule)) if _principal(rule) == EVENTS else (target["RoleArn"], {})
    return deliver(sender, queue, context, cause)


def _deliver_message(deliver_to: Function, endpoint: str, envelope: str, *arguments: Any, **options: Any) -> None:
    topic = options.get("topic_arn") or arguments[0]
    if deliver("sns.amazonaws.com", endpoint, source(topic), "a subscription"):
        deliver_to(endpoint, envelope, *arguments, **options)


def _dispatch_alarm_actions(dispatch: Function, alarm: dict[str, Any], *arguments: Any) -> None:
    name = alarm.get("AlarmName", "")
    context = source(f"arn:aws:cloudwatch:{get_region()}:{ACCOUNT}:alarm:{name}")
    context = {**context, "aws:SourceOwner": ACCOUNT}  # the default policy of a topic requires it
    permitted = {
        kind: [topic for topic in alarm.get(kind) or [] if deliver("cloudwatch.amazonaws.com", topic, context, name)]
        for kind in ("AlarmActions", "OKActions", "InsufficientDataActions")
    }
    dispatch(alarm | permitted, *arguments)


def _route_failure(route: Function, target: str, function: str, *arguments: Any) -> None:
    _, configuration, _ = lambda_functions.find_function(function)
    if deliver(configuration["Role"], target, {}, f"the destination of {function}"):
        route(target, function, *arguments)


def _emit_logs(emit: Function, function: dict[str, Any], *arguments: Any, **options: Any) -> None:
    configuration = function.get("config") or function
    role, name = configuration.get("Role", ""), configuration.get("FunctionName", "")
    group = (configuration.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{name}"
    stream = f"arn:aws:logs:{get_region()}:{ACCOUNT}:log-group:{group}:log-stream:{name}"
    if (configuration.get("TracingConfig") or {}).get("Mode") == "Active":
        for action in TRACING:
            is_allowed(role, action, "*", cause=f"traces of {name}")
    actions = ("logs:CreateLogStream", "logs:PutLogEvents")
    if all(is_allowed(role, action, stream, cause=f"logs of {name}") for action in actions):
        emit(function, *arguments, **options)


async def _invoke_integration(invoke: Function, function: str, event: Any, **scope: Any) -> Any:
    request = event.get("requestContext", {}) if isinstance(event, dict) else {}
    parts = (request.get(name, "*") for name in ("apiId", "stage", "httpMethod"))
    path = f"{'/'.join(parts)}{request.get('resourcePath', '/*')}"
    api = f"arn:aws:execute-api:{scope.get('region')}:{ACCOUNT}:{path}"
    if deliver("apigateway.amazonaws.com", function, source(api), "an integration"):
        return await invoke(function, event, **scope)
    return None, "Internal server error"


def require_action(role: str, declared: dict[str, Any], artifacts: str) -> None:
    """Raise an error unless CodePipeline can execute an action with the role of the pipeline or of the action.

    artifacts: the artifact bucket.
    """
    own = declared.get("RoleArn")
    cause = f"the action {declared['Name']}"
    if own:
        require(role, Permission("sts:AssumeRole", own, {}, cause))
    for permission in _action_permissions(declared, artifacts):
        require(own or role, Permission(permission.action, permission.resource, permission.context, cause))


def _action_permissions(declared: dict[str, Any], artifacts: str) -> Iterator[Permission]:
    configuration, provider = declared["Configuration"], declared["ActionTypeId"]["Provider"]
    if provider == "Lambda":
        name = configuration["FunctionName"]
        yield Permission("lambda:InvokeFunction", f"arn:aws:lambda:{get_region()}:{ACCOUNT}:function:{name}")
        yield Permission("lambda:ListFunctions", "*")
        return
    if provider == "CodeCommit":
        repository = f"arn:aws:codecommit:{get_region()}:{ACCOUNT}:{configuration['RepositoryName']}"
        for action in ("GetBranch", "GetCommit", "UploadArchive", "GetUploadArchiveStatus"):
            yield Permission(f"codecommit:{action}", repository)
    else:
        bucket, key = configuration["S3Bucket"], configuration["S3ObjectKey"]
        yield Permission("s3:GetBucketVersioning", f"arn:aws:s3:::{bucket}")
        yield Permission("s3:GetObjectVersion", f"arn:aws:s3:::{bucket}/{key}")
        yield from implied.read(bucket, key, "")
    yield Permission("s3:PutObject", f"arn:aws:s3:::{artifacts}/artifact")
    yield from implied.object_key(artifacts, "artifact", "kms:GenerateDataKey")
