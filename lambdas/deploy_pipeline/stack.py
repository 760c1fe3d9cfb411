"""What a deployment has to do with its stack: create it, create it anew, or update it."""

import hashlib
import re
from typing import Any

from botocore.exceptions import ClientError

from .artifact import read_template
from .errors import InvalidTemplateError, StackNotReadyError
from .request import LONGEST_FIELD, MOST_MISTAKES, Request

UPDATABLE = (
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
    "IMPORT_COMPLETE",
    "IMPORT_ROLLBACK_COMPLETE",
)
# The creation failed, so the stack cannot be updated as it is: it is deleted and created again.
CREATION_FAILED = ("CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED")
ADVICE = {
    "UPDATE_FAILED": "roll it back (RollbackStack), or carry the update through, then deploy again",
    "UPDATE_ROLLBACK_FAILED": "continue the rollback (ContinueUpdateRollback), then deploy again",
    "DELETE_FAILED": "delete it for good, keeping what cannot be deleted, then deploy again",
}


def change_set_name(execution_name: str) -> str:
    """Name the change set of an execution, so that it is found by whoever knows the execution."""
    return f"deploy-{re.sub('[^A-Za-z0-9]', '-', execution_name)}-{_digest(execution_name)}"


def plan(
    s3: Any, cloudformation: Any, request: Request, *, execution_name: str, bucket: str, url: str
) -> dict[str, Any]:
    """Say what the state machine has to do, and put the template where CloudFormation reads it.

    `bucket` is for templates, and `url` its address.

    Raises:
        StackNotReadyError: the stack's status allows no deployment.
        InvalidArtifactError: the artifact has no usable template.
        InvalidTemplateError: CloudFormation refuses it, or it has no such parameter.
    """
    stack = _find_stack(cloudformation, request.stack_name)
    action, change_set_type = _action(cloudformation, stack, request)
    name = change_set_name(execution_name)
    template = read_template(s3, request.bucket, request.key, request.template_path)
    key = f"templates/{name}.template"  # of its own for each execution, for others may run at the same time
    s3.put_object(Bucket=bucket, Key=key, Body=template)
    template_url = f"{url}/{key}"
    parameters = _parameters(cloudformation, template_url, request)
    return {
        "action": action,
        "stackName": request.stack_name,
        "stackId": stack["StackId"] if stack else "",
        "besideName": f"{request.stack_name}-{_digest(execution_name)}",
        "changeSetName": name,
        "changeSetType": change_set_type,
        "templateUrl": template_url,
        "parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        "tags": [{"Key": key, "Value": value} for key, value in request.tags.items()],
        "capabilities": list(request.capabilities),
        "policy": request.policy.as_json(),
        "beside": request.beside,
    }


def _find_stack(cloudformation: Any, name: str) -> dict[str, Any] | None:
    """Describe a stack; None when there is none. Any other error is an error."""
    try:
        (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if is_absence(error):
            return None
        raise
    return dict(stack)


def is_absence(error: ClientError) -> bool:
    """Whether CloudFormation says that there is no such stack, for which it has no code of its own."""
    reason = error.response["Error"]
    return reason["Code"] == "ValidationError" and "does not exist" in reason["Message"]


def _action(cloudformation: Any, stack: dict[str, Any] | None, request: Request) -> tuple[str, str]:
    """Give the action, and the type of the change set if it needs one."""
    status = stack["StackStatus"] if stack else "DELETE_COMPLETE"
    if status == "DELETE_COMPLETE":
        return "create", "CREATE"
    if status in UPDATABLE:
        return "update", "UPDATE"
    if status == "REVIEW_IN_PROGRESS":  # a stack of which there is nothing yet but a change set of somebody's
        return "update", "CREATE"
    name = request.stack_name
    if status in CREATION_FAILED:
        if request.recreate == "never":
            raise StackNotReadyError(f"{name} is {status} and policy.recreate is never: delete it by hand.")
        if request.recreate == "never_worked" and _has_worked(cloudformation, stack):
            raise StackNotReadyError(
                f"{name} is {status} and has worked before: delete it by hand, or set policy.recreate to always."
            )
        return "recreate", "CREATE"
    if status.endswith("_IN_PROGRESS"):
        raise StackNotReadyError(f"{name} is {status}: somebody else is at work on it. Deploy again when that is over.")
    raise StackNotReadyError(
        f"{name} is {status}: {ADVICE.get(status, 'bring it to a complete state, then deploy again')}."
    )


def _has_worked(cloudformation: Any, stack: Any) -> bool:
    """Whether the stack has ever reached a state in which somebody could use it."""
    pages = cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack["StackId"])
    return any(
        event["ResourceStatus"] in UPDATABLE
        for page in pages
        for event in page["StackEvents"]
        if event.get("PhysicalResourceId") == stack["StackId"]
    )


def _parameters(cloudformation: Any, template_url: str, request: Request) -> dict[str, str]:
    """The parameters given, and ``environmentName`` when the template has one of that name."""
    try:
        summary = cloudformation.get_template_summary(TemplateURL=template_url)
    except ClientError as error:
        reason = error.response["Error"]
        if reason["Code"] == "ValidationError":
            raise InvalidTemplateError(f"{request.template_path}: {reason['Message']}") from error
        raise
    declared = {parameter["ParameterKey"] for parameter in summary.get("Parameters", [])}
    unknown = sorted(set(request.parameters) - declared)
    if unknown:
        fields = ", ".join(f"parameters.{name[:LONGEST_FIELD]}" for name in unknown[:MOST_MISTAKES])
        more = f" and {len(unknown) - MOST_MISTAKES} more" if len(unknown) > MOST_MISTAKES else ""
        raise InvalidTemplateError(f"{fields}{more}: {request.template_path} has no such parameter.")
    if "environmentName" in declared:
        return {"environmentName": request.environment_name, **request.parameters}
    return dict(request.parameters)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
