"""STS: the sessions of roles, and the sandbox's access key."""

from .names import Replaceable, need

sessions = need("services.sts._sessions", "the secret and the identity of an access key")
is_root_key = Replaceable(
    "core.iam_evaluator.is_root_access_key", "the identity of the sandbox's access key", "access_key_id"
)
