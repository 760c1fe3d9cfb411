"""STS: the sessions of roles, and the sandbox's access key."""

from .names import need

sessions = need("services.sts._sessions", "the secret and the identity of an access key")
