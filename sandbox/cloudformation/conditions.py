"""Conditions that compare the results of intrinsic functions, which MiniStack compares unresolved."""

from typing import Any

from ministack.services.cloudformation import changesets, engine, handlers, stacks


def install() -> None:
    """Resolve functions before conditions are evaluated."""
    evaluate = engine._evaluate_conditions

    def evaluate_conditions(template: dict[str, Any], parameters: dict[str, Any]) -> dict[str, bool]:
        resolved = _resolve(template.get("Conditions", {}), template.get("Mappings", {}), parameters)
        evaluated: dict[str, bool] = evaluate({**template, "Conditions": resolved}, parameters)
        return evaluated

    for module in (engine, handlers, changesets, stacks):
        module._evaluate_conditions = evaluate_conditions


def _resolve(value: Any, mappings: dict[str, Any], parameters: dict[str, Any]) -> Any:
    """Resolve the functions that have a value; the logical ones are MiniStack's."""
    if isinstance(value, list):
        return [_resolve(item, mappings, parameters) for item in value]
    if not isinstance(value, dict):
        return value
    if {"Fn::FindInMap", "Fn::Join", "Fn::Select", "Fn::Sub"} & value.keys():
        return engine._resolve_refs(value, {}, parameters, {}, mappings, "", "")
    return {key: _resolve(item, mappings, parameters) for key, item in value.items()}
