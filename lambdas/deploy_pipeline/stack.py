"""Plan a deployment: create the stack, recreate it, or update it."""

import hashlib
import re
from typing import TYPE_CHECKING, TypedDict

from botocore.exceptions import ClientError

from .approved_changes import NOT_APPROVED, ApprovedChanges
from .errors import InvalidTemplateError, StackNotReadyError
from .fields import MAX_SHOWN_CHARACTERS
from .inspection import PolicyFields
from .request import GREEN, MAX_SHOWN_ERRORS, MAX_TAGS, DeploymentRequest
from .rollout import NO_ROLLOUT, RolloutPlan
from .source import AssetTarget, Source, read_source
from .truncation import truncate

if TYPE_CHECKING:
    from types_boto3_cloudformation import CloudFormationClient
    from types_boto3_cloudformation.type_defs import StackTypeDef
    from types_boto3_s3 import S3Client

MAX_NOTE_CHARACTERS = 1000  # part of every result, which CodePipeline limits to 2,048 characters
UPDATABLE = (
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
    "IMPORT_COMPLETE",
    "IMPORT_ROLLBACK_COMPLETE",
)
COMPLETED = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE")
# A stack whose creation failed cannot be updated; it has to be deleted and created again.
CREATION_FAILED = ("CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED")
ADVICE = {
    "UPDATE_FAILED": "roll it back (RollbackStack) or complete the update, then deploy again",
    "UPDATE_ROLLBACK_FAILED": "continue the rollback (ContinueUpdateRollback), then deploy again",
    "DELETE_FAILED": "delete it, retaining the resources that cannot be deleted, then deploy again",
}


class Parameter(TypedDict):
    """A parameter of a template, as CloudFormation's API requires it."""

    ParameterKey: str
    ParameterValue: str


class Tag(TypedDict):
    """A tag, as CloudFormation's API requires it."""

    Key: str
    Value: str


class Plan(TypedDict):
    """What the state machine has to do.

    action: ``create``, ``recreate`` or ``update``. stackId: empty if there is no stack.
    stackOptions, changeSetOptions: further arguments of CreateStack and CreateChangeSet.
    note: the exemptions in force, for the result of the execution.
    approved: the unsafe changes that were approved before the first of several stacks was changed.
    """

    action: str
    stackName: str
    stackId: str
    blueGreenName: str
    changeSetName: str
    changeSetType: str
    stackOptions: dict[str, object]
    changeSetOptions: dict[str, object]
    templateUrl: str
    publishAssets: bool
    parameters: list[Parameter]
    tags: list[Tag]
    capabilities: list[str]
    policy: PolicyFields
    note: str
    onUnsafe: str
    inspectOnly: bool
    approved: ApprovedChanges
    approvalTimeoutSeconds: int
    rollout: RolloutPlan


def change_set_name(execution_name: str) -> str:
    """Derive the name of a change set from its execution, so that it can be found later."""
    return f"deploy-{re.sub('[^A-Za-z0-9]', '-', execution_name)}-{_digest(execution_name)}"


def plan(
    s3: "S3Client",
    cloudformation: "CloudFormationClient",
    request: DeploymentRequest,
    *,
    execution_name: str,
    bucket: str,
    url: str,
    assets: AssetTarget,
    approved: ApprovedChanges = NOT_APPROVED,
) -> Plan:
    """Return what the state machine has to do, and upload the template for CloudFormation.

    The template is uploaded to `bucket`, whose address is `url`. Assets are published to `assets` later.

    Raises:
        StackNotReadyError: the stack's status does not allow a deployment.
        InvalidArtifactError: the artifact does not contain a valid template.
        InvalidTemplateError: CloudFormation rejects the template, or it does not declare a parameter in the input.
    """
    stack = _find_stack(cloudformation, request.stack_name)
    action, change_set_type = _action(cloudformation, stack, request)
    name = change_set_name(execution_name)
    source = read_source(s3, request, assets)
    key = f"templates/{name}.template"  # one for each execution, because several can run at the same time
    s3.put_object(Bucket=bucket, Key=key, Body=source.template)
    template_url = f"{url}/{key}"
    parameters = _parameters(cloudformation, template_url, request, source)
    rollout = NO_ROLLOUT if request.inspect_only else request.rollout
    if approved["digest"] and (not stack or _was_updated_since(cloudformation, stack, approved["inspectedAt"])):
        approved = NOT_APPROVED
    return {
        "action": action,
        "stackName": request.stack_name,
        "stackId": stack["StackId"] if stack else "",
        "blueGreenName": f"{request.stack_name}{GREEN}{_digest(execution_name)}",
        "changeSetName": name,
        "changeSetType": change_set_type,
        "stackOptions": _stack_options(request),
        "changeSetOptions": _change_set_options(request, change_set_type),
        "templateUrl": template_url,
        "publishAssets": source.has_assets,
        "parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        "tags": [{"Key": key, "Value": value} for key, value in _tags(request, source).items()],
        "capabilities": list(request.capabilities),
        "policy": request.policy.as_json(),
        "note": truncate(request.exemptions(), MAX_NOTE_CHARACTERS),
        "onUnsafe": request.on_unsafe,
        "inspectOnly": request.inspect_only,
        "approved": approved,
        "approvalTimeoutSeconds": request.approval_timeout_minutes * 60,
        "rollout": rollout.plan(request.approval_timeout_minutes if request.on_unsafe == "ask" else 0),
    }


