"""STS: access keys of role sessions and users, and the signatures of requests."""

from typing import Any

from .names import Replaceable, need

sessions = need("services.sts._sessions", "the secret and the identity of an access key")
is_root_key = Replaceable(
    "core.iam_evaluator.is_root_access_key", "the identity of the sandbox's access key", "access_key_id"
)
_resolve_credential = need("core.iam_evaluator.resolve_credential", "access keys", "access_key_id")
_Credential = need("core.iam_evaluator.ResolvedCredential", "access keys")
Signature = need(
    "core.sigv4.HeaderSignature",
    "signatures of requests",
    "access_key_id date_stamp region service signed_headers signature amz_date",
)
signature_failure = need(
    "core.sigv4.header_signature_failure",
    "signatures of requests",
    "signature secret method raw_path query_params headers body presigned",
)


def credential(access_key: str) -> Any:
    """Return the credential of a role session's access key, or of a user's active one; None for other keys."""
    found = _resolve_credential(access_key)
    return found if isinstance(found, _Credential) else None
