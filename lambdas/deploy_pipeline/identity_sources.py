"""The resources to which the new values of properties refer, and whether such a value identifies the resource."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from .api_types import ResourceChange, ResourceChangeDetail, ResourceChangeWithValues
from .dynamic_references import unresolved
from .identifying_attributes import is_identifying

REFERENCES = ("ResourceAttribute", "ResourceReference")


@dataclass(frozen=True)
class Source:
    """A resource to which others refer: its type, and the properties that may change; None if they are unknown."""

    type: str
    changed: frozenset[str] | None

    @classmethod
    def of(cls, resource: ResourceChangeWithValues) -> Self:
        details = resource.get("Details") or []
        targets = [detail.get("Target") or {} for detail in details]
        shown = [detail.get("Target") or {} for detail in resource.get("DetailsWithValues") or []]
        drifted = {str(target.get("Name")) for target in shown if "Drift" in target}
        names = [target.get("Name") for target in targets if target.get("Attribute") == "Properties"]
        known = (
            frozenset(name for name in names if name) | drifted | {path[0] for path in unresolved(resource, details)}
        )
        return cls(str(resource.get("ResourceType")), known if targets and all(names) else None)


Sources = Mapping[str, Source]


def sources(resources: Iterable[ResourceChangeWithValues]) -> dict[str, Source]:
    return {str(resource.get("LogicalResourceId")): Source.of(resource) for resource in resources}


def identity_source(detail: ResourceChangeDetail, sources: Sources) -> str:
    """Return the resource whose ID, or an attribute that identifies it, is the value; otherwise an empty string."""
    entity, _, attribute = str(detail.get("CausingEntity", "")).partition(".")
    if detail.get("Evaluation") != "Dynamic":
        return ""
    if detail.get("ChangeSource") == "ResourceReference":
        return "" if attribute else entity
    source = sources.get(entity)
    is_attribute = detail.get("ChangeSource") == "ResourceAttribute" and source
    return entity if source and is_attribute and is_identifying(source.type, attribute, source.changed) else ""


def unpredictable(resource: ResourceChange) -> set[str]:
    """Return the properties and attributes that refer to other resources and may change with them.

    With property values, CloudFormation can assume that the attributes of a resource that is updated in place stay the
    same: it then shows the old value of such a property, or omits its resource.
    """
    targets = [
        detail.get("Target") or {}
        for detail in resource.get("Details") or []
        if detail.get("Evaluation") == "Dynamic" and detail.get("ChangeSource") in REFERENCES
    ]
    return {str(target.get("Name") or target.get("Attribute")) for target in targets}
