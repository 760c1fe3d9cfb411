"""Find the unsafe changes of a change set.

A change is unsafe if it deletes or replaces a resource, loses its data (`losses`), attaches a policy
to a resource outside the stack, or may do so. Unknown values are unsafe.

CloudFormation reports the replacement "Conditional" for a resource with a create-only property that refers to
another resource that changes, such as a subscription whose endpoint is the ARN of a queue with a new timeout.
If the other resource is not replaced, the attributes that identify it stay the same, and this resource is not
replaced.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self, TypedDict

from .api_types import Change, ResourceChangeDetail, ResourceChangeWithValues
from .contexts import digest, with_values
from .drift import SYNC, drift
from .dynamic_references import UNRESOLVED, in_create_only, unresolved
from .identity_sources import Sources, identity_source, sources
from .losses import losses
from .policy_targets import outside_target, remaining_types
from .property_values import shown_change
from .revisions import is_superseded, new_revisions

ALWAYS_SAFE_TYPES = frozenset({"AWS::CDK::Metadata"})  # describes the version of CDK; it is not an AWS resource
DRIFT = ("ignore", "revert", "reject")
SAFE_ACTIONS = ("Add", "Modify", "Import", "SyncWithActual")
SYNCHRONIZED = "synchronized with actual state"  # only CloudFormation's record of the resource changes
EFFECTS = (
    "removed", "replaced", "may be replaced", "loses data or protection", "changed", "added", "imported", SYNCHRONIZED
)  # fmt: skip
ACTION_EFFECTS = {"Add": "added", "Import": "imported", "Remove": "removed", "SyncWithActual": SYNCHRONIZED}
UPDATES = ("Modify", "Dynamic")
NESTED_INSPECTED = ("Add", *UPDATES)  # an added nested stack can attach policies to resources outside the stack
# Attributes of a resource that are not properties; changing them never replaces it.
NON_PROPERTY_ATTRIBUTES = ("Metadata", "CreationPolicy", "UpdatePolicy", "DeletionPolicy", "UpdateReplacePolicy")
NESTED = "AWS::CloudFormation::Stack"
# By ``PolicyAction``. A retained resource still exists, but the stack no longer manages it.
REMOVALS = {
    "Delete": "it is deleted",
    "Retain": "it is retained, but no longer part of the stack",
    "Snapshot": "it is deleted after a snapshot",
}
REPLACEMENTS = {
    "ReplaceAndDelete": "",
    "ReplaceAndRetain": "; the old one is retained, but no longer part of the stack",
    "ReplaceAndSnapshot": "; the old one is deleted after a snapshot",
}
# The ids of these types can change without a replacement: a custom resource's provider can return a new id,
# and the id of a job definition contains its revision.
CUSTOM = ("Custom::", "AWS::CloudFormation::CustomResource")
UNSTABLE_ID_TYPES = (*CUSTOM, "AWS::Batch::JobDefinition")


@dataclass(frozen=True)
class Lookups:
    """Facts that a change set does not contain.

    physical_ids: type and id of all resources of the stack and its nested stacks.
    create_only: JSON pointers to the create-only properties of a type; None if unknown.
    """

    physical_ids: Callable[[], frozenset[tuple[str, str]]] = frozenset
    create_only: Callable[[str], tuple[str, ...] | None] = lambda _: None


class PolicyFields(TypedDict):
    """A `Policy` in the form in which the state machine passes it."""

    exempt_types: list[str]
    exempt_logical_ids: list[str]
    conditional: bool
    dynamic: bool
    revisions: bool
    drift: str


@dataclass(frozen=True)
class Policy:
    """Exemptions from the inspection.

    exempt_logical_ids: resources of nested stacks have a path, such as ``Child/Queue``.
    conditional, dynamic: accept changes whose effect CloudFormation cannot predict.
    revisions: accept that revisions are removed or replaced if a new one supersedes them.
    drift: whether changes made outside CloudFormation are compared and reverted, one of `DRIFT`.
    """

    exempt_types: frozenset[str] = ALWAYS_SAFE_TYPES
    exempt_logical_ids: frozenset[str] = frozenset()
    conditional: bool = False
    dynamic: bool = False
    revisions: bool = True
    drift: str = DRIFT[0]

    def as_json(self) -> PolicyFields:
        """Return the policy in the form in which the state machine passes it."""
        return {
            "exempt_types": sorted(self.exempt_types),
            "exempt_logical_ids": sorted(self.exempt_logical_ids),
            "conditional": self.conditional,
            "dynamic": self.dynamic,
            "revisions": self.revisions,
            "drift": self.drift,
        }

    @classmethod
    def from_json(cls, value: PolicyFields) -> Self:
        """Parse the result of `as_json`."""
        types, ids = frozenset(value["exempt_types"]), frozenset(value["exempt_logical_ids"])
        return cls(types, ids, value["conditional"], value["dynamic"], value["revisions"], value["drift"])

    def exemptions(self) -> list[str]:
        """Describe each exemption; empty with the default policy."""
        parts = [f"resources {', '.join(sorted(self.exempt_logical_ids))}"] if self.exempt_logical_ids else []
        if types := self.exempt_types - ALWAYS_SAFE_TYPES:
            parts.append(f"types {', '.join(sorted(types))}")
        parts += ["conditional replacements"] if self.conditional else []
        parts += ["dynamic changes"] if self.dynamic else []
        return parts


STRICT = Policy(revisions=False)


@dataclass(frozen=True)
class Violation:
    """An unsafe change and its reason. `logical_id` starts with the path of the nested stack.

    values: a hash of the resource's values before and after the update, most of which the reason does not contain.
    """

    logical_id: str
    physical_id: str
    type: str
    action: str
    why: str
    values: str

    def __str__(self) -> str:
        return f"{self.logical_id} ({self.type}), {self.action}: {self.why}"


@dataclass(frozen=True)
class Finding:
    """A change, its effect, and the reasons why it is unsafe; no reasons if it is safe.

    effect: one of `EFFECTS`. accepted: why an unsafe change is accepted nevertheless; empty if it is not.
    properties: the properties that change, with their values. values: as in `Violation`.
    drift: the changes outside CloudFormation that are overwritten.
    """

    logical_id: str
    physical_id: str
    type: str
    action: str
    effect: str
    why: str
    accepted: str
    properties: str
    values: str
    drift: str

    @property
    def violation(self) -> Violation | None:
        if not self.why or self.accepted:
            return None
        return Violation(self.logical_id, self.physical_id, self.type, self.action, self.why, self.values)


def findings(
    changes: Iterable[Change], policy: Policy, path: str = "", lookups: Lookups | None = None
) -> Iterator[Finding]:
    """Return a finding for each of all changes to one stack, each a ``Change`` of DescribeChangeSet.

    path: that of a nested stack, which ends with a slash.
    """
    changes = list(changes)
    resources = [with_values(change.get("ResourceChange") or {}) for change in changes]
    value_sources, types = sources(resources), remaining_types(changes)
    lookups = lookups or Lookups()
    inspected = [
        _Inspected.of(change.get("Type", "Resource"), resource, lookups, value_sources)
        for change, resource in zip(changes, resources, strict=True)
    ]
    retained = _retained_ids(inspected)
    new = new_revisions(item.resource for item in inspected)
    for item in inspected:
        kind, logical_id = item.resource.get("ResourceType", "?"), path + item.logical_id
        superseded = policy.revisions and is_superseded(item.resource, new)
        in_place = _in_place_reasons(item.with_changing_values(retained), lookups, types)
        why, accepted = _join(_reasons(item, policy, retained, in_place, superseded=superseded)), ""
        if not why and (why := _join(_reasons(item, STRICT, retained, in_place, superseded=False))):
            accepted = "superseded revision" if superseded else "policy"
        if why and (kind in policy.exempt_types or logical_id in policy.exempt_logical_ids):
            accepted = "exempt type" if kind in policy.exempt_types else "exempt resource"
        drifted = _join(drift(item.resource))
        effect = _effect(item, retained, is_safe=why in ("", drifted))
        action, properties = item.resource.get("Action", "?"), _changed_properties(item.resource)
        physical_id = item.resource.get("PhysicalResourceId", "")
        values = digest(item.resource)
        yield Finding(logical_id, physical_id, kind, action, effect, why, accepted, properties, values, drifted)


def _join(reasons: Iterable[str]) -> str:
    return "; ".join(filter(None, reasons))


def _effect(item: "_Inspected", retained: set[str], *, is_safe: bool) -> str:
    action = item.resource.get("Action", "?")
    if action in ACTION_EFFECTS:
        return ACTION_EFFECTS[action]
    if is_safe:
        return "changed"
    why = _removed_or_replaced(item, STRICT, retained)
    return "replaced" if why.startswith("it is replaced") else "may be replaced" if why else "loses data or protection"


def _changed_properties(resource: ResourceChangeWithValues) -> str:
    names = set(map(_name, resource.get("Details") or []))
    return ", ".join(f"{name}{shown_change(resource, name)}" for name in sorted(names))


@dataclass(frozen=True)
class _Inspected:
    """A change, and the facts that decide whether it is safe.

    identities: for each detail the resource whose identity is the new value; empty if it is something else.
    origins: the same; None if the detail does not replace the resource.
    required: logical ids of resources; if none of them is replaced, this one is not replaced either. None if it
        may be replaced in any case.
    unresolved: create-only properties with references whose values may have changed although the text has not.
    """

    type: str | None
    resource: ResourceChangeWithValues
    identities: list[str]
    origins: list[str | None]
    required: frozenset[str] | None
    unresolved: list[str]

    @classmethod
    def of(cls, kind: str, resource: ResourceChangeWithValues, lookups: Lookups, value_sources: Sources) -> Self:
        details = resource.get("Details") or []
        identities = [identity_source(detail, value_sources) for detail in details]
        others = [detail for detail, identity in zip(details, identities, strict=True) if not identity]
        names = _unresolved(resource, lookups, others)
        origins = [
            None if _never_replaces(detail) else identity for detail, identity in zip(details, identities, strict=True)
        ]
        required = None if names else _required(resource, origins)
        return cls(kind, resource, identities, origins, required, names)

    @property
    def logical_id(self) -> str:
        return str(self.resource.get("LogicalResourceId", "?"))

    def with_changing_values(self, retained: set[str]) -> ResourceChangeWithValues:
        """Return the resource without the details whose value is the identity of a retained resource."""
        details = zip(self.resource.get("Details") or [], self.identities, strict=True)
        return {**self.resource, "Details": [detail for detail, identity in details if identity not in retained]}


def _reasons(
    item: _Inspected, policy: Policy, retained: set[str], in_place: list[str], *, superseded: bool
) -> Iterator[str]:
    """Return the reasons why a change is unsafe; no reasons, or empty ones, if it is safe.

    in_place: those that have nothing to do with a removal or replacement.
    """
    if item.type != "Resource":
        yield f"unknown type of change {item.type}"
        return
    if not superseded:
        yield _removed_or_replaced(item, policy, retained)
    if item.unresolved and not policy.conditional and not superseded:
        yield f"it may be replaced because of {', '.join(item.unresolved)}: {UNRESOLVED}"
    if not policy.dynamic:
        yield _undecided(item.resource.get("UndecidedParameters") or [])
    yield from in_place
    if policy.drift == "reject":
        yield from drift(item.resource)


def _undecided(parameters: Iterable[str]) -> str:
    names = ", ".join(parameters)
    return f"its conditions use parameters whose values are not visible: {names}" if names else ""


def _in_place_reasons(resource: ResourceChangeWithValues, lookups: Lookups, types: Mapping[str, str]) -> list[str]:
    lost = losses(resource) if resource.get("Action") in (*UPDATES, SYNC) else ()
    return [*lost, outside_target(resource, lookups.physical_ids, types)]


def _retained_ids(inspected: list[_Inspected]) -> set[str]:
    """Return the logical ids of the resources that are updated and certainly not replaced.

    A resource is retained once all resources that it requires are retained. Each retained resource is removed
    from the requirements of its dependents, so the time is linear, and resources that require each other are
    never retained.
    """
    waiting = [set(item.required or ()) for item in inspected]
    dependents: dict[str, list[int]] = {}
    for index, required in enumerate(waiting):
        for name in required:
            dependents.setdefault(name, []).append(index)
    ready = [item.logical_id for item in inspected if item.required is not None and not item.required]
    retained: set[str] = set()
    while ready:
        name = ready.pop()
        retained.add(name)
        for index in dependents.pop(name, ()):
            waiting[index].discard(name)
            if not waiting[index]:
                ready.append(inspected[index].logical_id)
    return retained


def _required(resource: ResourceChangeWithValues, origins: list[str | None]) -> frozenset[str] | None:
    """Return the resources that must be retained for this one to be retained; None if it may be replaced anyway."""
    if resource.get("Action") != "Modify" or resource.get("PolicyAction", "Retain") != "Retain":
        return None
    details = resource.get("Details") or []
    if str(resource.get("ResourceType")).startswith(UNSTABLE_ID_TYPES) or any(map(_always_replaces, details)):
        return None
    if resource.get("Replacement") == "False":
        return frozenset()
    if resource.get("Replacement") != "Conditional" or not details:
        return None
    required = frozenset(origin for origin in origins if origin is not None)
    return None if "" in required else required


def _unresolved(resource: ResourceChangeWithValues, lookups: Lookups, details: list[ResourceChangeDetail]) -> list[str]:
    """Return create-only properties whose value may have changed although their text has not."""
    kind = str(resource.get("ResourceType"))
    if resource.get("Action") not in UPDATES or kind.startswith(CUSTOM):
        return []
    paths = list(unresolved(resource, [detail for detail in details if not _never_replaces(detail)]))
    create_only = lookups.create_only(kind) if paths else ()
    return in_create_only(unresolved(resource, details) if create_only is None else paths, create_only)


def _removed_or_replaced(item: _Inspected, policy: Policy, retained: set[str]) -> str:
    """Return why a resource is, or may be, removed or replaced; otherwise an empty string."""
    resource = item.resource
    is_retained = item.required is not None and item.required <= retained
    action = resource.get("Action", "?")
    consequence = resource.get("PolicyAction") or ("Delete" if action == "Remove" else "Retain")
    if action == "Remove":
        return REMOVALS.get(consequence, f"it is removed with the unknown policy action {consequence}")
    if action == "Dynamic" and not policy.dynamic:
        return "its change is known only during the update"
    if action not in SAFE_ACTIONS and action != "Dynamic":
        return f"unknown action {action}"
    if action in NESTED_INSPECTED and resource.get("ResourceType") == NESTED and not resource.get("ChangeSetId"):
        return "the changes of this nested stack are not visible"
    why = _replaced(resource, _causes(item, retained), accept_conditional=policy.conditional or is_retained)
    if consequence in REPLACEMENTS:
        return f"{why or 'it is replaced'}{REPLACEMENTS[consequence]}"
    if consequence == "Retain" or why:
        return why
    return REMOVALS.get(consequence, f"unknown policy action {consequence}")


def _replaced(resource: ResourceChangeWithValues, causes: str, *, accept_conditional: bool) -> str:
    replacement = resource.get("Replacement")
    if replacement == "True" or any(map(_always_replaces, resource.get("Details") or [])):
        return f"it is replaced{causes}"
    if replacement == "False" or (replacement is None and resource.get("Action") != "Modify"):
        return ""
    if replacement != "Conditional":
        return f"it is unknown whether it is replaced ({replacement})"
    return "" if accept_conditional else f"it may be replaced{causes}"


def _always_replaces(detail: ResourceChangeDetail) -> bool:
    """Return whether this detail alone is certain to replace the resource."""
    target = detail.get("Target") or {}
    return target.get("RequiresRecreation") == "Always" and detail.get("Evaluation") == "Static"


def _name(detail: ResourceChangeDetail) -> str:
    target = detail.get("Target") or {}
    return target.get("Name") or target.get("Attribute") or "?"


def _never_replaces(detail: ResourceChangeDetail) -> bool:
    target = detail.get("Target") or {}
    recreation = target.get("RequiresRecreation")
    return recreation == "Never" or (recreation is None and target.get("Attribute") in NON_PROPERTY_ATTRIBUTES)


def _causes(item: _Inspected, retained: set[str]) -> str:
    """Name the properties that cause the replacement."""
    details = zip(item.resource.get("Details") or [], item.origins, strict=True)
    names = sorted({_name(detail) for detail, origin in details if origin is not None and origin not in retained})
    shown = [f"{name}{shown_change(item.resource, name)}" for name in names]
    return f" because of {', '.join(shown)}" if shown else ""
