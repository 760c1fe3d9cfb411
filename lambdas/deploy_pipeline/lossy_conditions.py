"""Conditions under which the change of a property loses data.

CloudFormation returns values as JSON, with numbers and booleans as text. If the value that decides is masked
or known only after the update, a condition raises `HiddenValueError`.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .nesting import MAX_VALUE_LEVELS, is_too_deeply_nested

KNOWN_AFTER_APPLY = "{{changeSet:KNOWN_AFTER_APPLY}}"
UNLIMITED = math.inf
ON = ("true", "enabled", "active")
OFF = ("false", "disabled", "inactive", "suspended")
# The filter of an S3 lifecycle rule.
SCOPE = ("Prefix", "TagFilters", "ObjectSizeGreaterThan", "ObjectSizeLessThan")


class HiddenValueError(ValueError):
    """The value that decides is not visible."""


@dataclass(frozen=True)
class Condition:
    """A condition on the values before and after an update. `shown`: the values are not secret."""

    text: str
    holds: Callable[[Any, Any], bool]
    shown: bool = False


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise HiddenValueError from None
    if math.isnan(number):
        raise HiddenValueError
    return number


def _days(value: Any) -> float:
    """Return a number of days; 0 means unlimited."""
    return _number(value) or UNLIMITED


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value or {}, dict):
        raise HiddenValueError
    return value or {}


def _is_on(value: Any) -> bool:
    text = str(value).lower()
    if text not in ON + OFF:
        raise HiddenValueError
    return text in ON


def _expires_by_time(before: Any, after: Any) -> bool:
    """Return whether items of a table start to expire, or expire by another attribute."""
    before, after = _object(before), _object(after)
    unchanged = _is_on(before.get("Enabled", "false")) and before.get("AttributeName") == after.get("AttributeName")
    return _is_on(after.get("Enabled", "false")) and not unchanged


def _expires_more_objects(before: Any, after: Any) -> bool:
    """Return whether a lifecycle rule expires objects earlier than any previous rule with the same filter."""
    limits = _expirations(before)
    return any(days < limits.get(key, UNLIMITED) for key, days in _expirations(after).items())


def _expirations(rules: Any) -> dict[tuple[str, str], float]:
    """Return the lowest limit of days or versions, by filter and kind of expiration."""
    limits: dict[tuple[str, str], float] = {}
    if not isinstance(rules or [], list):
        raise HiddenValueError
    for rule in map(_object, rules or []):
        if not _is_on(rule.get("Status")):
            continue
        scope = json.dumps([rule.get(name) for name in SCOPE], sort_keys=True)
        for kind, number in _limits(rule):
            limits[scope, kind] = min(number, limits.get((scope, kind), UNLIMITED))
    return limits


def _limits(rule: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    if "ExpirationInDays" in rule:
        yield "days", _number(rule["ExpirationInDays"])
    if "ExpirationDate" in rule:
        yield f"date {rule['ExpirationDate']}", 0
    noncurrent = _object(rule.get("NoncurrentVersionExpiration"))
    if "NoncurrentVersionExpirationInDays" in rule:
        noncurrent = {"NoncurrentDays": rule["NoncurrentVersionExpirationInDays"]}
    if noncurrent:
        yield "noncurrent days", _number(noncurrent.get("NoncurrentDays", 0))
        yield "noncurrent versions", _number(noncurrent.get("NewerNoncurrentVersions", 0))


def _loses_replicas(before: Any, after: Any) -> bool:
    """Return whether a replica of a table is removed, or loses a protection."""
    if not isinstance(before or [], list) or not isinstance(after or [], list):
        raise HiddenValueError
    remaining = {replica.get("Region"): _protections(replica) for replica in map(_object, after or [])}
    return any(
        not _protections(replica) <= remaining.get(replica.get("Region"), set())
        or replica.get("Region") not in remaining
        for replica in map(_object, before or [])
    )


def _protections(replica: Mapping[str, Any]) -> set[str]:
    recovery = _object(replica.get("PointInTimeRecoverySpecification"))
    values = {
        "deletion": replica.get("DeletionProtectionEnabled", "false"),
        "recovery": recovery.get("PointInTimeRecoveryEnabled", "false"),
    }
    return {name for name, value in values.items() if _is_on(value)}


def _drops_deny(before: Any, after: Any) -> bool:
    """Return whether a Deny statement is removed or changed.

    Statements with values that are known only after the update are compared in order. Only their resources can have
    such values: any other value could be one that denies nothing.
    """
    remaining = [json.dumps(statement, sort_keys=True) for statement in _denials(after)]
    exact, later = set(remaining), [json.loads(text) for text in remaining if KNOWN_AFTER_APPLY in text]
    missing = [statement for statement in _denials(before) if json.dumps(statement, sort_keys=True) not in exact]
    return len(missing) > len(later) or not all(map(_alike, missing, later))


def _denials(policy: Any) -> list[dict[str, Any]]:
    if isinstance(policy, str):
        try:
            policy = json.loads(policy)
        except (ValueError, RecursionError):
            raise HiddenValueError from None
        if is_too_deeply_nested(policy, MAX_VALUE_LEVELS):
            raise HiddenValueError
    statements = _object(policy).get("Statement") or []
    statements = statements if isinstance(statements, list) else [statements]
    return [statement for statement in map(_object, statements) if statement.get("Effect") == "Deny"]


def _alike(before: Any, after: Any) -> bool:
    if isinstance(before, dict) and isinstance(after, dict):
        return before.keys() == after.keys() and all(
            _alike(before[key], after[key]) if key in ("Resource", "NotResource") else before[key] == after[key]
            for key in before
        )
    if isinstance(before, list) and isinstance(after, list):
        return len(before) == len(after) and all(map(_alike, before, after))
    return bool(before == after) or (isinstance(after, str) and KNOWN_AFTER_APPLY in after)


def _retains_less(before: Any, after: Any) -> bool:
    strength = {"Retain": 2, "RetainExceptOnCreate": 2, "Snapshot": 1, "Delete": 0}
    if before not in strength or after not in strength:
        raise HiddenValueError
    return strength[after] < strength[before]


LOWERED = Condition("is lowered", lambda before, after: _number(after) < _number(before), shown=True)
SHORTENED = Condition("is lowered (0 means unlimited)", lambda before, after: _days(after) < _days(before), shown=True)
TURNED_OFF = Condition("is turned off", lambda before, after: _is_on(before) and not _is_on(after))
WEAKENED = Condition("retains or snapshots less", _retains_less, shown=True)
REMOVED = Condition("is removed", lambda before, after: bool(before) and not after)
SET = Condition("is set or changed", lambda _, after: bool(after))
EXPIRY = Condition("is enabled, or uses another attribute", _expires_by_time)
LIFECYCLE = Condition("has a new or earlier expiration", _expires_more_objects)
REPLICAS = Condition("loses a replica, or a protection of one", _loses_replicas)
DENY = Condition("loses or changes a `Deny` statement", _drops_deny)
