"""Updates in place that lose data or remove a protection, as the rows of `LOSSY_CHANGES` find them.

Reasons contain only numbers and names of policies, because other values can be secret.
"""

import json
from collections.abc import Iterable, Iterator

from .api_types import ResourceChangeWithValues, ResourceTargetDefinition
from .contexts import MASK, TRUNCATED, UNKNOWN, is_too_deep
from .drift import SYNC
from .dynamic_references import UNRESOLVED, with_unknown_values
from .identity_sources import unpredictable
from .lossy_changes import ANY_TYPE, LOSSY_CHANGES, POLICY_ATTRIBUTES, LossyChange
from .lossy_conditions import KNOWN_AFTER_APPLY, UNLIMITED, HiddenValueError
from .nesting import MAX_VALUE_LEVELS

HIDDEN = object()
# Deleted with a snapshot by default, except an instance of a cluster.
CLUSTER, INSTANCE, CLUSTER_ID = "AWS::RDS::DBCluster", "AWS::RDS::DBInstance", "DBClusterIdentifier"


def losses(resource: ResourceChangeWithValues) -> Iterator[str]:
    """Return a reason for each row of the table that an update in place matches. The resource is one `with_values`.

    Its details are those of values that may change. If only CloudFormation's record of the resource changes, its
    deletion policy can be weaker, but no property changes.
    """
    before, previous, after = resource["Before"], resource["Previous"], resource["After"]
    contexts = resource.get("BeforeContext"), resource.get("PreviousDeploymentContext"), resource.get("AfterContext")
    shown = zip((before, previous, after), contexts, strict=True)
    if any(value is None and is_too_deep(context) for value, context in shown):
        yield f"its values have more than {MAX_VALUE_LEVELS} levels of nesting, so they are not inspected"
        return
    types = (ANY_TYPE,) if resource.get("Action") == SYNC else (ANY_TYPE, resource.get("ResourceType"))
    rows = [row for row in LOSSY_CHANGES if row.type in types]
    reasons: list[str] = []
    if previous:  # the actual state lacks policies, and properties that cannot be read
        missing = [row for row in rows if _value(before, row.steps, None) is None]
        reasons += _losses({**resource, "Before": previous}, missing)
        rows = [row for row in rows if row not in missing or row.path not in POLICY_ATTRIBUTES]
    reasons += _losses(resource, rows)
    yield from dict.fromkeys(reasons)


def _losses(resource: ResourceChangeWithValues, rows: Iterable[LossyChange]) -> Iterator[str]:
    before, after = resource["Before"], resource["After"]
    changed = {name for detail in resource.get("Details") or [] for name in _names(detail.get("Target") or {})}
    unknown, is_drifted = unpredictable(resource), resource.get("ResourceDriftStatus") == "MODIFIED"
    for row in rows:
        if "UpdatePolicy" in unknown or not _allows(after, row.unless):
            default = _default(row, resource)
            name = row.path.split(".")[0]
            new = KNOWN_AFTER_APPLY if name in unknown else _value(after, row.steps, default)
            old, listed = _value(before, row.steps, default), is_drifted or name in changed
            other = with_unknown_values(new, listed=name in changed)
            yield from _evaluate(row, old, new, other, listed=listed)


def _default(row: LossyChange, resource: ResourceChangeWithValues) -> object:
    shown = (resource["Before"] or {}).get("Properties")
    is_member = resource.get("ResourceType") == INSTANCE and isinstance(shown, dict) and shown.get(CLUSTER_ID)
    is_snapshot = resource.get("ResourceType") in (CLUSTER, INSTANCE) and not is_member
    return "Snapshot" if row.path == "DeletionPolicy" and is_snapshot else row.default


def _allows(after: object, update_policy: str) -> bool:
    return bool(update_policy) and str(_value(after, ["UpdatePolicy", update_policy], "")).lower() == "true"


def _names(target: ResourceTargetDefinition) -> Iterator[str]:
    yield str(target.get("Attribute"))
    yield str(target.get("Name"))


def _value(shown: object, steps: list[str], default: object) -> object:
    for step in steps:
        if not isinstance(shown, dict):
            return shown if str(shown).startswith(MASK) else HIDDEN
        if step not in shown:
            return default
        shown = shown[step]
    return shown


def _evaluate(row: LossyChange, before: object, after: object, other: object, *, listed: bool) -> Iterator[str]:
    """Return the reason, if the change is unsafe.

    other: the new value if its references differ from the previous ones. listed: a detail lists the property, or the
    resource drifted.
    """
    if reason := _lost(row, before, after, listed=listed):
        yield reason
    elif other != after and _lost(row, before, other, listed=listed):
        yield f"{row.path} has {UNRESOLVED}, so its new value is not visible"
    elif isinstance(after, str) and after.startswith(MASK):  # it can be a dynamic reference
        yield f"{row.path} is masked, so its new value is not visible"


def _lost(row: LossyChange, before: object, after: object, *, listed: bool) -> str:
    hidden = HIDDEN in (before, after) or any(mark in json.dumps([before, after]) for mark in (MASK, TRUNCATED))
    hidden = hidden or UNKNOWN in json.dumps(after)  # written in the template
    if before == after and not (listed and hidden):
        return ""
    try:
        if hidden:
            raise HiddenValueError
        lossy = row.condition.holds(before, after)
    except HiddenValueError:
        visible = not hidden and KNOWN_AFTER_APPLY not in (before, after)
        cause = "default is unknown" if visible and None in (before, after) else "values are not visible"
        return f"{row.path} changes, but its {cause}"
    values = f" {_shown(before)} -> {_shown(after)} {row.unit}".rstrip() if row.condition.shown else ""
    return f"{row.path}{values or ' ' + row.condition.text}: {row.reason}" if lossy else ""


def _shown(value: object) -> str:
    return "unlimited" if value == UNLIMITED else str(value)
