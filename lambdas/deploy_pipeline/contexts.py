"""A resource before and after an update, as ``BeforeContext`` and ``AfterContext`` of a change set show it."""

import hashlib
import json

from .api_types import ResourceChange, ResourceChangeWithValues
from .lossy_conditions import KNOWN_AFTER_APPLY
from .nesting import MAX_VALUE_LEVELS, is_too_deeply_nested

MASK = "****"  # CloudFormation's replacement for the value of a NoEcho parameter
TRUNCATED = "(Truncated-Signature)"  # the start of its replacement for a large value, in which others may be masked
UNKNOWN = "{{changeSet:UNKNOWN}}"  # a reference before the update that CloudFormation shows as known after it


def with_values(resource: ResourceChange) -> ResourceChangeWithValues:
    """Add the resource ``Before`` and ``After`` the update to a ``ResourceChange``; None if it is not visible.

    In a listed property, a reference that is not visible before the update differs from every one after it.
    """
    names = {(detail.get("Target") or {}).get("Name") for detail in resource.get("Details") or []}
    before, previous = (
        _with_unknown(_parsed(context), names)
        for context in (resource.get("BeforeContext"), resource.get("PreviousDeploymentContext"))
    )
    return {**resource, "Before": before, "Previous": previous, "After": _parsed(resource.get("AfterContext"))}


def _with_unknown(shown: dict[str, object] | None, names: set[str | None]) -> dict[str, object] | None:
    if not shown or not isinstance(properties := shown.get("Properties"), dict):
        return shown
    listed = {name: value for name, value in properties.items() if name in names}
    return shown | {"Properties": properties | json.loads(json.dumps(listed).replace(KNOWN_AFTER_APPLY, UNKNOWN))}


def digest(resource: ResourceChangeWithValues) -> str:
    """Return a hash of the values before and after the update, which does not reveal them.

    Those that are not inspected, because they are too deeply nested, count as text.
    """
    before = resource["Before"] or resource.get("BeforeContext")
    after = resource["After"] or resource.get("AfterContext")
    values = json.dumps([before, after], sort_keys=True)
    return hashlib.sha256(values.encode()).hexdigest()


def _parsed(context: str | None) -> dict[str, object] | None:
    try:
        shown = json.loads(context or "")
    except (ValueError, RecursionError):  # missing, truncated or too deeply nested
        return None
    return shown if isinstance(shown, dict) and not is_too_deeply_nested(shown, MAX_VALUE_LEVELS) else None


def is_too_deep(context: str | None) -> bool:
    """Return whether a context cannot be inspected because of its levels of nesting."""
    try:
        return is_too_deeply_nested(json.loads(context or ""), MAX_VALUE_LEVELS)
    except ValueError:  # missing or truncated
        return False
    except RecursionError:
        return True
