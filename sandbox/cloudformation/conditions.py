"""Conditions that compare the results of intrinsic functions, which MiniStack compares unresolved."""

from collections.abc import Callable
from typing import Any

from ..ministack import cloudformation

Evaluate = Callable[[dict[str, Any], dict[str, Any]], dict[str, bool]]


def install() -> None:
    """Resolve functions before conditions are evaluated."""
    cloudformation.evaluate_conditions.wrap(_resolving)


def _resolving(evaluate: Evaluate) -> Evaluate:
    def evaluate_conditions(template: dict[str, Any], parameters: dict[str, Any]) -> dict[str, bool]:
        resolved = _resolve(template.get("Conditions", {}), template.get("Mappings", {}), parameters)
        return evaluate({**template, "Conditions": resolved}, parameters)

    return evaluate_conditions


def _resolve(value: Any, mappings: dict[str, Any], parameters: dict[str, Any]) -> Any:
    """Resolve the functions that have a value; the logical ones are MiniStack's."""
    if isinstance(value, list):
        return [_resolve(item, mappings, parameters) for item in value]
    if not isinstance(value, dict):
        return value
    if {"Fn::FindInMap", "Fn::Join", "Fn::Select", "Fn::Sub"} & value.keys():
        return cloudformation.resolve_references(value, {}, parameters, {}, mappings, "", "")
    return {key: _resolve(item, mappings, parameters) for key, item in value.items()}
