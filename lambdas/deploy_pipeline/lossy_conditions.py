"""Conditions under which the change of a property loses data.

CloudFormation returns values as JSON, with numbers and booleans as text. If the value that decides is masked
or known only after the update, a condition raises `HiddenValueError`.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .nesting import MAX_VALUE_LEVELS, is_too_deeply_nested

KNOWN_AFTER_APPLY = "{{changeSet:KNOWN_AFTER_APPLY}}"
REFERENCE = "{{"  # the start of that, of a dynamic reference, and of an unknown parameter of a nested stack
UNLIMITED = math.inf
DEFAULT_VERSION = "2008-10-17"  # of a policy
ON = ("true", "enabled", "active")
OFF = ("false", "disabled", "inactive", "suspended")
# Of a replica of a table; all other fields protect its data, or who can read it.
REPLICA_SETTINGS = (
    "ContributorInsightsSpecification", "GlobalSecondaryIndexes", "ReadOnDemandThroughputSettings",
    "ReadProvisionedThroughputSettings", "TableClass", "Tags",
)  # fmt: skip


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


def _expires_more_objects(before: object, after: object) -> bool:
    """Return whether a lifecycle rule that can expire objects or versions is added or changed."""
    previous = _list(before)
    return any(rule not in previous for rule in map(_object, _list(after)) if _can_expire(rule))


def _can_expire(rule: Mapping[str, object]) -> bool:
    return rule.get("Status") != "Disabled" and any("Expiration" in name for name in rule)


def _loses_replicas(before: object, after: object) -> bool:
    """Return whether a replica of a table is removed or, except for its `REPLICA_SETTINGS`, changed."""
    previous, remaining = (_by_name(replicas, "Region") for replicas in (before, after))
    return any(
        region not in remaining or _without_settings(replica) != _without_settings(remaining[region])
        for region, replica in previous.items()
    )


def _without_settings(replica: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in replica.items() if name not in REPLICA_SETTINGS}


def _drops_deny(before: object, after: object) -> bool:
    """Return whether a Deny statement is removed or changed."""
    denials = _denials(before)
    return bool(denials) and not denials <= _denials(after)


def _denials(policy: object) -> set[str]:
    """Return the statements that deny, or may, because a dynamic reference decides; each as JSON.

    Those that have policy variables, or may, also have the version, which decides what these mean.
    """
    document = _document(policy)
    statements, version = document.get("Statement") or [], {"Version": document.get("Version", DEFAULT_VERSION)}
    statements = statements if isinstance(statements, list) else [statements]
    denials = [statement for statement in map(_object, statements) if statement.get("Effect") != "Allow"]
    return {json.dumps(item | version if _has_variable(item) else item, sort_keys=True) for item in denials}


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


def _turns_off_protection(before: object, after: object) -> bool:
    return _is_protected(before) and not _is_protected(after)


def _is_protected(attributes: object) -> bool:
    """Return whether a load balancer has the attribute ``deletion_protection.enabled``."""
    attribute = _by_name(attributes, "Key").get("deletion_protection.enabled", {"Value": "false"})
    return _is_on(attribute.get("Value"))


def other_than(value: str) -> Condition:
    """Return the condition of a property with only one value that protects."""
    return Condition(f"is changed, but not to `{value}`", lambda _, after: after != value)


CHANGED = Condition("is set, changed or removed", lambda before, after: bool(before != after))
CHANGED_OR_REMOVED = Condition("is changed or removed", lambda before, after: bool(before) and before != after)
SET = Condition("is set or changed", lambda _, after: bool(after))
LOWERED = Condition("is lowered", lambda before, after: _number(after) < _number(before), shown=True)
TURNED_OFF = Condition("is turned off or removed", lambda _, after: after is None or not _is_on(after))
TURNED_ON = Condition("is turned on or removed", lambda _, after: after is None or _is_on(after))
WEAKENED = Condition("retains or snapshots less", _retains_less, shown=True)
ATTRIBUTE_OFF = Condition("turns off `deletion_protection.enabled`", _turns_off_protection)
EXPIRY = Condition(
    "is enabled, or uses another attribute", lambda _, after: _is_on(_object(after).get("Enabled", "false"))
)
LIFECYCLE = Condition("has a new or changed rule with an expiration", _expires_more_objects)
REPLICAS = Condition(
    "loses a replica, or changes one except for its capacity, contributor insights, indexes, table class or tags",
    _loses_replicas,
)
DENY = Condition("loses or changes a `Deny` statement", _drops_deny)
