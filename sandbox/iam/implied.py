"""Permissions that AWS checks in addition to those of the operation, and resources that only the state contains.

Implemented: customer managed keys of buckets, topics, queues, secrets and tables; roles that a request passes to a
service; templates by URL; sources of copies; keys that do not exist in a bucket that may not be listed.
"""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

from ..process import ACCOUNT
from . import ec2_resources, policies
from .operations import Operation
from .policy import Permission

S3_READS = ("GetObject", "GetObjectVersion")
# Services that receive a role are named after the service that is called, except these.
PASSED_TO = {"ec2": "vpc-flow-logs"}


def permissions(operation: Operation, action: str) -> Iterator[Permission]:
    """Yield the permissions that an operation implies."""
    if action != "sts:AssumeRole":
        yield from _pass_role(operation)
    match operation.service:
        case "ec2" if action == "ec2:RunInstances":
            yield from ec2_resources.implied(operation)
        case "autoscaling" if any(name.startswith("LaunchTemplate.") for name in operation.parameters):
            # Auto Scaling user guide, "Control Amazon EC2 launch template usage in Auto Scaling groups"
            arn = f"arn:aws:ec2:{operation.region}:{ACCOUNT}:instance/*"
            yield Permission("ec2:RunInstances", arn, {}, f"launch template of {operation.name}")
        case "s3":
            yield from _s3(operation, action)
        case "sns" if action == "sns:Publish":
            yield from topic_key(operation.get("TopicArn") or operation.get("TargetArn"), via="sns")
        case "sqs":
            yield from _queue_key(operation, action)
        case "secretsmanager" if action == "secretsmanager:GetSecretValue":
            yield from _secret_key(operation)
        case "cloudformation":
            yield from _template(operation)
        case "dynamodb" if re.search("Item|^Query|^Scan", operation.name):
            yield from _table_key(operation)
        case "cloudfront":
            for arn in set(re.findall("<LambdaFunctionARN>(.*?)<", operation.body)):
                for name in ("lambda:GetFunction", "lambda:EnableReplication*"):
                    yield Permission(name, arn, {}, f"a function of {operation.name}")


def _pass_role(operation: Operation) -> Iterator[Permission]:
    """Yield a permission for each role among the parameters."""
    service = f"{PASSED_TO.get(operation.service, operation.service)}.amazonaws.com"
    for name, value in operation.parameters.items():
        if re.fullmatch("(?i).*role(arn)?", name) and str(value).startswith("arn:") and operation.service != "iam":
            yield Permission("iam:PassRole", value, {"iam:PassedToService": service}, f"{name} of {operation.name}")


def _s3(operation: Operation, action: str) -> Iterator[Permission]:
    bucket, key, name = operation.get("Bucket"), operation.get("Key"), action.removeprefix("s3:")
    if operation.name in ("CopyObject", "UploadPartCopy"):
        source, _, source_key = unquote(operation.get("CopySource")).lstrip("/").partition("/")
        yield from read(source, source_key.partition("?")[0], "CopySource")
    if operation.name in ("PutObject", "CreateMultipartUpload", "CopyObject"):
        for parameter, extra in (("Tagging", "PutObjectTagging"), ("ACL", "PutObjectAcl")):
            if operation.get(parameter):
                yield Permission(f"s3:{extra}", f"arn:aws:s3:::{bucket}/{key}", {}, f"{parameter} of {operation.name}")
    if name in S3_READS:
        yield from object_key(bucket, key, "kms:Decrypt")
        if not operation.get("VersionId") and not policies.has_object(bucket, key):
            # Otherwise, S3 does not reveal that the key does not exist.
            yield Permission("s3:ListBucket", f"arn:aws:s3:::{bucket}", {}, "a key that does not exist")
    if name == "PutObject":
        yield from object_key(bucket, key, "kms:GenerateDataKey")
        if operation.name in ("UploadPart", "UploadPartCopy", "CompleteMultipartUpload"):
            yield from object_key(bucket, key, "kms:Decrypt")


def read(bucket: str, key: str, cause: str) -> Iterator[Permission]:
    """Yield the permissions to read an object."""
    yield Permission("s3:GetObject", f"arn:aws:s3:::{bucket}/{key}", {}, cause)
    yield from object_key(bucket, key, "kms:Decrypt")


def object_key(bucket: str, key: str, action: str) -> Iterator[Permission]:
    """Yield the permission to use the customer managed key of a bucket."""
    arn = policies.bucket_key(bucket)
    if arn:
        context = {"kms:ViaService": f"s3.{_region(arn)}.amazonaws.com"}
        context["kms:EncryptionContext:aws:s3:arn"] = f"arn:aws:s3:::{bucket}/{key}"
        yield Permission(action, arn, context, f"the key of bucket {bucket}")


