"""IAM's quotas of the policies that stacks create. White space does not count."""

import json
import re
from collections.abc import Callable
from typing import Any

from ..ministack import cloudformation, iam

MAX_MANAGED_POLICY = 6144
MAX_INLINE_POLICIES = 10240  # of a role
MAX_TRUST_POLICY = 2048
Step = Callable[..., Any]


def install() -> None:
    """Check policies before they are created or updated."""
    cloudformation.provision_resource.extend(_checking_creation)
    cloudformation.update_resource.extend(_checking_update)


def _checking_creation(provision: Step, kind: str, name: str, properties: Any, stack: str) -> Any:
    _check(kind, properties, name)
    return provision(kind, name, properties, stack)


def _checking_update(update: Step, kind: str, name: str, old: Any, new: Any, *arguments: Any) -> Any:
    _check(kind, new, name)
    return update(kind, name, old, new, *arguments)


def _check(kind: str, properties: dict[str, Any], name: str) -> None:
    if kind == "AWS::IAM::ManagedPolicy" and _size(properties["PolicyDocument"]) > MAX_MANAGED_POLICY:
        raise ValueError(f"Cannot exceed quota for PolicySize: {MAX_MANAGED_POLICY}")
    if kind == "AWS::IAM::Role":
        if _size(properties["AssumeRolePolicyDocument"]) > MAX_TRUST_POLICY:
            raise ValueError(f"Cannot exceed quota for ACLSizePerRole: {MAX_TRUST_POLICY}")
        _check_inline(
            properties.get("RoleName", name), [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
        )
    for role in properties.get("Roles", []) if kind == "AWS::IAM::Policy" else ():
        others = iam.roles[role]["InlinePolicies"] if role in iam.roles else {}
        documents = [document for policy, document in others.items() if policy != properties["PolicyName"]]
        _check_inline(role, [*documents, properties["PolicyDocument"]])


def _check_inline(role: str, documents: list[Any]) -> None:
    if sum(map(_size, documents)) > MAX_INLINE_POLICIES:
        raise ValueError(f"Maximum policy size of {MAX_INLINE_POLICIES} bytes exceeded for role {role}")


def _size(document: Any) -> int:
    return len(re.sub(r"\s", "", document if isinstance(document, str) else json.dumps(document)))
