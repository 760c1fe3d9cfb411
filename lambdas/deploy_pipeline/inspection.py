"""Which changes of a change set may be carried out without anybody looking at them.

Unsafe is whatever deletes or replaces a resource, or may: what is not known is unsafe.

CloudFormation says "Conditional" of a resource that takes a create-only property from another
resource that changes, such as a subscription whose endpoint is the ARN of a queue with a new
timeout. As long as that other one is not replaced, its id and its ARN stay, and so does this one.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

Resource = Mapping[str, Any]  # ``ResourceChange`` of CloudFormation's API

KEEPING_ACTIONS = ("Add", "Modify", "Import", "SyncWithActual")
# Of a resource: what is not a property of it never makes CloudFormation replace it.
BESIDE_PROPERTIES = ("Metadata", "CreationPolicy", "UpdatePolicy", "DeletionPolicy", "UpdateReplacePolicy")
NESTED = "AWS::CloudFormation::Stack"
# What becomes of a resource, by ``PolicyAction``: retained ones stay in AWS, and the stack forgets them.
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
# These can get another id without being replaced: what a custom resource's provider returns is its
# id from then on, and a job definition's has its revision in it.
WITHOUT_LASTING_ID = ("Custom::", "AWS::CloudFormation::CustomResource", "AWS::Batch::JobDefinition")


@dataclass(frozen=True)
class Policy:
    """What is let through although it looks unsafe.

    exempt_logical_ids: resources of nested stacks by their path, ``Child/Queue``.
    conditional, dynamic: accept what CloudFormation itself cannot tell beforehand.
    """

    exempt_types: frozenset[str] = frozenset({"AWS::CDK::Metadata"})
    exempt_logical_ids: frozenset[str] = frozenset()
    conditional: bool = False
    dynamic: bool = False

    def as_json(self) -> dict[str, Any]:
        """Give the policy as the state machine carries it."""
        return {
            "exempt_types": sorted(self.exempt_types),
            "exempt_logical_ids": sorted(self.exempt_logical_ids),
            "conditional": self.conditional,
            "dynamic": self.dynamic,
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Read what `as_json` gave."""
        types, ids = frozenset(given["exempt_types"]), frozenset(given["exempt_logical_ids"])
        return cls(types, ids, given["conditional"], given["dynamic"])


@dataclass(frozen=True)
class Violation:
    """A change that is not safe, and why. `logical_id` has the path through nested stacks."""

    logical_id: str
    type: str
    action: str
    why: str

    def __str__(self) -> str:
        return f"{self.logical_id} ({self.type}), {self.action}: {self.why}"


def violations(changes: Iterable[Mapping[str, Any]], policy: Policy, path: str = "") -> Iterator[Violation]:
    """Judge all changes of one stack, each a ``Change`` of CloudFormation's DescribeChangeSet.

    `path` is that of a nested stack, with a slash at its end.
    """
    changes = list(changes)
    kept = _kept([change.get("ResourceChange") or {} for change in changes])
    for change in changes:
        resource = change.get("ResourceChange") or {}
        logical_id, kind = path + resource.get("LogicalResourceId", "?"), resource.get("ResourceType", "?")
        if kind in policy.exempt_types or logical_id in policy.exempt_logical_ids:
            continue
        why = f"{change.get('Type')} is no kind of change that is known"
        if change.get("Type", "Resource") == "Resource":
            why = _unsafe(resource, policy, kept)
        if why:
            yield Violation(logical_id, kind, resource.get("Action", "?"), why)


def _kept(resources: list[Resource]) -> set[str]:
    """Logical ids of the resources that are changed, and certainly not replaced.

    Each detail is looked at once, however many resources depend on each other: one that is kept
    is counted off in those that wait for it.
    """
    waiting: list[set[str]] = []
    dependents: dict[str, list[int]] = {}
    ready: list[str] = []
    for index, resource in enumerate(resources):
        needed = _needed(resource)
        waiting.append(needed or set())
        if needed is not None and not needed:
            ready.append(resource.get("LogicalResourceId", "?"))
        for name in needed or ():
            dependents.setdefault(name, []).append(index)
    kept: set[str] = set()
    while ready:
        name = ready.pop()
        kept.add(name)
        for index in dependents.pop(name, ()):
            waiting[index].discard(name)
            if not waiting[index]:
                ready.append(resources[index].get("LogicalResourceId", "?"))
    return kept


