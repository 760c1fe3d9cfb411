"""Conditions of policy statements: operators, set operators and ``...IfExists``."""

import operator
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any

Values = list[str]


class UnsupportedPolicyError(Exception):
    """A policy uses a feature that this evaluator does not implement."""


def as_list(value: Any) -> list[Any]:
    """Return a value of a policy as a list; a single value needs no list."""
    return value if isinstance(value, list) else [value]


@lru_cache(maxsize=10_000)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(re.escape(text).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)


def wildcard_matches(pattern: str, value: str) -> bool:
    """Match a pattern in which ``*`` is any text and ``?`` is one character."""
    return bool(_pattern(pattern).fullmatch(value))


def _arn_like(pattern: str, value: str) -> bool:
    expected, parts = pattern.split(":", 5), value.split(":", 5)
    return len(expected) == len(parts) == 6 and all(map(wildcard_matches, expected, parts))


def _ignoring_case(expected: str, value: str) -> bool:
    return expected.lower() == value.lower()


def _number(compare: Callable[[float, float], bool]) -> Callable[[str, str], bool]:
    return lambda expected, value: compare(float(value), float(expected))


# Functions of the expected value and the value of the request. NEGATED operators use these.
OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": operator.eq,
    "StringEqualsIgnoreCase": _ignoring_case,
    "StringLike": wildcard_matches,
    "ArnEquals": _arn_like,
    "ArnLike": _arn_like,
    "Bool": _ignoring_case,
    "IpAddress": lambda network, value: ip_address(value) in ip_network(network, strict=False),
    "NumericEquals": _number(operator.eq),
    "NumericLessThan": _number(operator.lt),
    "NumericLessThanEquals": _number(operator.le),
    "NumericGreaterThan": _number(operator.gt),
    "NumericGreaterThanEquals": _number(operator.ge),
}
NEGATED = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "NotIpAddress": "IpAddress",
    "NumericNotEquals": "NumericEquals",
}


def condition_holds(condition: Mapping[str, Any], context: Mapping[str, str | list[str]]) -> bool:
    """Return whether all keys of all operators match. Key names are case-insensitive."""
    values = {key.lower(): as_list(value) for key, value in context.items()}
    return all(
        _key_holds(name, [_text(value) for value in as_list(expected)], values.get(key.lower()))
        for name, keys in condition.items()
        for key, expected in keys.items()
    )


def _text(value: Any) -> str:
    """Convert a value to text; policies can have booleans and numbers without quotes."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if "${" in text:
        raise UnsupportedPolicyError(f"policy variable in {text}")
    return text


def _key_holds(name: str, expected: Values, values: Values | None) -> bool:
    """Evaluate one key. `values` are those of the request, or None if the request does not have the key."""
    qualifier, _, name = name.rpartition(":")
    if name == "Null":
        return (values is None) == (expected == ["true"])
    if_exists = name.endswith("IfExists")
    name = name.removesuffix("IfExists")
    negated = name in NEGATED
    compare = OPERATORS.get(NEGATED.get(name, name))
    if compare is None or qualifier not in ("", "ForAllValues", "ForAnyValue"):
        raise UnsupportedPolicyError(f"condition operator {qualifier}:{name}".replace("operator :", "operator "))
    if values is None:
        return if_exists or (qualifier == "ForAllValues") or (negated and not qualifier)
    if not qualifier and len(values) != 1:
        raise UnsupportedPolicyError(f"{name} without ForAllValues or ForAnyValue for the values {values}")
    results = [any(compare(text, value) for text in expected) != negated for value in values]
    return any(results) if qualifier == "ForAnyValue" else all(results)