def _stack_options(request: DeploymentRequest) -> dict[str, object]:
    """Return the alarms that roll back the stack; without this argument, a stack keeps those that it has."""
    rollback = request.rollback
    if not rollback:
        return {}
    triggers = [{"Arn": arn, "Type": "AWS::CloudWatch::Alarm"} for arn in rollback.alarms]
    triggers += [{"Arn": arn, "Type": "AWS::CloudWatch::CompositeAlarm"} for arn in rollback.composite_alarms]
    configuration = {"RollbackTriggers": triggers, "MonitoringTimeInMinutes": rollback.monitoring_minutes}
    return {"RollbackConfiguration": configuration}


def _change_set_options(request: DeploymentRequest, change_set_type: str) -> dict[str, object]:
    """Return the options of a change set; a new stack has no drift."""
    is_drift_aware = change_set_type == "UPDATE" and request.policy.drift != "ignore"
    return {
        **_stack_options(request),
        "IncludeNestedStacks": request.nested_change_sets == "create",
        **({"DeploymentMode": "REVERT_DRIFT"} if is_drift_aware else {}),
    }


def _find_stack(cloudformation: "CloudFormationClient", name: str) -> "StackTypeDef | None":
    """Describe a stack; None only if CloudFormation reports that it does not exist."""
    try:
        stacks = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if is_stack_missing(error):
            return None
        raise
    return stacks[0]


def is_stack_missing(error: ClientError) -> bool:
    """Return whether CloudFormation reports a missing stack, for which it has no separate error code."""
    reason = error.response["Error"]
    return reason["Code"] == "ValidationError" and "does not exist" in reason["Message"]


def _action(
    cloudformation: "CloudFormationClient", stack: "StackTypeDef | None", request: DeploymentRequest
) -> tuple[str, str]:
    """Return the action and the type of the change set."""
    if not stack:
        return "create", "CREATE"
    status = stack["StackStatus"]
    if status in UPDATABLE:
        return "update", "UPDATE"
    if status == "REVIEW_IN_PROGRESS":  # an empty stack that was created with a change set
        return "update", "CREATE"
    name = request.stack_name
    if status in CREATION_FAILED:
        if request.recreate == "never":
            raise StackNotReadyError(f"{name} is {status} and policy.recreate is never: delete it manually.")
        if request.recreate == "never_worked" and _has_worked(cloudformation, stack["StackId"]):
            raise StackNotReadyError(
                f"{name} is {status} and has worked before: delete it manually, or set policy.recreate to always."
            )
        return "recreate", "CREATE"
    if status.endswith("_IN_PROGRESS"):
        raise StackNotReadyError(
            f"{name} is {status}: another operation is in progress. Deploy again when it has ended."
        )
    raise StackNotReadyError(
        f"{name} is {status}: {ADVICE.get(status, 'bring it to a *_COMPLETE status, then deploy again')}."
    )


def _has_worked(cloudformation: "CloudFormationClient", stack_id: str) -> bool:
    """Return whether the stack has ever been in a status in which it could be used."""
    pages = cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack_id)
    return any(
        event["ResourceStatus"] in UPDATABLE
        for page in pages
        for event in page["StackEvents"]
        if event.get("PhysicalResourceId") == stack_id
    )


def _was_updated_since(cloudformation: "CloudFormationClient", stack: "StackTypeDef", time: float) -> bool:
    """Return whether an operation on the stack has been completed, and not rolled back, since `time`."""
    pages = cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack["StackId"])
    for event in (event for page in pages for event in page["StackEvents"]):  # newest first
        if event["Timestamp"].timestamp() <= time:
            return False
        if event.get("PhysicalResourceId") == stack["StackId"] and event["ResourceStatus"] in COMPLETED:
            return True
    return False


def _tags(request: DeploymentRequest, source: Source) -> dict[str, str]:
    """Return the tags of the assembly and of the input, which take precedence."""
    tags = {**source.tags, **request.tags}
    if len(tags) > MAX_TAGS:
        raise InvalidTemplateError(f"tags: {len(tags)} in the input and the assembly; accepted: at most {MAX_TAGS}")
    return tags


def _parameters(
    cloudformation: "CloudFormationClient", template_url: str, request: DeploymentRequest, source: Source
) -> dict[str, str]:
    """Return the parameters of the assembly and the input, and ``environmentName`` if the template declares it."""
    try:
        summary = cloudformation.get_template_summary(TemplateURL=template_url)
    except ClientError as error:
        reason = error.response["Error"]
        if reason["Code"] == "ValidationError":
            raise InvalidTemplateError(f"{source.path}: {reason['Message']}") from error
        raise
    declared = {parameter["ParameterKey"] for parameter in summary.get("Parameters", [])}
    unknown = sorted(set(request.parameters) - declared)
    if unknown and not request.stacks:
        fields = ", ".join(f"parameters.{name[:MAX_SHOWN_CHARACTERS]}" for name in unknown[:MAX_SHOWN_ERRORS])
        more = f" and {len(unknown) - MAX_SHOWN_ERRORS} more" if len(unknown) > MAX_SHOWN_ERRORS else ""
        known = truncate(", ".join(sorted(declared)) or "none", MAX_NOTE_CHARACTERS)
        raise InvalidTemplateError(
            f"{fields}{more}: {source.path} does not declare this parameter (declared: {known})."
        )
    environment = {"environmentName": request.environment_name} if "environmentName" in declared else {}
    parameters = {**source.parameters, **environment, **request.parameters}
    # The parameters of the input are those of all stacks.
    return {name: value for name, value in parameters.items() if name in declared or not request.stacks}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
