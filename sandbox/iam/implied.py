"""Permissions that AWS checks in addition to those of the operation, and resources that only the state contains.

Implemented: customer managed keys of buckets, topics, queues, secrets and tables; roles that a request passes to a
service; templates by URL; sources of copies; keys that do not exist in a bucket that may not be listed.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import Any
from urllib.parse import unquote, urlsplit

from ..ministack import dynamodb, s3
from ..ministack.requests import get_region, request_scope
from ..process import ACCOUNT, REGION
from . import ec2_resources, policies
from .operations import Operation
from .policy import Context, Permission

# The property with the customer managed key of a resource type.
KEY_PROPERTIES = {
    "AWS::DynamoDB::Table": "SSESpecification KMSMasterKeyId",
    "AWS::S3::Bucket": (
        "BucketEncryption ServerSideEncryptionConfiguration ServerSideEncryptionByDefault KMSMasterKeyID"
    ),
    "AWS::SNS::Topic": "KmsMasterKeyId",
    "AWS::SQS::Queue": "KmsMasterKeyId",
    "AWS::SecretsManager::Secret": "KmsKeyId",
}
# The keys of the resources that templates created, by Region, type, and name or ARN.
KEYS: dict[tuple[str, str, str], str] = {}
DECRYPT = "kms:Decrypt"
WRITE = (DECRYPT, "kms:GenerateDataKey")
QUEUE_KEY_USES = {"sqs:SendMessage": WRITE, "sqs:ReceiveMessage": (DECRYPT,)}
INSTANCE_PROFILE_USES = (
    "ec2:RunInstances",
    "ec2:AssociateIamInstanceProfile",
    "ec2:ReplaceIamInstanceProfileAssociation",
)
ITEM_OPERATIONS = ("DeleteItem", "GetItem", "PutItem", "UpdateItem")
S3_READS = ("GetObject", "GetObjectVersion")
# Parameters with a role that the caller passes.
ROLE = re.compile("(?i).*role(arn)?|DeliverLogsPermissionArn|credentials")
# Services that receive a role are named after the service that is called, except these.
PASSED_TO = {"ec2": "vpc-flow-logs"}


def permissions(operation: Operation, action: str, resource: str) -> Iterator[Permission]:
    """Yield the permissions that an action on a resource implies."""
    if action != "sts:AssumeRole":
        yield from _pass_role(operation)
    match operation.service:
        case "lambda":
            yield from code(operation.values("S3Bucket"), operation.values("S3Key"), operation.name)
        case "ec2" if action in INSTANCE_PROFILE_USES:
            yield from ec2_resources.implied(operation)
        case "autoscaling" if any(name.startswith("LaunchTemplate.") for name in operation.parameters):
            # Auto Scaling user guide, "Control Amazon EC2 launch template usage in Auto Scaling groups"
            arn = f"arn:aws:ec2:{operation.region}:{ACCOUNT}:instance/*"
            yield Permission("ec2:RunInstances", arn, {}, f"launch template of {operation.name}")
        case "s3":
            yield from _s3(operation, action)
        case "sns" if action == "sns:Publish":
            yield from topic_key(resource, via="sns")
        case "sqs" if action in QUEUE_KEY_USES:
            yield from queue_key(resource, QUEUE_KEY_USES[action])
        case "secretsmanager" if action == "secretsmanager:GetSecretValue":
            yield from _use("AWS::SecretsManager::Secret", resource, operation.region, [DECRYPT], "secretsmanager")
        case "secretsmanager" if operation.name == "BatchGetSecretValue":
            for name in operation.values("SecretIdList") or ["*"]:
                yield from secret(name, operation.name)
        case "cloudformation":
            yield from template(operation.get("TemplateURL"))
        case "dynamodb" if re.search("Item|^Query|^Scan", operation.name):
            # DynamoDB developer guide, "Encryption at rest"
            table = resource.rpartition("/")[2]
            yield from _use("AWS::DynamoDB::Table", table, operation.region, [DECRYPT], "dynamodb")
        case "cloudfront":
            for arn in set(re.findall("<LambdaFunctionARN>(.*?)<", operation.body)):
                for name in ("lambda:GetFunction", "lambda:EnableReplication*"):
                    yield Permission(name, arn, {}, f"a function of {operation.name}")


def secret(name: str, cause: str) -> Iterator[Permission]:
    """Yield the permissions to read a secret by its name or ARN."""
    region = get_region()
    arn = name if name.startswith("arn:") else f"arn:aws:secretsmanager:{region}:{ACCOUNT}:secret:{name}"
    arn = policies.existing_arn(arn)
    yield Permission("secretsmanager:GetSecretValue", arn, {}, cause)
    yield from _use("AWS::SecretsManager::Secret", arn, region, [DECRYPT], "secretsmanager")


def code(buckets: list[str], keys: list[str], cause: str) -> Iterator[Permission]:
    """Yield the permissions to read the code of a function or layer; with a bucket or key only, every object."""
    for bucket, key in zip_longest(buckets, keys, fillvalue="*"):
        yield from read(bucket, key, f"code of {cause}")


def passed_roles(parameters: Any) -> Iterator[tuple[str, str]]:
    """Yield the name and ARN of each role among parameters, at any depth.

    Services find a role by its name, which is the last part of the ARN, so the ARN must be that of this role.
    """
    for name, value in _texts(parameters):
        if ROLE.fullmatch(name) and value:
            yield name, policies.role_arn(value)


def _pass_role(operation: Operation) -> Iterator[Permission]:
    """Yield a permission for each role among the parameters, at any depth."""
    if operation.name == "AddRoleToInstanceProfile":
        role = policies.existing_arn(f"arn:aws:iam::{ACCOUNT}:role/{operation.get('RoleName')}")
        yield Permission("iam:PassRole", role, {"iam:PassedToService": "ec2.amazonaws.com"}, operation.name)
    service = f"{PASSED_TO.get(operation.service, operation.service)}.amazonaws.com"
    parameters: Any = operation.parameters
    if operation.service == "apigateway":  # a change has the name in its path
        changes = [change for change in parameters.get("patchOperations", []) if isinstance(change, Mapping)]
        parameters = [parameters, {str(c.get("path")).rpartition("/")[2]: c.get("value") for c in changes}]
    for name, role in passed_roles(parameters) if operation.service != "iam" else ():
        yield Permission("iam:PassRole", role, {"iam:PassedToService": service}, f"{name} of {operation.name}")


def _texts(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield the name and text of each parameter and member of a structure."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, name)


def _s3(operation: Operation, action: str) -> Iterator[Permission]:
    bucket, key, name = operation.get("Bucket"), operation.get("Key"), action.removeprefix("s3:")
    if operation.name in ("CopyObject", "UploadPartCopy"):
        path, _, version = operation.get("CopySource").partition("?")
        source, _, source_key = unquote(path).lstrip("/").partition("/")
        yield from read(source, source_key, "CopySource", "GetObjectVersion" if version else "GetObject")
    if operation.name in ("PutObject", "CreateMultipartUpload", "CopyObject"):
        for parameter, extra in (("Tagging", "PutObjectTagging"), ("ACL", "PutObjectAcl")):
            if operation.get(parameter):
                yield Permission(f"s3:{extra}", f"arn:aws:s3:::{bucket}/{key}", {}, f"{parameter} of {operation.name}")
    if name in S3_READS:
        yield from object_key(bucket, key, DECRYPT)
        if not operation.get("VersionId") and key not in s3.buckets.get(bucket, {}).get("objects", {key: None}):
            # Otherwise, S3 does not reveal that the key does not exist.
            yield Permission("s3:ListBucket", f"arn:aws:s3:::{bucket}", {}, "a key that does not exist")
    if name == "PutObject":
        yield from object_key(bucket, key, "kms:GenerateDataKey")
        if operation.name in ("UploadPart", "UploadPartCopy", "CompleteMultipartUpload"):
            yield from object_key(bucket, key, DECRYPT)


def read(bucket: str, key: str, cause: str, action: str = "GetObject") -> Iterator[Permission]:
    """Yield the permissions to read an object."""
    yield Permission(f"s3:{action}", f"arn:aws:s3:::{bucket}/{key}", {}, cause)
    yield from object_key(bucket, key, DECRYPT)


def remember_key(kind: str, physical_id: str, properties: dict[str, Any]) -> None:
    """Store the customer managed key among the properties of a resource."""
    value: Any = properties if kind in KEY_PROPERTIES else {}
    for name in KEY_PROPERTIES.get(kind, "").split():
        value = (value[0] if isinstance(value, list) else value).get(name, {})
    name = physical_id.rsplit("/", 1)[-1] if physical_id.startswith("http") else physical_id
    KEYS[get_region(), kind, name] = value or ""


def object_key(bucket: str, key: str, action: str) -> Iterator[Permission]:
    """Yield the permission to use the customer managed key of a bucket."""
    region = next((region for region, kind, name in KEYS if (kind, name) == ("AWS::S3::Bucket", bucket)), REGION)
    context = {"kms:EncryptionContext:aws:s3:arn": f"arn:aws:s3:::{bucket}/{key}"}
    yield from _use("AWS::S3::Bucket", bucket, region, [action], "s3", context)


def topic_key(topic: str, via: str = "") -> Iterator[Permission]:
    """Yield the permissions to use the customer managed key of a topic."""
    yield from _use("AWS::SNS::Topic", topic, get_region(), WRITE, via)


def queue_key(queue: str, actions: Iterable[str] = WRITE) -> Iterator[Permission]:
    """Yield the permissions to use the customer managed key of a queue."""
    yield from _use("AWS::SQS::Queue", queue.rsplit(":", 1)[-1], get_region(), actions, "sqs")


def _use(
    kind: str, name: str, region: str, actions: Iterable[str], via: str, context: Context | None = None
) -> Iterator[Permission]:
    """Yield the permissions to use the customer managed key of a resource that a template created."""
    with request_scope(ACCOUNT, region):
        key = policies.key_arn(KEYS.get((region, kind, name), ""))
    service = {"kms:ViaService": f"{via}.{key.split(':')[3]}.amazonaws.com"} if key and via else {}
    for action in actions if key else ():
        yield Permission(action, key, {**service, **(context or {})}, f"the key of {name.rsplit(':', 1)[-1]}")


def template(location: str) -> Iterator[Permission]:
    """Yield the permissions to read a template by its URL."""
    url = urlsplit(location)
    bucket, virtual_hosted, _ = (url.hostname or "").partition(".s3.")
    if url.path:
        path = unquote(url.path).lstrip("/")
        first, _, rest = path.partition("/")
        yield from read(*((bucket, path) if virtual_hosted else (first, rest)), "TemplateURL")


def write(bucket: str, key: str, cause: str) -> Iterator[Permission]:
    """Yield the permissions to write an object in parts."""
    yield Permission("s3:PutObject", f"arn:aws:s3:::{bucket}/{key}", {}, cause)
    yield from object_key(bucket, key, "kms:GenerateDataKey")
    yield from object_key(bucket, key, DECRYPT)


def dynamodb_context(operation: Operation) -> dict[str, str | list[str]]:
    """Return the partition key of the item, as policies for fine-grained access control can require it.

    Operations on several items have an empty key, which these policies do not allow.
    """
    if operation.name not in ITEM_OPERATIONS:
        return {"dynamodb:LeadingKeys": [""]} if re.search("Item|^Query", operation.name) else {}
    with request_scope(ACCOUNT, operation.region):
        table = dynamodb.tables.get(operation.get("TableName").rpartition("table/")[2], {})
    key = operation.parameters.get("Key") or operation.parameters.get("Item") or {}
    value = key.get(table.get("pk_name"), {})
    return {"dynamodb:LeadingKeys": [str(text) for text in value.values()] or [""]}
