"""The policies and keys of this account's resources, in MiniStack's state and in the properties of templates.

Resources without an ARN are those in the Region of the current request.
"""

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from ..cloudtrail import USER
from ..ministack import autoscaling, cloudformation, iam, kms, secretsmanager, sts
from ..ministack.requests import get_region, request_scope, resource_policy_of
from ..process import ACCOUNT, REGION
from .policy import Document

ADMINISTRATOR: Document = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
# The default key policy; also for a key that does not exist, because IAM decides before KMS looks for it.
ACCOUNT_DECIDES: Document = {
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "kms:*", "Resource": "*"}]
}


def principal_of(access_key: str) -> tuple[str, str]:
    """Return the ARN that policies name, and the ARN of the session that messages name."""
    session = sts.credential(access_key).principal_arn
    if ":assumed-role/" not in session:
        return session, session
    role = session.split("/")[1]
    return _role(role).get("Arn", f"arn:aws:iam::{ACCOUNT}:role/{role}"), session


def _role(name: str) -> dict[str, Any]:
    role: dict[str, Any] = iam.roles.get(name.rsplit("/", 1)[-1], {})
    return role


def role_arn(arn: str) -> str:
    """Return the ARN of the role that services find by the last part of an ARN; `arn` itself if there is none."""
    return str(_role(arn).get("Arn", arn))


def identity_policies(principal: str) -> Iterator[Document]:
    """Yield the policies of a role, or of a user and its groups. The sandbox's user has administrator access."""
    if principal == USER:
        yield ADMINISTRATOR
        return
    for entity, inline in _entities(principal):
        yield from map(_document, list(inline.values()))
        yield from map(managed_policy, list(entity.get("AttachedPolicies", [])))


def _entities(principal: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return the role, or the user and its groups, each with its inline policies."""
    if ":role/" in principal:
        role = _role(principal)
        return [(role, role.get("InlinePolicies", {}))]
    if ":user/" not in principal:
        return []
    name = principal.rsplit("/", 1)[-1]
    groups = [group for group in iam.groups.values() if name in group["Users"]]
    own = (iam.users.get(name, {}), iam.user_policies.get(name, {}))
    return [own, *((group, iam.group_policies.get(group["GroupName"], {})) for group in groups)]


def user_variables(principal: str) -> dict[str, str | list[str]]:
    """Return the values of the policy variables of a user; other principals have none."""
    if ":user/" not in principal or principal == USER:
        return {}
    name = principal.rsplit("/", 1)[-1]
    return {"aws:username": name, "aws:userid": iam.users[name]["UserId"]}


def managed_policy(arn: str) -> Document:
    """Return the default version of a managed policy; one that does not exist allows nothing."""
    record = iam.find_policy(arn)
    return _document(record["Versions"][record["DefaultVersionId"]]["Document"]) if record else {"Statement": []}


def boundary(principal: str) -> Document | None:
    """Return the permissions boundary of a role or user, if it has one."""
    arn = next((entity.get("PermissionsBoundary") for entity, _ in _entities(principal)), None)
    return managed_policy(arn) if arn else None


def resource_policy(action: str, arn: str) -> Document | None:
    """Return the resource policy of a bucket, key, topic, queue, function or secret, or the trust policy of a role."""
    if not arn.startswith("arn:"):
        return None
    if action == "sts:AssumeRole":
        text: Any = _role(arn).get("AssumeRolePolicyDocument")
        return _document(text) if text else None
    service, region = arn.split(":")[2:4]
    with request_scope(ACCOUNT, region or REGION):
        text, _ = resource_policy_of(service, arn) or ("", "")
    if text:
        return _document(text)
    return ACCOUNT_DECIDES if service == "kms" else None


def _document(text: Any) -> Document:
    return text if isinstance(text, dict) else _parse(text)


@lru_cache(maxsize=1000)
def _parse(text: str) -> Document:
    document: Document = json.loads(text if text.lstrip().startswith("{") else unquote(text))
    return document


def key_arn(key: str) -> str:
    """Return the ARN of a customer managed key from its ID, ARN or alias."""
    if not key or "alias/aws/" in key:
        return ""
    record = kms.resolve_key(key)
    return record["Arn"] if record else f"arn:aws:kms:{get_region()}:{ACCOUNT}:{key if '/' in key else f'key/{key}'}"


def existing_arn(arn: str) -> str:
    """Return the ARN that a service has stored for the name in `arn`; `arn` itself if the resource does not exist."""
    _, _, service, _, _, resource = arn.split(":", 5)
    kind, _, name = resource.partition("/")
    match service:
        case "autoscaling":
            found = autoscaling.groups.get(arn.rpartition("/")[2], {}).get("AutoScalingGroupARN")
        case "cloudformation":
            found = cloudformation.stacks.get(name.removesuffix("/*"), {}).get("StackId")
        case "iam":
            stores = {"role": iam.roles, "user": iam.users, "group": iam.groups}
            found = stores.get(kind, {}).get(name, {}).get("Arn")
        case "kms":
            found = key_arn(resource.removeprefix("key/"))
        case "secretsmanager":
            found = (secretsmanager.secrets.get(resource.removeprefix("secret:")) or {}).get("ARN")
        case _:
            found = None
    return found or arn
