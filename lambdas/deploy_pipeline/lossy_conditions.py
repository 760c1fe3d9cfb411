"""Conditions under which the change of a property loses data.

CloudFormation returns values as JSON, with numbers and booleans as text. If the value that decides is masked
or known only after the update, a condition raises `HiddenValueError`.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from .nesting import MAX_VALUE_LEVELS, is_too_deeply_nested

KNOWN_AFTER_APPLY = "{{changeSet:KNOWN_AFTER_APPLY}}"
REFERENCE = "{{"  # the start of that, of a dynamic reference, and of an unknown parameter of a nested stack
UNLIMITED = math.inf
DEFAULT_VERSION = "2008-10-17"  # of a policy
MAX_RECOVERY_DAYS = 35  # of a table in DynamoDB, which is also the default
ON = ("true", "enabled", "active")
OFF = ("false", "disabled", "inactive", "suspended")
# The filter of a lifecycle rule of S3; on Outposts it is an object.
SCOPE = ("Filter", "Prefix", "TagFilters", "ObjectSizeGreaterThan", "ObjectSizeLessThan")


class HiddenValueError(ValueError):
    """The value that decides is not visible."""


@dataclass(frozen=True)
class Condition:
    """A condition on the values before and after an update. `shown`: the values are not secret."""

    text: str
    holds: Callable[[object, object], bool]
    shown: bool = False


def _number(value: object) -> float:
    if not isinstance(value, str | int | float):
        raise HiddenValueError
    try:
        number = float(value)
    except ValueError:
        raise HiddenValueError from None
    if math.isnan(number):
        raise HiddenValueError
    return number


def _limit(value: object, unlimited: int) -> float:
    """Return a limit; one number means unlimited."""
    number = _number(value)
    return UNLIMITED if number == unlimited else number


def _object(value: object) -> dict[str, object]:
    value = value or {}
    if not isinstance(value, dict):
        raise HiddenValueError
    return value


def _list(value: object) -> list[object]:
    value = value or []
    if not isinstance(value, list):
        raise HiddenValueError
    return value


def _by_name(value: object, name: str) -> dict[str, dict[str, object]]:
    """Return the objects in a list by their name; AWS does not document which of two with the same name applies.

    The value of a reference can be the same name.
    """
    objects = [_object(item) for item in _list(value)]
    named = {str(item.get(name)): item for item in objects}
    if len(named) < len(objects) or any(REFERENCE in key for key in named):
        raise HiddenValueError
    return named


def _is_on(value: object) -> bool:
    text = str(value).lower()
    if text not in ON + OFF:
        raise HiddenValueError
    return text in ON


def _turns_off(before: object, after: object) -> bool:
    """Return whether something is turned off. None is an unknown default, which may be on before and off after."""
    return (before is None or _is_on(before)) and (after is None or not _is_on(after))


def _expires_by_time(before: object, after: object) -> bool:
    """Return whether items of a table start to expire, or expire by another attribute."""
    before, after = _object(before), _object(after)
    unchanged = _is_on(before.get("Enabled", "false")) and before.get("AttributeName") == after.get("AttributeName")
    return _is_on(after.get("Enabled", "false")) and not unchanged


def _backs_up_less(before: object, after: object) -> bool:
    """Return whether a rule of a backup plan is removed, or changed except to retain longer.

    Adding a rule is safe. It can still stop the others in the same start window: AWS Backup runs only the one with the
    longest retention. Schedules alone do not show which rules overlap, so the documentation states this limit.
    """
    remaining = [_backup_rule(rule) for rule in _list(after)]
    return any(
        not any(rest == rule and longest >= days for rest, longest in remaining)
        for rule, days in map(_backup_rule, _list(before))
    )


def _backup_rule(value: object) -> tuple[dict[str, object], float]:
    """Return a rule without its retention, and the days of retention; -1 means unlimited."""
    rule = _object(value)
    lifecycle = dict(_object(rule.get("Lifecycle")))
    days = _limit(lifecycle.pop("DeleteAfterDays", -1), -1)
    return {**rule, "Lifecycle": lifecycle}, days


def _expires_more_objects(before: object, after: object) -> bool:
    """Return whether a lifecycle rule expires objects that no previous rule with the same filter expired as early."""
    previous = _expirations(before)
    return any(
        not any(days <= new_days and kept <= new_kept for days, kept in previous.get(key, []))
        for key, limits in _expirations(after).items()
        for new_days, new_kept in limits
    )


def _expirations(rules: object) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """Return the limits of all rules, by filter and kind of expiration: days, and newer versions to keep.

    A version expires if it exceeds both limits of one rule, so the limits of several rules cannot be combined.
    """
    limits: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for rule in map(_object, _list(rules)):
        if not _is_on(rule.get("Status")):
            continue
        scope = json.dumps([rule.get(name) for name in SCOPE], sort_keys=True)
        for kind, days, kept in _limits(rule):
            limits.setdefault((scope, kind), []).append((days, kept))
    return limits


def _limits(rule: Mapping[str, object]) -> Iterator[tuple[str, float, float]]:
    if "ExpirationInDays" in rule:
        yield "days", _number(rule["ExpirationInDays"]), 0
    if "ExpirationDate" in rule:
        yield f"date {rule['ExpirationDate']}", 0, 0
    noncurrent = _object(rule.get("NoncurrentVersionExpiration"))
    if "NoncurrentVersionExpirationInDays" in rule:
        if noncurrent:  # AWS does not document which of the two applies
            raise HiddenValueError
        noncurrent = {"NoncurrentDays": rule["NoncurrentVersionExpirationInDays"]}
    if noncurrent:
        kept = _number(noncurrent.get("NewerNoncurrentVersions", 0))
        yield "noncurrent", _number(noncurrent.get("NoncurrentDays", 0)), kept


def _loses_replicas(before: object, after: object) -> bool:
    """Return whether a replica of a table is removed, or loses a protection.

    Protection against disassociation is not one: a disassociated replica remains with its data.
    """
    remaining, previous = (_by_name(replicas, "Region") for replicas in (after, before))
    return any(
        region not in remaining or _loses_protection(replica, remaining[region]) for region, replica in previous.items()
    )


def _loses_protection(before: Mapping[str, object], after: Mapping[str, object]) -> bool:
    policies = (_object(replica.get("ResourcePolicy")).get("PolicyDocument") for replica in (before, after))
    is_protected, remains_protected = (_is_on(r.get("DeletionProtectionEnabled", "false")) for r in (before, after))
    recovery = (replica.get("PointInTimeRecoverySpecification") for replica in (before, after))
    return _recovers_less(*recovery) or (is_protected and not remains_protected) or _drops_deny(*policies)


def _recovers_less(before: object, after: object) -> bool:
    return _recovery_days(after) < _recovery_days(before)


def _recovery_days(specification: object) -> float:
    """Return the days to any point of which a table or replica can be restored."""
    recovery = _object(specification)
    is_on = _is_on(recovery.get("PointInTimeRecoveryEnabled", "false"))
    return _number(recovery.get("RecoveryPeriodInDays", MAX_RECOVERY_DAYS)) if is_on else 0


def _drops_deny(before: object, after: object) -> bool:
    """Return whether a Deny statement is removed or changed."""
    denials = _denials(before)
    remaining = {json.dumps(statement, sort_keys=True) for statement in _denials(after)} if denials else set()
    return any(json.dumps(statement, sort_keys=True) not in remaining for statement in denials)


def _denials(policy: object) -> list[dict[str, object]]:
    """Return the statements that deny, or may, because a dynamic reference decides.

    Those that have policy variables, or may, also have the version, which decides what these mean.
    """
    document = _document(policy)
    statements, version = document.get("Statement") or [], {"Version": document.get("Version", DEFAULT_VERSION)}
    statements = statements if isinstance(statements, list) else [statements]
    denials = [statement for statement in map(_object, statements) if statement.get("Effect") != "Allow"]
    return [statement | version if _has_variable(statement) else statement for statement in denials]


def _has_variable(statement: object) -> bool:
    text = json.dumps(statement)
    return "${" in text or REFERENCE in text


def _document(value: object) -> dict[str, object]:
    """Return an object that can also be written as a JSON text, in which the value of a reference can add fields."""
    if isinstance(value, str):
        if REFERENCE in value:
            raise HiddenValueError
        try:
            value = json.loads(value, object_pairs_hook=_unique)
        except (ValueError, RecursionError):
            raise HiddenValueError from None
        if is_too_deeply_nested(value, MAX_VALUE_LEVELS):
            raise HiddenValueError
    return _object(value)


def _unique(fields: list[tuple[str, object]]) -> dict[str, object]:
    """Return an object; AWS does not document which of two fields with the same name applies."""
    if len(dict(fields)) < len(fields):
        raise ValueError
    return dict(fields)


def _retains_less(before: object, after: object) -> bool:
    strengths = {"Retain": 2, "RetainExceptOnCreate": 2, "Snapshot": 1, "Delete": 0}
    return _strength(strengths, after) < _strength(strengths, before)


def _strength(strengths: Mapping[str, int], value: object) -> int:
    if not isinstance(value, str) or value not in strengths:
        raise HiddenValueError
    return strengths[value]


def _archives_less(before: object, after: object) -> bool:
    """Return whether a topic's archive is removed, or keeps messages for fewer days."""
    first, second = (_number(_document(value).get("MessageRetentionPeriod", 0)) for value in (before, after))
    return second < first


