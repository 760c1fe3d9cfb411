"""The permissions that an operation requires: actions, resources and condition keys, also of implied calls.

The action has the name of the operation, unless AWS's service authorization reference (bundled with cfn-lint) lists
another name. An operation that the reference lacks, or whose resource cannot be determined, is an error or requires
permission on every resource; it never passes unchecked.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import cfnlint

from ..ministack import cloudformation, iam, s3
from ..process import ACCOUNT
from . import athena, ec2_resources, implied, policies
from .operations import Operation
from .policy import Context, Permission

REFERENCE = Path(cfnlint.__file__).parent / "data" / "AdditionalSpecs" / "Policies.json"
NO_PERMISSION = {"sts:GetCallerIdentity", "sts:GetSessionToken"}  # AWS requires no permission for these
# Actions whose names differ from their operations. Batches of operations require the action of the single one.
ACTIONS = {
    "lambda:Invoke": "InvokeFunction",
    "s3:CompleteMultipartUpload": "PutObject",
    "s3:CopyObject": "PutObject",
    "s3:CreateMultipartUpload": "PutObject",
    "s3:DeleteBucketEncryption": "PutEncryptionConfiguration",
    "s3:DeleteObjects": "DeleteObject",
    "s3:GetBucketEncryption": "GetEncryptionConfiguration",
    "s3:GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "s3:GetBucketNotificationConfiguration": "GetBucketNotification",
    "s3:GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "s3:HeadBucket": "ListBucket",
    "s3:HeadObject": "GetObject",
    "s3:ListBuckets": "ListAllMyBuckets",
    "s3:ListMultipartUploads": "ListBucketMultipartUploads",
    "s3:ListObjectVersions": "ListBucketVersions",
    "s3:ListObjects": "ListBucket",
    "s3:ListObjectsV2": "ListBucket",
    "s3:ListParts": "ListMultipartUploadParts",
    "s3:PutBucketEncryption": "PutEncryptionConfiguration",
    "s3:PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "s3:PutBucketNotificationConfiguration": "PutBucketNotification",
    "s3:PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "s3:UploadPart": "PutObject",
    "s3:UploadPartCopy": "PutObject",
}
# Resources by service: ARNs whose fields are parameters. The first whose fields are all in the request applies.
RESOURCES = {
    "athena": ["datacatalog/{CatalogName}", "workgroup/{WorkGroup}"],
    "autoscaling": ["autoScalingGroup:*:autoScalingGroupName/{AutoScalingGroupName}"],
    "cloudformation": ["stack/{StackName}/*", "{ChangeSetName}"],
    "cloudtrail": ["trail/{TrailName}", "trail/{Name}"],
    "cloudwatch": ["alarm:{AlarmName}", "alarm:{AlarmNames}"],
    "codecommit": ["{repositoryName}"],
    "codepipeline": ["{pipelineName}/{stageName}", "{pipelineName}", "{name}"],
    "dynamodb": ["table/{TableName}"],
    "ecr": ["repository/{repositoryName}"],
    "events": ["rule/{Rule}", "rule/{Name}"],
    "kms": ["key/{KeyId}"],
    "lambda": ["function:{FunctionName}", "layer:{LayerName}"],
    "logs": ["log-group:{logGroupName}", "log-group:{logGroupIdentifier}"],
    "scheduler": ["schedule/{GroupName}/{Name}", "schedule/default/{Name}"],
    "secretsmanager": ["secret:{SecretId}", "secret:{Name}"],
    "sns": ["{TopicArn}", "{TargetArn}", "{SubscriptionArn}", "{ResourceArn}", "{Name}"],
    "sqs": ["{QueueUrl}", "{QueueName}"],
    "ssm": ["parameter/{Name}"],
    "states": ["{stateMachineArn}", "{executionArn}", "{resourceArn}"],
    "budgets": ["budget/{BudgetName}", "{ResourceARN}"],
    "cloudfront": ["distribution/{DistributionId}", "distribution/{Id}"],
    "iam": [
        "instance-profile/{InstanceProfileName}",
        "role/{RoleName}",
        "group/{GroupName}",
        "user/{UserName}",
        "{PolicyArn}",
        "policy/{PolicyName}",
    ],
    "sts": ["{RoleArn}"],
}
LOG_GROUPS = ("logGroupName", "logGroupNames", "logGroupIdentifiers")  # of a query, which MiniStack adds up
QUEUE = re.compile(r"(https?://[^/]*/\d{12}/)?[\w.-]+")  # the URL or name of a queue
# MiniStack's services that read, write or run what a caller names, without asking for permissions of the caller's role.
ACTING = {"airflow", "appsync", "batch", "codebuild", "ecs", "elasticmapreduce", "firehose", "iot", "pipes"}
GLUE_CATALOG = {"catalog", "rootcatalog", "database", "table", "userdefinedfunction"}  # types of resources
LOG_STREAM_OPERATIONS = ("CreateLogStream", "DeleteLogStream", "GetLogEvents", "PutLogEvents")
URL = re.compile("^https?://.*/")  # of a queue, before its name
GLOBAL_SERVICES = ("budgets", "cloudfront", "iam", "sts")


class UnknownOperationError(Exception):
    """An operation whose required permissions are unknown; the message names it."""


@cache
def _reference() -> dict[str, Any]:
    reference: dict[str, Any] = json.loads(REFERENCE.read_text())
    return reference


def has_action(action: str) -> bool:
    """Return whether IAM knows an action."""
    service, _, name = action.partition(":")
    return name.lower() in _reference().get(service, {"Actions": {}})["Actions"]


def resource_format(action: str, preferred: str) -> str:
    """Return the format of the ARN of the resource of an action; empty if the action supports only ``*``.

    preferred: a resource type without separators, such as ``bucketpolicy``, whose beginning selects among several.
    """
    service, _, name = action.partition(":")
    reference = _reference()[service]
    kinds = [kind for kind in reference["Actions"][name.lower()].get("Resources", []) if kind in reference["Resources"]]
    kind = next((kind for kind in kinds if preferred.startswith(kind.replace("-", ""))), next(iter(kinds), ""))
    return str(reference["Resources"][kind]["ARNFormats"][0]) if kind else ""


def required_permissions(operation: Operation) -> Iterator[Permission]:
    """Yield the permissions that an operation requires.

    Raises:
        UnknownOperationError: the service authorization reference has no action for it.
    """
    action = _action(operation)
    if action in NO_PERMISSION:
        return
    if operation.name == "DeleteObjects":
        objects = s3.deleted_objects(operation.get("Bucket"), operation.body.encode())
        if not objects:
            raise UnknownOperationError("s3:DeleteObjects without valid XML")
        permissions = [(f"{action}{'Version' if version else ''}", arn) for arn, version in objects]
    else:
        permissions = [
            (action, resource) for resource in _resources(operation, action) or ["*"]
        ]  # which only policies for * allow
    for name, resource in permissions:
        context = {**_context(operation), **ec2_resources.request_context(operation, resource)}
        yield Permission(name, resource, context)
    if operation.service in ACTING:
        yield Permission("*", "*", {}, "a service that acts without permissions")
    yield from implied.permissions(operation, action, permissions[0][1])
    if operation.service == "athena":
        yield from athena.permissions(operation)


def _action(operation: Operation) -> str:
    service, name = operation.service, operation.name
    if service == "apigateway" and name:
        return f"apigateway:{operation.method}"
    name = ACTIONS.get(f"{service}:{name}", name)
    if service == "budgets" and not has_action(f"budgets:{name}"):
        name = "ViewBudget" if name.startswith("Describe") else "ModifyBudget"
    if service == "s3" and name in ("GetObject", "DeleteObject") and operation.get("VersionId"):
        name += "Version"
    single = name.removesuffix("Batch")
    found = next((candidate for candidate in (name, single) if has_action(f"{service}:{candidate}")), None)
    if found is None:
        raise UnknownOperationError(f"{service}:{name or f'{operation.method} {operation.path}'}")
    return f"{service}:{found}"


def _resources(operation: Operation, action: str) -> Iterable[str]:
    """Return the ARNs of the resources of an operation; none if its parameters name none."""
    service, name = action.split(":")
    prefix = f"arn:aws:{service}:{operation.region}:{ACCOUNT}:"
    kinds = [] if service == "apigateway" else _reference()[service]["Actions"][name.lower()].get("Resources")
    match service:
        case "apigateway":
            return [f"arn:aws:apigateway:{operation.region}::{unquote(operation.path)}"]
        case _ if not kinds:
            return ["*"]
        case "s3":
            bucket, key = operation.get("Bucket"), operation.get("Key")
            return [f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}"]
        case "ec2":
            return ec2_resources.resources(operation, kinds)
        case "glue":
            return athena.glue_resources(_glue_name(operation)) if GLUE_CATALOG.issuperset(kinds) else ["*"]
        case "sqs" if operation.get("QueueUrl") and not QUEUE.fullmatch(operation.get("QueueUrl")):
            return ["*"]  # MiniStack finds the queue by the last part of any path
        case "route53":
            zone_or_check = operation.get("HostedZoneId") or operation.get("HealthCheckId") or operation.get("Id")
            return [f"arn:aws:route53:::{kinds[0]}/{zone_or_check}" if zone_or_check else "*"]
        case "cloudformation" if operation.get("ChangeSetName") and operation.name != "CreateChangeSet":
            return _stack_of_change_set(operation)
        case "dynamodb" if "RequestItems" in operation.parameters:
            tables = operation.parameters["RequestItems"]
            return [f"{prefix}table/{table.rpartition('table/')[2]}" for table in tables]
        case "iam" if operation.get("AccessKeyId"):
            owner = iam.access_keys.get(operation.get("AccessKeyId"), {}).get("UserName", "*")
            return [policies.existing_arn(f"arn:aws:iam::{ACCOUNT}:user/{owner}")]
        case "lambda" if operation.get("UUID"):
            return [f"{prefix}event-source-mapping:{operation.get('UUID')}"]
        case "logs" if operation.name == "StartQuery":
            groups = [group for parameter in LOG_GROUPS for group in operation.values(parameter)]
            return [_arn(operation, prefix, "log-group:{name}", {"name": group}) for group in groups]
        case "events" if name == "PutEvents":
            return _event_buses(operation)
        case _:
            return _named_resources(operation)


def _glue_name(operation: Operation) -> tuple[str, ...]:
    """Return the names of the database and, for an operation on tables, the table; ``*`` for several."""
    database, name = operation.get("DatabaseName"), operation.get("Name") or operation.get("TableName")
    inputs = [operation.parameters.get(f"{kind}Input", {}) for kind in ("Database", "Table")]
    if database:
        return database, name or str(inputs[1].get("Name", "*"))
    return (name or str(inputs[0].get("Name", "*")),)


def _event_buses(operation: Operation) -> set[str]:
    """Return the ARNs of the event buses of all entries; an entry without one is for the default bus."""
    names = {entry.get("EventBusName") or "default" for entry in operation.parameters.get("Entries", [])}
    prefix = f"arn:aws:events:{operation.region}:{ACCOUNT}:event-bus/"
    return {name if name.startswith("arn:") else f"{prefix}{name}" for name in names}


def _stack_of_change_set(operation: Operation) -> list[str]:
    """Return the ARN of the stack of a change set; an ARN identifies it whatever the stack's name is."""
    change_set = cloudformation.change_sets.get(operation.get("ChangeSetName"))
    return [change_set["StackId"]] if change_set else _named_resources(operation)


