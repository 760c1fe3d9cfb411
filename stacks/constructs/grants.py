"""Grant IAM permissions, with a reason for each wildcard."""

import re
from collections.abc import Sequence
from typing import Any

from aws_cdk import Stack, aws_iam as iam
from constructs import Construct

from .acknowledgments import acknowledge_wildcards

WILDCARD = re.compile(r"[*?]")


def grant(
    grantee: iam.IGrantable,
    actions: Sequence[str],
    *resources: str,
    sid: str | None = None,
    conditions: dict[str, Any] | None = None,
    wildcard_reason: str | None = None,
) -> None:
    """Allow a function, a state machine, a role or a managed policy to perform `actions` on `resources`.

    CDK merges statements that differ only in their resources. Pass `sid` to keep a statement separate.

    `wildcard_reason` acknowledges cdk-nag's findings for every wildcard in this grant. The wildcard table in
    docs/security.md is generated from it.

    Raises:
        ValueError: the grant has a wildcard but no reason.
    """
    principal = grantee.grant_principal
    principal.add_to_principal_policy(
        iam.PolicyStatement(sid=sid, actions=list(actions), resources=list(resources), conditions=conditions)
    )
    policy_holder = next(c for c in (principal, grantee) if isinstance(c, Construct))  # or a managed policy
    wildcards = [f"Action::{action}" for action in actions if WILDCARD.search(action)]
    names = map(cdk_nag_name, Stack.of(policy_holder).resolve(list(resources)))
    wildcards += [f"Resource::{name}" for name in names if WILDCARD.search(name)]
    if not wildcards:
        return
    if not wildcard_reason:
        raise ValueError(f"grant: wildcard_reason is required for {', '.join(wildcards)}")
    acknowledge_wildcards(policy_holder, dict.fromkeys(wildcards, wildcard_reason))


def cdk_nag_name(value: Any) -> str:
    """Format a template value as cdk-nag does, with references and policy variables in angle brackets."""
    match value:
        case {"Ref": name}:
            return f"<{name}>"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{name}.{attribute}>"
        case {"Fn::Sub": str(text)} | str(text):
            return re.sub(r"\$\{(.+?)\}", r"<\1>", text)
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(cdk_nag_name(part) for part in parts)
        case list():
            return " ".join(cdk_nag_name(item) for item in value)
        case _:
            return str(value)
