"""The policies and keys of this account's resources, in MiniStack's state and in the properties of templates."""

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ..cloudtrail import USER
from ..ministack import (
    athena,
    cloudformation,
    glue,
    iam,
    kms,
    lambda_functions,
    s3,
    secretsmanager,
    sns,
    sqs,
    sts,
)
from ..ministack.requests import request_scope
from ..process import ACCOUNT, REGION
from .policy import Document

ADMINISTRATOR: Document = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
# The default key policy; also for a key that does not exist, because IAM decides before KMS looks for it.
ACCOUNT_DECIDES: Document = {
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "kms:*", "Resource": "*"}]
}
# AWS managed policies that MiniStack lacks.
MANAGED: dict[str, Document] = json.loads(Path(__file__).with_name("managed_policies.json").read_text())
# Properties of the deployed resources, by Region, type and physical id.
PROPERTIES: dict[tuple[str, str, str], dict[str, Any]] = {}


def principal_of(access_key: str) -> tuple[str, str]:
    """Return the ARN that policies name, and the ARN of the session that messages name."""
    session = sts.credential(access_key).principal_arn
    if ":assumed-role/" not in session:
        return session, session
    role = session.split("/")[1]
    return _role(role).get("Arn", f"arn:aws:iam::{ACCOUNT}:role/{role}"), session


def _role(name: str) -> dict[str, Any]:
    with request_scope(ACCOUNT, REGION):
        role: dict[str, Any] = iam.roles.get(name.rsplit("/", 1)[-1], {})
    return role


def identity_policies(principal: str) -> Iterator[Document]:
    """Yield the policies of a role, or of a user and its groups. The sandbox's user has administrator access."""
    if principal == USER:
        yield ADMINISTRATOR
        return
    for entity, inline in _entities(principal):
        for text in list(inline.values()):
            yield _document(text)
        for attached in list(entity.get("AttachedPolicies", [])):
            yield managed_policy(attached if isinstance(attached, str) else attached["PolicyArn"])