def _named_resources(operation: Operation) -> list[str]:
    """Return the ARNs of the resources that the parameters name, each of a list."""
    service = operation.service
    if service == "athena" and not (operation.get("WorkGroup") or operation.get("CatalogName")):
        return athena.workgroups(operation)
    prefix = f"arn:aws:{service}:{'' if service in GLOBAL_SERVICES else operation.region}:{ACCOUNT}:"
    for template in RESOURCES.get(service, []):
        fields = {name: operation.values(name) for name in _fields(template)}
        if all(fields.values()):
            rows = zip(*fields.values(), strict=False)
            return [_arn(operation, prefix, template, dict(zip(fields, row, strict=True))) for row in rows]
    return []


def _arn(operation: Operation, prefix: str, template: str, fields: dict[str, str]) -> str:
    arn = next((value for value in fields.values() if value.startswith("arn:")), "")
    names = {name: URL.sub("", value) for name, value in fields.items()}
    if operation.service == "iam" and operation.name.startswith("Create") and operation.get("Path"):
        template = template.replace("/", operation.get("Path"), 1)
    return _adapt(operation, arn or f"{prefix}{template.format_map(names)}".replace("parameter//", "parameter/"))


@cache
def _fields(template: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", template)


def _adapt(operation: Operation, arn: str) -> str:
    """Complete an ARN by what the service knows, and remove what is not part of the resource."""
    parts = arn.split(":")
    match operation.service:
        case "sts":
            return policies.role_arn(arn)
        case "sns":
            return ":".join(parts[:6])  # without the id of a subscription
        case "lambda" if parts[5] == "function" and "Layer" not in operation.name:
            qualifier = operation.get("Qualifier")
            return f"{arn}:{qualifier}" if qualifier else arn
        case "logs":
            stream = operation.get("logStreamName")
            with_stream = stream and operation.name in LOG_STREAM_OPERATIONS
            return f"{':'.join(parts[:7])}:log-stream:{stream}" if with_stream else f"{':'.join(parts[:7])}:*"
        case "autoscaling" | "cloudformation" | "iam" | "secretsmanager" | "kms":
            return policies.existing_arn(arn)
    return arn


def _context(operation: Operation) -> Context:
    """Return the condition keys of services that can be determined from the parameters."""
    context: dict[str, str | list[str]] = {"aws:RequestedRegion": operation.region}
    keys: Mapping[str, Mapping[str, str]] = {
        "cloudformation": {
            "cloudformation:ChangeSetName": operation.get("ChangeSetName").rpartition("changeSet/")[2].split("/")[0],
            "cloudformation:RoleArn": operation.get("RoleARN"),
            "cloudformation:TemplateUrl": operation.get("TemplateURL"),
        },
        "ec2": {"ec2:Region": operation.region},
        "iam": {"iam:PolicyARN": operation.get("PolicyArn") if operation.name.startswith(("Attach", "Detach")) else ""},
        "s3": {"s3:x-amz-acl": operation.get("ACL"), "s3:VersionId": operation.get("VersionId")},
        "secretsmanager": {"secretsmanager:SecretId": operation.get("SecretId")},
        "sns": {"sns:Protocol": operation.get("Protocol"), "sns:Endpoint": operation.get("Endpoint")},
    }
    context |= {name: value for name, value in keys.get(operation.service, {}).items() if value}
    if operation.service == "s3" and operation.name.startswith("ListObject"):
        context["s3:prefix"] = operation.get("Prefix")
    if operation.service == "dynamodb":
        context |= implied.dynamodb_context(operation)
    return context
