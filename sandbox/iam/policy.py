"""Evaluation of IAM policies within one account, according to the IAM user guide.

Not supported: service control policies, session policies, principals of other accounts, and policy variables other than
those of a user. They raise `UnsupportedPolicyError`, so that no decision depends on a statement that was not evaluated.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Any

from .conditions import UnsupportedPolicyError, as_list, condition_holds, wildcard_matches

Document = Mapping[str, Any]
Statement = Mapping[str, Any]
Context = Mapping[str, str | list[str]]  # condition keys and their values; a list for a multivalued key

IDENTITY, BOUNDARY, RESOURCE = "identity-based policy", "permissions boundary", "resource-based policy"
USER_VARIABLE = re.compile(r"\$\{(aws:userid|aws:username)\}")
SERVICE = re.compile(r"[a-z0-9.-]+\.amazonaws\.com(\.cn)?")


class Decision(Enum):
    """The result of an evaluation."""

    ALLOWED = "allowed"
    IMPLICITLY_DENIED = "no statement allows it"
    EXPLICITLY_DENIED = "a statement denies it"


@dataclass(frozen=True)
class Permission:
    """An action on a resource that a call requires. cause: why, if it is not the action of the call itself."""

    action: str
    resource: str
    context: Context = field(default_factory=dict)
    cause: str = ""


@dataclass(frozen=True)
class Request:
    """The request context of an API call.

    principal: the ARN of a role or user, or a service such as ``sns.amazonaws.com``. session: the ARN of the role's
    session, which resource policies can name instead.
    """

    principal: str
    action: str
    resource: str
    context: Context = field(default_factory=dict)
    session: str = ""

    @property
    def by_service(self) -> bool:
        return bool(SERVICE.fullmatch(self.principal))

    @property
    def needs_resource_policy(self) -> bool:
        """Whether an identity policy is not enough: for keys and trust policies."""
        is_key = self.action.startswith("kms:") and ":key/" in self.resource
        return is_key or self.action == "sts:AssumeRole"

    @property
    def account_names(self) -> set[str]:
        """The names of the principal's account in policies; none for a service."""
        return set() if self.by_service else {self.principal.split(":")[4], f"{self.principal.rpartition(':')[0]}:root"}


def evaluate(
    request: Request,
    *,
    identity_policies: Iterable[Document] = (),
    resource_policy: Document | None = None,
    boundary: Document | None = None,
) -> Decision:
    """Evaluate a request: an explicit deny takes precedence over an allow; the default is an implicit deny.

    A service needs a resource policy. A role or user needs an identity policy, or a resource policy with it as the
    principal. For KMS keys and sts:AssumeRole, the resource policy must have it or its account as a principal.
    """
    return decide(request, identity_policies, resource_policy, boundary)[0]


def decide(
    request: Request, identity_policies: Iterable[Document], resource_policy: Document | None, boundary: Document | None
) -> tuple[Decision, str]:
    """Evaluate a request, and return also the kind of policy that denies it, or does not allow it."""
    identity = [s for document in identity_policies for s in applicable_statements(document, request)]
    limits = list(applicable_statements(boundary, request)) if boundary is not None else []
    resource = list(applicable_statements(resource_policy, request)) if resource_policy is not None else []
    addressed = [(s, match) for s in resource if (match := _principal_match(s, request))]
    kinds = {IDENTITY: identity, BOUNDARY: limits, RESOURCE: [s for s, _ in addressed]}
    for kind, statements in kinds.items():
        if any(s["Effect"] == "Deny" for s in statements):
            return Decision.EXPLICITLY_DENIED, kind
    by_name = any(match == "principal" for _, match in addressed)
    by_account = any(match == "account" for _, match in addressed)
    if request.by_service:
        allowed = by_name
    elif request.needs_resource_policy:
        allowed = by_name or (by_account and bool(identity))
    else:
        allowed = by_name or bool(identity)
    if not allowed:
        missing = request.by_service or (request.needs_resource_policy and identity)
        return Decision.IMPLICITLY_DENIED, RESOURCE if missing else IDENTITY
    if boundary is not None and not limits:
        return Decision.IMPLICITLY_DENIED, BOUNDARY
    return Decision.ALLOWED, ""


def applicable_statements(document: Document | None, request: Request) -> Iterator[Statement]:
    """Yield the statements that match the action, the resource and the context."""
    for original in as_list((document or {})["Statement"]):
        if not _action_matches(original, request.action):
            continue
        statement = _with_variables(original, request.context)
        if (
            statement
            and _resource_matches(statement, request.resource)
            and condition_holds(statement.get("Condition", {}), request.context)
        ):
            yield statement


def _with_variables(statement: Statement, context: Context) -> Statement | None:
    """Replace the variables of a user. Return None if one has no value: the statement then matches nothing."""
    text = json.dumps(statement)
    names = set(USER_VARIABLE.findall(text))
    if not names:
        return statement
    if not names <= context.keys():
        return None
    replaced: Statement = json.loads(USER_VARIABLE.sub(lambda match: str(context[match[1]]), text))
    return replaced


def _action_matches(statement: Statement, action: str) -> bool:
    if "NotAction" in statement:
        return not any(wildcard_matches(p.lower(), action.lower()) for p in as_list(statement["NotAction"]))
    return any(wildcard_matches(p.lower(), action.lower()) for p in as_list(statement["Action"]))


def _resource_matches(statement: Statement, resource: str) -> bool:
    """Match the resource; a trust policy has none, because it applies to its role."""
    if "NotResource" in statement:
        return not any(resource_matches(p, resource) for p in as_list(statement["NotResource"]))
    return any(resource_matches(p, resource) for p in as_list(statement.get("Resource", "*")))


@lru_cache(maxsize=10_000)
def resource_matches(pattern: str, resource: str) -> bool:
    """Match an ARN part by part: a wildcard in the Region does not extend to the account."""
    if "${" in pattern:
        raise UnsupportedPolicyError(f"policy variable in {pattern}")
    if pattern == "*":
        return True
    expected, parts = pattern.split(":", 5), resource.split(":", 5)
    return len(expected) == len(parts) and all(map(wildcard_matches, expected, parts))


def _principal_match(statement: Statement, request: Request) -> str:
    """Return how a statement of a resource policy names the principal: ``principal``, ``account`` or empty."""
    if "NotPrincipal" in statement:
        raise UnsupportedPolicyError("NotPrincipal")
    principals = {"AWS": "*"} if statement["Principal"] == "*" else statement["Principal"]
    unsupported = principals.keys() - {"AWS", "Service", "Federated", "CanonicalUser"}
    if unsupported:
        raise UnsupportedPolicyError(f"principal type {unsupported.pop()}")
    names = {name for values in principals.values() for name in as_list(values)}
    if names & {request.principal, request.session} or "*" in as_list(principals.get("AWS")):
        return "principal"
    # A deny of the account applies to every principal in it.
    return "account" if names & request.account_names else ""