def _entities(principal: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return the role, or the user and its groups, each with its inline policies."""
    if ":role/" in principal:
        role = _role(principal)
        return [(role, role.get("InlinePolicies", {}))]
    if ":user/" not in principal:
        return []
    name = principal.rsplit("/", 1)[-1]
    with request_scope(ACCOUNT, REGION):
        user = (iam.users.get(name, {}), iam.user_policies.get(name, {}))
        groups = [group for group in iam.groups.values() if name in group["Users"]]
        return [user, *((group, iam.group_policies.get(group["GroupName"], {})) for group in groups)]


def user_variables(principal: str) -> dict[str, str | list[str]]:
    """Return the values of the policy variables of a user; other principals have none."""
    if ":user/" not in principal or principal == USER:
        return {}
    name = principal.rsplit("/", 1)[-1]
    with request_scope(ACCOUNT, REGION):
        return {"aws:username": name, "aws:userid": iam.users[name]["UserId"]}


def entity_arn(arn: str) -> str:
    """Return the ARN of a role, user or group with its path; `arn` itself if it does not exist."""
    kind, _, name = arn.rpartition(":")[2].partition("/")
    stores = {"role": iam.roles, "user": iam.users, "group": iam.groups}
    with request_scope(ACCOUNT, REGION):
        existing: str = stores[kind].get(name, {}).get("Arn", arn) if kind in stores else arn
    return existing


def managed_policy(arn: str) -> Document:
    """Return the default version of a managed policy; one that does not exist allows nothing."""
    name = arn.partition(":policy/")[2]
    if name in MANAGED:
        return MANAGED[name]
    with request_scope(ACCOUNT, REGION):
        record = iam.aws_managed_policies.get(arn) or iam.policies.get(arn) or {"Versions": {}}
    versions = record["Versions"].values() if isinstance(record["Versions"], dict) else record["Versions"]
    default = next((version for version in versions if version["IsDefaultVersion"]), None)
    return _document(default["Document"]) if default else {"Statement": []}


def boundary(principal: str) -> Document | None:
    """Return the permissions boundary of a role or user, if it has one."""
    arn = next((entity.get("PermissionsBoundary") for entity, _ in _entities(principal)), None)
    return managed_policy(arn) if arn else None


def resource_policy(action: str, arn: str) -> Document | None:
    """Return the resource policy of a bucket, key, topic, queue, function or secret, or the trust policy of a role."""
    parts = arn.split(":", 5)
    if len(parts) < 6:
        return None
    name = parts[5]
    text: Any = None
    with request_scope(ACCOUNT, parts[3] or REGION):
        match parts[2]:
            case "iam" if action == "sts:AssumeRole":
                text = _role(name).get("AssumeRolePolicyDocument")
            case "s3":
                text = s3.bucket_policies.get(name.split("/")[0])
            case "kms":
                text = (kms.resolve_key(arn) or {}).get("Policy", ACCOUNT_DECIDES)
            case "sns":
                text = sns.topics.get(arn, {}).get("attributes", {}).get("Policy")
            case "sqs":
                text = (sqs.queue_by_arn(arn) or {}).get("attributes", {}).get("Policy")
            case "lambda":
                text = lambda_functions.functions.get(name.split(":")[1], {}).get("policy")
            case "secretsmanager":
                text = secretsmanager.resource_policies.get(arn)
    return _document(text) if text else None


def _document(text: Any) -> Document:
    return text if isinstance(text, dict) else _parse(text.decode() if isinstance(text, bytes) else text)


@lru_cache(maxsize=1000)
def _parse(text: str) -> Document:
    document: Document = json.loads(text if text.lstrip().startswith("{") else unquote(text))
    return document


def properties(region: str, resource_type: str, physical_id: str) -> dict[str, Any]:
    """Return the properties of a resource that a template created; empty for others."""
    return PROPERTIES.get((region, resource_type, physical_id), {})


def bucket_key(bucket: str) -> str:
    """Return the ARN of the customer managed key that encrypts the objects of a bucket by default."""
    declared = next((p for (_, kind, name), p in PROPERTIES.items() if (kind, name) == ("AWS::S3::Bucket", bucket)), {})
    rules = declared.get("BucketEncryption", {}).get("ServerSideEncryptionConfiguration", [])
    keys = (rule.get("ServerSideEncryptionByDefault", {}).get("KMSMasterKeyID", "") for rule in rules)
    return key_arn(next(keys, ""), REGION)


def key_arn(key: str, region: str) -> str:
    """Return the ARN of a customer managed key from its ID, ARN or alias."""
    if not key or "alias/aws/" in key:
        return ""
    with request_scope(ACCOUNT, region):
        record = kms.resolve_key(key)
    return record["Arn"] if record else f"arn:aws:kms:{region}:{ACCOUNT}:{key if '/' in key else f'key/{key}'}"


def secret_arn(name: str, region: str) -> str:
    """Return the ARN of a secret, which ends with random characters; without them if it does not exist."""
    with request_scope(ACCOUNT, region):
        secret = secretsmanager.secrets.get(name) or {}
    arn: str = secret.get("ARN", f"arn:aws:secretsmanager:{region}:{ACCOUNT}:secret:{name}")
    return arn


def stack_arn(name: str, region: str) -> str:
    """Return the ARN of a stack; with a wildcard instead of the id if it does not exist."""
    if name.startswith("arn:"):
        return name
    with request_scope(ACCOUNT, region):
        arn: str = cloudformation.stacks.get(name, {}).get("StackId", "")
    return arn or f"arn:aws:cloudformation:{region}:{ACCOUNT}:stack/{name}/*"


def has_object(bucket: str, key: str) -> bool:
    """Return whether an object exists."""
    with request_scope(ACCOUNT, REGION):
        return key in s3.buckets.get(bucket, {}).get("objects", {key: None})


def workgroup_of(query_id: str, named_query_id: str, region: str) -> str:
    """Return the workgroup of a query."""
    with request_scope(ACCOUNT, region):
        record = athena.executions.get(query_id) or athena.named_queries.get(named_query_id) or {}
    return str(record.get("WorkGroup", "primary"))


def result_location(workgroup: str, region: str) -> str:
    """Return the S3 URI of a workgroup's results."""
    with request_scope(ACCOUNT, region):
        configuration = athena.workgroups.get(workgroup, {}).get("Configuration", {})
    return str(configuration.get("ResultConfiguration", {}).get("OutputLocation", ""))


def tables(region: str) -> list[tuple[str, str, str]]:
    """Return database, name and location of the Glue tables."""
    with request_scope(ACCOUNT, region):
        found = [(*key.split("/", 1), table["StorageDescriptor"]["Location"]) for key, table in glue.tables.items()]
    return [(database, name, location) for database, name, location in found]


def function_role(name: str, region: str) -> str:
    """Return the role of a function, by name or ARN."""
    with request_scope(ACCOUNT, region):
        _, configuration, _ = lambda_functions.find_function(name)
    return str(configuration["Role"]) if configuration else ""