def _locks_less(before: object, after: object) -> bool:
    """Return whether new objects are locked for fewer days, or in a mode that allows more callers to delete them."""
    old, new = _default_retention(before), _default_retention(after)
    holds = (_object(retention.get("DefaultEventHold")) for retention in (old, new))
    return _lock_mode(new) < _lock_mode(old) or _is_shorter(old, new) or _is_shorter(*holds)


def _default_retention(lock: object) -> dict[str, object]:
    return _object(_object(_object(lock).get("Rule")).get("DefaultRetention"))


def _lock_mode(retention: Mapping[str, object]) -> int:
    return _strength({"": 0, "GOVERNANCE": 1, "COMPLIANCE": 2}, retention.get("Mode") or "")


def _is_shorter(before: Mapping[str, object], after: Mapping[str, object]) -> bool:
    """Compare periods in days or years. AWS does not document whether a year has 365 days or can have 366."""
    if "Years" in before and "Years" in after:
        return _number(after["Years"]) < _number(before["Years"])
    old, new = (_number(period.get("Years", 0)) * days for period, days in ((before, 366), (after, 365)))
    return _number(after.get("Days", 0)) + new < _number(before.get("Days", 0)) + old


def _turns_off_protection(before: object, after: object) -> bool:
    return _is_protected(before) and not _is_protected(after)


