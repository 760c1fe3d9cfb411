"""Which changes of a change set may be carried out without anybody looking at them.

Unsafe is whatever deletes or replaces a resource, or may: what is not known is unsafe.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

KEEPING_ACTIONS = ("Add", "Modify", "Import", "SyncWithActual")
# Of a resource: what is not a property of it never makes CloudFormation replace it.
BESIDE_PROPERTIES = ("Metadata", "CreationPolicy", "UpdatePolicy", "DeletionPolicy", "UpdateReplacePolicy")
NESTED = "AWS::CloudFormation::Stack"


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


@dataclass(frozen=True)
class Violation:
    """A change that is not safe, and why. `logical_id` has the path through nested stacks."""

    logical_id: str
    type: str
    action: str
    why: str

    def __str__(self) -> str:
        return f"{self.logical_id} ({self.type}), {self.action}: {self.why}"


def violation(path: str, change: Mapping[str, Any], policy: Policy) -> Violation | None:
    """Judge one ``Change`` of CloudFormation's DescribeChangeSet; None when it is safe.

    `path` is that of the nested stack, with a slash at its end, or empty.
    """
    resource = change.get("ResourceChange") or {}
    logical_id = path + resource.get("LogicalResourceId", "?")
    kind = resource.get("ResourceType", "?")
    if kind in policy.exempt_types or logical_id in policy.exempt_logical_ids:
        return None
    why = f"{change.get('Type')} is no kind of change that is known"
    if change.get("Type", "Resource") == "Resource":
        why = _unsafe(resource, policy)
    return Violation(logical_id, kind, resource.get("Action", "?"), why) if why else None


def _unsafe(resource: Mapping[str, Any], policy: Policy) -> str:
    """Why a change is not safe; empty when it is."""
    action = resource.get("Action", "?")
    if action == "Remove":
        return "it is deleted"
    if action == "Dynamic" and not policy.dynamic:
        return "what happens to it is known only when it happens"
    if action not in KEEPING_ACTIONS and action != "Dynamic":
        return f"{action} is no action that is known"
    consequence = resource.get("PolicyAction") or "Retain"
    if consequence != "Retain":
        return f"{consequence} is what its deletion policies make of it"
    if action == "Modify" and resource.get("ResourceType") == NESTED and not resource.get("ChangeSetId"):
        return "a nested stack whose changes cannot be seen"
    return _replaced(resource, policy)


def _replaced(resource: Mapping[str, Any], policy: Policy) -> str:
    replacement = resource.get("Replacement")
    if replacement == "False" or (replacement is None and resource.get("Action") != "Modify"):
        return ""
    causes = _causes(resource)
    if replacement == "True":
        return f"it is replaced{causes}"
    if replacement != "Conditional":
        return f"whether it is replaced is not known ({replacement})"
    details = resource.get("Details") or []
    if any(_certain(detail) for detail in details):
        return f"it is replaced{causes}"
    if policy.conditional or (details and all(map(_never, details))):
        return ""
    return f"it may be replaced{causes}"


def _certain(detail: Mapping[str, Any]) -> bool:
    """Always, and known before: this replaces the resource, whatever else is said of it."""
    target = detail.get("Target") or {}
    return target.get("RequiresRecreation") == "Always" and detail.get("Evaluation") == "Static"


def _never(detail: Mapping[str, Any]) -> bool:
    target = detail.get("Target") or {}
    recreation = target.get("RequiresRecreation")
    return recreation == "Never" or (recreation is None and target.get("Attribute") in BESIDE_PROPERTIES)


def _causes(resource: Mapping[str, Any]) -> str:
    """Name what asks for the replacement."""
    targets = [detail.get("Target") or {} for detail in resource.get("Details") or [] if not _never(detail)]
    names = sorted({target.get("Name") or target.get("Attribute") or "?" for target in targets})
    return f" for {', '.join(names)}" if names else ""
