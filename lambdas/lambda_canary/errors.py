"""Errors that end a rollout. Their names are the error names of the state machine."""


class InvalidInputError(Exception):
    """The input, the version or the alias does not allow a rollout. Nothing was changed."""


class AliasBusyError(Exception):
    """The alias has weights: another rollout, or what somebody left. It is left alone."""


class AliasChangedError(Exception):
    """Somebody else changed the alias during the rollout. It is left alone."""


class MetricsIncompleteError(Exception):
    """CloudWatch has not returned all values. The state machine reads them again."""


class VersionPendingError(Exception):
    """Lambda is still preparing the version, and would reject its invocation. The state machine checks again."""


class SmokeTestError(Exception):
    """The version failed its smoke test. It has received no traffic."""
