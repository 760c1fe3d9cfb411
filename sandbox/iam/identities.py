"""Users, groups and roles: quotas, and conflicts of deletions.

CloudFormation deletes a role or managed policy only if nothing outside the stack is attached to it.

IAM user guide, "IAM and AWS STS quotas"; IAM API reference, error DeleteConflict. Not implemented: MFA devices, login
profiles, signing certificates, and the resource type AWS::IAM::Group.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from ..ministack import cloudformation, iam
from ..ministack.cloudformation import add_steps, parameter

MAX_MANAGED_POLICIES = 10  # of a user, group or role
MAX_ACCESS_KEYS = 2  # of a user
MEMBERS = "Cannot delete entity, must remove users from group first."
Properties = dict[str, Any]
Function = Callable[..., Any]


def install() -> None:
    """Extend MiniStack's operations and resource types."""
    iam.attach_policy.extend(_attach_policy)  # of roles and policies in templates
    for kind, store in {"Role": iam.roles, "User": iam.users, "Group": iam.groups}.items():
        operation = f"Attach{kind}Policy"
        iam.operations[operation] = partial(_attach, kind, store, iam.operations[operation])
    iam.attach_to_user.replace(iam.operations["AttachUserPolicy"])  # of users in templates
    iam.operations["CreateAccessKey"] = partial(_create_access_key, iam.operations["CreateAccessKey"])
    iam.operations["DeleteGroup"] = partial(_delete, iam.operations["DeleteGroup"], _group_conflict)
    iam.operations["DeleteUser"] = partial(_delete, iam.operations["DeleteUser"], _user_conflict)
    add_steps("AWS::IAM::ManagedPolicy", check=_check_entities, check_deletion=_check_policy_deletion)
    add_steps("AWS::IAM::Role", check_deletion=_check_role_deletion)


def _attach_policy(attach: Function, entity: dict[str, Any], policy_arn: str) -> None:
    exceeded = _quota_exceeded(entity, policy_arn)
    if exceeded:
        raise ValueError(exceeded)
    attach(entity, policy_arn)


def _attach(kind: str, store: Any, attach: Function, request: Any) -> Any:
    arn, entity = parameter(request, "PolicyArn", ""), store.get(parameter(request, f"{kind}Name", ""))
    if entity is not None and not iam.find_policy(arn):
        return iam.error_response(404, "NoSuchEntity", f"Policy {arn} does not exist or is not attachable.")
    exceeded = _quota_exceeded(entity or {}, arn)
    return iam.error_response(409, "LimitExceeded", exceeded) if exceeded else attach(request)


def _quota_exceeded(entity: dict[str, Any], policy: str) -> str:
    """Return IAM's message if `policy` would be one attached policy too many."""
    attached = entity.get("AttachedPolicies", [])
    if policy in attached or len(attached) < MAX_MANAGED_POLICIES:
        return ""
    kind = next(kind for kind in ("Group", "Role", "User") if f"{kind}Name" in entity)
    return f"Cannot exceed quota for PoliciesPer{kind}: {MAX_MANAGED_POLICIES}"


def _create_access_key(create: Function, request: Any) -> Any:
    user = parameter(request, "UserName", "")
    if sum(key["UserName"] == user for key in iam.access_keys.values()) >= MAX_ACCESS_KEYS:
        return iam.error_response(409, "LimitExceeded", f"Cannot exceed quota for AccessKeysPerUser: {MAX_ACCESS_KEYS}")
    return create(request)


def _delete(delete: Function, conflict: Callable[[Any], str], request: Any) -> Any:
    reason = conflict(request)
    return iam.error_response(409, "DeleteConflict", reason) if reason else delete(request)


def _group_conflict(request: Any) -> str:
    name = parameter(request, "GroupName", "")
    group = iam.groups.get(name, {})
    attached, inline = group.get("AttachedPolicies"), iam.group_policies.get(name)
    return MEMBERS if group.get("Users") else _policy_conflict(attached, inline)


def _user_conflict(request: Any) -> str:
    name = parameter(request, "UserName", "")
    is_member = any(name in group["Users"] for group in iam.groups.values())
    attached = iam.users.get(name, {}).get("AttachedPolicies")
    return MEMBERS if is_member else _policy_conflict(attached, iam.user_policies.get(name))


def _policy_conflict(attached: Any, inline: Any) -> str:
    """Return why IAM does not delete an entity with policies; empty if it has none."""
    if attached:
        return "Cannot delete entity, must detach all policies first."
    return "Cannot delete entity, must delete policies first." if inline else ""


def _check_entities(_id: str, properties: Properties) -> None:
    cloudformation.require_entities(properties)


def _check_policy_deletion(arn: str, properties: Properties) -> None:
    names = {name for kind in ("Roles", "Users", "Groups") for name in properties.get(kind, [])}
    for store in (iam.roles, iam.users, iam.groups):
        if any(arn in entity["AttachedPolicies"] for name, entity in store.items() if name not in names):
            raise ValueError("Cannot delete a policy attached to entities.")


def _check_role_deletion(name: str, properties: Properties) -> None:
    role = iam.roles.get(name, {})
    inline = [policy["PolicyName"] for policy in properties.get("Policies", [])]
    attached = _without(role.get("AttachedPolicies", []), properties.get("ManagedPolicyArns", []))
    conflict = _policy_conflict(attached, _without(role.get("InlinePolicies", {}), inline))
    if conflict:
        raise ValueError(conflict)


def _without(items: Iterable[str], others: Iterable[str]) -> list[str]:
    return [item for item in items if item not in others]