def topic_key(topic: str, via: str = "") -> Iterator[Permission]:
    """Yield the permissions to use the customer managed key of a topic."""
    declared = policies.properties(_region(topic), "AWS::SNS::Topic", topic) if topic else {}
    arn = policies.key_arn(declared.get("KmsMasterKeyId", ""), _region(topic)) if declared else ""
    context = {"kms:ViaService": f"{via}.{_region(arn)}.amazonaws.com"} if arn and via else {}
    for action in ("kms:Decrypt", "kms:GenerateDataKey") if arn else ():
        yield Permission(action, arn, context, f"the key of topic {topic.rsplit(':', 1)[-1]}")


def queue_key(url: str, region: str, actions: tuple[str, ...]) -> Iterator[Permission]:
    """Yield the permissions to use the customer managed key of a queue."""
    name = url.rsplit("/", 1)[-1]
    keys = [
        declared.get("KmsMasterKeyId", "")
        for (place, kind, queue), declared in policies.PROPERTIES.items()
        if (place, kind, queue.rsplit("/", 1)[-1]) == (region, "AWS::SQS::Queue", name)
    ]
    arn = policies.key_arn(keys[0], region) if keys else ""
    for action in actions if arn else ():
        yield Permission(action, arn, {"kms:ViaService": f"sqs.{region}.amazonaws.com"}, f"the key of queue {name}")


def _queue_key(operation: Operation, action: str) -> Iterator[Permission]:
    uses = {"sqs:SendMessage": ("kms:Decrypt", "kms:GenerateDataKey"), "sqs:ReceiveMessage": ("kms:Decrypt",)}
    yield from queue_key(operation.get("QueueUrl"), operation.region, uses.get(action, ()))


def _secret_key(operation: Operation) -> Iterator[Permission]:
    arn = existing_arn("secretsmanager", operation.get("SecretId"), operation.region)
    declared = policies.properties(operation.region, "AWS::SecretsManager::Secret", arn)
    key = policies.key_arn(declared.get("KmsKeyId", ""), operation.region)
    if key:
        context = {"kms:ViaService": f"secretsmanager.{operation.region}.amazonaws.com"}
        yield Permission("kms:Decrypt", key, context, "the key of the secret")


def _table_key(operation: Operation) -> Iterator[Permission]:
    """Yield the permission to use the customer managed key of a table; see the guide, "Encryption at rest"."""
    table = operation.get("TableName").rpartition("/")[2] or operation.get("TableName")
    declared = policies.properties(operation.region, "AWS::DynamoDB::Table", table)
    key = policies.key_arn(declared.get("SSESpecification", {}).get("KMSMasterKeyId", ""), operation.region)
    if key:
        context = {"kms:ViaService": f"dynamodb.{operation.region}.amazonaws.com"}
        yield Permission("kms:Decrypt", key, context, f"the key of table {table}")


def _template(operation: Operation) -> Iterator[Permission]:
    url = urlsplit(operation.get("TemplateURL"))
    bucket, virtual_hosted, _ = (url.hostname or "").partition(".s3.")
    if url.path:
        path = unquote(url.path).lstrip("/")
        first, _, rest = path.partition("/")
        yield from read(*((bucket, path) if virtual_hosted else (first, rest)), "TemplateURL")


def write(bucket: str, key: str, cause: str) -> Iterator[Permission]:
    """Yield the permissions to write an object in parts."""
    yield Permission("s3:PutObject", f"arn:aws:s3:::{bucket}/{key}", {}, cause)
    yield from object_key(bucket, key, "kms:GenerateDataKey")
    yield from object_key(bucket, key, "kms:Decrypt")


def existing_arn(service: str, arn: str, region: str) -> str:
    """Return the ARN that the service has stored for a name, or for an ARN that is built from one."""
    match service:
        case "cloudformation":
            is_id = arn.startswith("arn:") and not arn.endswith("/*")
            return arn if is_id else policies.stack_arn(arn.split("/")[1] if "/" in arn else arn, region)
        case "secretsmanager":
            return policies.secret_arn(arn.partition(":secret:")[2] or arn, region)
        case "iam":
            return policies.entity_arn(arn)
        case "autoscaling":
            return ec2_resources.group_arn(arn, region)
        case _:
            return policies.key_arn(arn.rpartition(":key/")[2], region) or arn


def dynamodb_context(operation: Operation) -> dict[str, str | list[str]]:
    """Return the keys of the items, as policies for fine-grained access control can require them."""
    key: dict[str, Any] = operation.parameters.get("Key") or {}
    leading = [str(value) for attribute in list(key.values())[:1] for value in attribute.values()]
    return {"dynamodb:LeadingKeys": leading} if leading else {}


def _region(arn: str) -> str:
    return arn.split(":")[3] if arn.startswith("arn:") else ""
