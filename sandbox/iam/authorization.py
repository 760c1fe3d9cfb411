"""Authorization of requests: the policies that apply decide every request of every principal.

Each distinct decision is recorded in the file AUTHORIZATION_LOG as a line of JSON; denied requests are also in the
emulator's log. Requests that MiniStack makes without a principal's key are those of services: see `services`.
"""

import json
import logging
import tempfile
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..cloudtrail import USER
from ..ministack import requests
from ..process import ACCOUNT
from . import ec2_resources, policies
from .actions import UnknownOperationError, required_permissions
from .conditions import UnsupportedPolicyError
from .operations import Operation, parse
from .policy import Context, Decision, Permission, Request, decide

AUTHORIZATION_LOG = "authorization.jsonl"  # below the sandbox's folder
TEST_TARGET = "Sandbox."  # operations that only the sandbox has, for its own user
logger = logging.getLogger("authorization")
CALLER: ContextVar[str] = ContextVar("CALLER", default="")  # the principal of the request that is being served
_recorded: set[tuple[str, ...]] = set()


class AccessDeniedError(Exception):
    """A denied permission; the message is AWS's."""

    def __init__(self, message: str, permission: Permission | None = None) -> None:
        super().__init__(message)
        self.permission = permission


def denial(scope: Any, headers: Mapping[str, str], body: bytes, signature: Any) -> tuple[int, Any, bytes] | None:
    """Return the response to a request with a valid signature that policies deny."""
    path, query = scope["raw_path"].partition(b"?")[0].decode("latin-1"), scope["query_string"].decode("latin-1")
    principal, session = policies.principal_of(signature.access_key_id)
    if headers.get("x-amz-target", "").startswith(TEST_TARGET) and path == "/" and principal == USER:
        return None
    operation = parse(signature.service, signature.region, scope["method"], path, query, headers, body)
    CALLER.set(principal)
    try:
        with requests.request_scope(ACCOUNT, operation.region):
            for permission in required_permissions(operation):
                require(principal, permission, session)
    except UnknownOperationError as error:
        message = f"the sandbox does not know the permissions of the operation {error}; see sandbox/iam/actions.py"
        logger.warning("%s called an unknown operation: %s", session, message)
        return _response(operation, AccessDeniedError(message), headers)
    except AccessDeniedError as error:
        return _response(operation, error, headers)
    return None


def _response(operation: Operation, error: AccessDeniedError, headers: Mapping[str, str]) -> tuple[int, Any, bytes]:
    """Return status, headers and body of a denied operation, as its service and protocol report it."""
    service, message, code = operation.service, str(error), "AccessDenied"
    if service == "ec2":
        message = f"You are not authorized to perform this operation. {message}"
    elif service == "sns":
        is_key = error.permission is not None and error.permission.action.startswith("kms:")
        code = "KMSAccessDenied" if is_key else "AuthorizationError"
    name = "monitoring" if service == "cloudwatch" else service
    status, fields, body = requests.access_denied(
        name, "", "", "sandbox", error_code=code, message=message, headers=headers
    )
    return 400 if operation.is_json else status, fields | {"x-amzn-requestid": "sandbox"}, body


def require(principal: str, permission: Permission, session: str = "") -> None:
    """Decide whether a principal has a permission, and record the decision.

    session: the ARN of the role's session, which the message names, and policies can name (default: `principal`).

    Raises:
        AccessDeniedError: it does not have the permission.
    """
    tags = ec2_resources.tag_context(permission.resource)
    context = {**_global_context(principal, permission.resource), **tags, **permission.context}
    request = Request(principal, permission.action, permission.resource, context, session)
    try:
        decision, policy = decide(
            request,
            policies.identity_policies(principal),
            policies.resource_policy(permission.action, permission.resource),
            policies.boundary(principal),
        )
    except UnsupportedPolicyError as error:
        message = f"the sandbox cannot evaluate a policy for {principal} and {permission.action}: {error}"
        logger.warning(message)
        raise AccessDeniedError(message, permission) from error
    _record(principal, permission, decision)
    if decision is not Decision.ALLOWED:
        message = _message(session or principal, permission, decision, policy)
        logger.warning("%s%s", message, f" (required for: {permission.cause})" if permission.cause else "")
        raise AccessDeniedError(message, permission)


def is_allowed(principal: str, action: str, resource: str, context: Context | None = None, cause: str = "") -> bool:
    """Return whether a principal has a permission, and record the decision."""
    try:
        require(principal, Permission(action, resource, context or {}, cause))
    except AccessDeniedError:
        return False
    return True


def _global_context(principal: str, resource: str) -> Context:
    is_service = principal.endswith(".amazonaws.com")
    context: dict[str, str | list[str]] = {
        "aws:SecureTransport": "true",
        "aws:PrincipalIsAWSService": str(is_service).lower(),
    }
    if not is_service:
        context |= {"aws:PrincipalArn": principal, "aws:PrincipalAccount": ACCOUNT, "aws:SourceOwner": ACCOUNT}
        context |= policies.user_variables(principal)
    return context | ({"aws:ResourceAccount": ACCOUNT} if resource.startswith("arn:") else {})


def _message(session: str, permission: Permission, decision: Decision, policy: str) -> str:
    """Describe a denied request in the words of the IAM user guide, "Troubleshoot access denied error messages"."""
    action = permission.action
    text = f"User: {session} is not authorized to perform: {action} on resource: {permission.resource}"
    if decision is Decision.EXPLICITLY_DENIED:
        return f"{text} with an explicit deny in {'an' if policy.startswith('i') else 'a'} {policy}"
    return f"{text} because no {policy} allows the {action} action"


def _record(principal: str, permission: Permission, decision: Decision) -> None:
    path = Path(tempfile.gettempdir(), AUTHORIZATION_LOG)
    if not path.exists():  # a reader starts a new record by deleting it
        _recorded.clear()
    key = (principal, permission.action, permission.resource, permission.cause, decision.name)
    if key in _recorded:
        return
    _recorded.add(key)
    entry = {"principal": principal, **asdict(permission), "decision": decision.name}
    with path.open("a") as log:
        log.write(f"{json.dumps(entry)}\n")