def _is_protected(attributes: object) -> bool:
    """Return whether a load balancer has the attribute ``deletion_protection.enabled``."""
    attribute = _by_name(attributes, "Key").get("deletion_protection.enabled", {"Value": "false"})
    return _is_on(attribute.get("Value"))


def other_than(value: str) -> Condition:
    """Return the condition of a property with only one value that protects."""
    return Condition(f"is changed, but not to `{value}`", lambda _, after: after != value)


def _is_more_mutable(before: object, after: object) -> bool:
    """Compare the modes; the filters of one with exclusions name the tags that those of the other leave alone."""
    strengths = {"IMMUTABLE": 2, "IMMUTABLE_WITH_EXCLUSION": 1, "MUTABLE_WITH_EXCLUSION": 1, "MUTABLE": 0}
    old, new = _strength(strengths, before), _strength(strengths, after)
    return new < old or (new == old and before != after)


LOWERED = Condition("is lowered", lambda before, after: _number(after) < _number(before), shown=True)
RAISED = Condition("is raised or removed", lambda before, after: _number(after) > _number(before), shown=True)
SHORTENED = Condition(
    "is lowered (0 means unlimited)", lambda before, after: _limit(after, 0) < _limit(before, 0), shown=True
)
SHORTER_SNAPSHOTS = Condition(
    "is lowered (-1 means unlimited)", lambda before, after: _limit(after, -1) < _limit(before, -1), shown=True
)
TURNED_OFF = Condition("is turned off", _turns_off)
TURNED_ON = Condition("is turned on", lambda before, after: _is_on(after) and not _is_on(before))
RECOVERY = Condition("is turned off, or its days are lowered", _recovers_less)
BACKUPS = Condition("loses a rule, or changes one except to retain longer", _backs_up_less)
CHANGED = Condition("is set, changed or removed", lambda before, after: bool(before != after))
CHANGED_OR_REMOVED = Condition("is changed or removed", lambda before, after: bool(before) and before != after)
CHANGED_ONLY = Condition("is changed", lambda before, after: bool(before and after) and before != after)
ARCHIVE = Condition("is removed, or its retention is lowered", _archives_less)
OBJECT_LOCK = Condition("is removed, or has a weaker mode or a shorter period", _locks_less)
ATTRIBUTE_OFF = Condition("turns off `deletion_protection.enabled`", _turns_off_protection)
OVERWRITABLE = Condition("allows more tags to be overwritten", _is_more_mutable)
WEAKENED = Condition("retains or snapshots less", _retains_less, shown=True)
REMOVED = Condition("is removed", lambda before, after: bool(before) and not after)
SET = Condition("is set or changed", lambda _, after: bool(after))
EXPIRY = Condition("is enabled, or uses another attribute", _expires_by_time)
LIFECYCLE = Condition("has a new or earlier expiration", _expires_more_objects)
REPLICAS = Condition(
    "loses a replica, or one's protection against deletion, recoverable days or a `Deny` statement of `ResourcePolicy`",
    _loses_replicas,
)
DENY = Condition("loses or changes a `Deny` statement", _drops_deny)
