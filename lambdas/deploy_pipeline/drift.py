"""Drift that a change set overwrites: changes that somebody made to resources outside CloudFormation.

Only a change set with the deployment mode REVERT_DRIFT compares the actual state of resources. Its execution brings
all of them in line with the template, including those that the template does not change.
"""

import json
from collections.abc import Iterator

from .api_types import ResourceChangeWithValues, ResourceTargetDefinition
from .property_values import ABSENT, SECRET_NAME, property_value, shown_value

SYNC = "SyncWithActual"  # the template is brought in line with the resource instead
OUTSIDE = "outside CloudFormation"


def drift(resource: ResourceChangeWithValues) -> Iterator[str]:
    """Return what was changed outside CloudFormation and is overwritten; nothing for other change sets."""
    status, action = resource.get("ResourceDriftStatus"), resource.get("Action")
    if status == "UNKNOWN":
        yield f"it is unknown whether it was changed {OUTSIDE}"
    if status == "DELETED" and action == "Add":
        yield f"it was deleted {OUTSIDE}, and is created again"
    if status != "MODIFIED" or action in ("Remove", SYNC):
        return
    details = resource.get("DetailsWithValues") or resource.get("Details") or []
    drifted = [target for detail in details if "Drift" in (target := detail.get("Target") or {})]
    if not drifted:
        yield f"it was changed {OUTSIDE}; the change set does not list how"
    for target in drifted:
        if target.get("AttributeChangeType") != SYNC:
            yield _overwritten(resource, target)


def _overwritten(resource: ResourceChangeWithValues, target: ResourceTargetDefinition) -> str:
    name = str(target.get("Name") or target.get("Attribute") or "?")
    path = target.get("Path", "").removeprefix("/Properties/") or name
    values = _values(resource, target, name) if path == name else [None]
    if None in values:
        return f"{path} was changed {OUTSIDE}, and is overwritten"
    deployed, actual, new = values
    return f"{path} was changed from {deployed} to {actual} {OUTSIDE}, and is set to {new}"


def _values(resource: ResourceChangeWithValues, target: ResourceTargetDefinition, name: str) -> list[str | None]:
    """Return the deployed, the actual and the new value of a property; None instead of one that must not be shown."""
    if SECRET_NAME.search(name) or resource["After"] is None:
        return [None]
    recorded = target["Drift"]
    new = property_value(resource["After"], name)
    shown = [shown_value(_decoded(recorded.get(key, ABSENT))) for key in ("PreviousValue", "ActualValue")]
    return [*shown, "its default" if new is ABSENT else shown_value(new)]


def _decoded(value: object) -> object:
    """Return the object or list in a JSON text; other values unchanged."""
    try:
        decoded = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return value
    return decoded if isinstance(decoded, dict | list) else value