def _needed(resource: Resource) -> set[str] | None:
    """The resources that have to be kept for this one to be kept; None if it may be replaced anyway."""
    if resource.get("Action") != "Modify" or resource.get("PolicyAction", "Retain") != "Retain":
        return None
    details = resource.get("Details") or []
    if str(resource.get("ResourceType")).startswith(WITHOUT_LASTING_ID) or any(map(_certain, details)):
        return None
    if resource.get("Replacement") == "False":
        return set()
    if resource.get("Replacement") != "Conditional" or not details:
        return None
    sources = [_source(detail) for detail in details if not _never(detail)]
    return {source for source in sources if source} if all(sources) else None


def _unsafe(resource: Resource, policy: Policy, kept: set[str]) -> str:
    """Why a change is not safe; empty when it is."""
    action = resource.get("Action", "?")
    consequence = resource.get("PolicyAction") or ("Delete" if action == "Remove" else "Retain")
    if action == "Remove":
        return REMOVALS.get(consequence, f"it is removed, with the unknown policy action {consequence}")
    if action == "Dynamic" and not policy.dynamic:
        return "what happens to it is known only when it happens"
    if action not in KEEPING_ACTIONS and action != "Dynamic":
        return f"{action} is no action that is known"
    if action == "Modify" and resource.get("ResourceType") == NESTED and not resource.get("ChangeSetId"):
        return "a nested stack whose changes cannot be seen"
    why = _replaced(resource, policy, kept)
    if consequence in REPLACEMENTS:
        return f"{why or 'it is replaced'}{REPLACEMENTS[consequence]}"
    if consequence == "Retain" or why:
        return why
    return REMOVALS.get(consequence, f"{consequence} is no policy action that is known")


def _replaced(resource: Resource, policy: Policy, kept: set[str]) -> str:
    replacement, causes = resource.get("Replacement"), _causes(resource, kept)
    if replacement == "True" or any(map(_certain, resource.get("Details") or [])):
        return f"it is replaced{causes}"
    if replacement == "False" or (replacement is None and resource.get("Action") != "Modify"):
        return ""
    if replacement != "Conditional":
        return f"whether it is replaced is not known ({replacement})"
    needed = _needed(resource)
    stays = needed is not None and needed <= kept
    return "" if policy.conditional or stays else f"it may be replaced{causes}"


def _certain(detail: Mapping[str, Any]) -> bool:
    """Always, and known before: this replaces the resource, whatever else is said of it."""
    target = detail.get("Target") or {}
    return target.get("RequiresRecreation") == "Always" and detail.get("Evaluation") == "Static"


def _never(detail: Mapping[str, Any]) -> bool:
    target = detail.get("Target") or {}
    recreation = target.get("RequiresRecreation")
    return recreation == "Never" or (recreation is None and target.get("Attribute") in BESIDE_PROPERTIES)


def _source(detail: Mapping[str, Any]) -> str:
    """The resource whose id or ARN the value is, which stays the same if that one is kept; else empty."""
    entity, _, attribute = str(detail.get("CausingEntity", "")).partition(".")
    named = {"ResourceReference": "", "ResourceAttribute": "Arn"}.get(str(detail.get("ChangeSource")))
    return entity if detail.get("Evaluation") == "Dynamic" and attribute == named else ""


def _causes(resource: Resource, kept: set[str]) -> str:
    """Name what asks for the replacement."""
    details = [d for d in resource.get("Details") or [] if not _never(d) and _source(d) not in kept]
    targets = [detail.get("Target") or {} for detail in details]
    names = sorted({target.get("Name") or target.get("Attribute") or "?" for target in targets})
    return f" for {', '.join(names)}" if names else ""
