"""Revisions: resources that a deployment does not change, but supersedes with new ones.

CDK and SAM give a revision a new logical id when its content changes, so CloudFormation adds the new one and removes
the old one, after everything in the stack refers to the new one. Revisions of other tools are replaced.
"""

import re
from collections.abc import Iterable, Mapping

from .api_types import ResourceChangeWithValues
from .lossy_conditions import KNOWN_AFTER_APPLY
from .property_values import ABSENT, property_value

# Of a revision: the ARN of its function, layer or family, and the name in it.
ARN = re.compile(r"(arn:(?:[^:]*:){4}(?:function:|layer:|task-definition/)([^:]+))(?::.*)?")
NewRevisions = Mapping[str, set[object]]
# The property that names what the resource is a revision of.
REVISION_TYPES = {
    "AWS::ApiGateway::Deployment": "RestApiId",
    "AWS::ApiGatewayV2::Deployment": "ApiId",
    "AWS::ECS::TaskDefinition": "Family",
    "AWS::Lambda::LayerVersion": "LayerName",
    "AWS::Lambda::Version": "FunctionName",
}


def new_revisions(resources: Iterable[ResourceChangeWithValues]) -> NewRevisions:
    """Return the APIs, functions or layers of the revisions that are added, by type; None for one that is not shown."""
    new: dict[str, set[object]] = {}
    for resource in resources:
        kind = resource.get("ResourceType", "")
        if resource.get("Action") == "Add" and kind in REVISION_TYPES:
            new.setdefault(kind, set()).add(_parent(kind, resource["After"]))
    return new


def is_superseded(resource: ResourceChangeWithValues, new: NewRevisions) -> bool:
    """Return whether a revision is replaced, or removed while a new one of the same API, function or layer is added.

    Values that CloudFormation does not show are treated as equal.
    """
    kind = resource.get("ResourceType", "")
    if kind not in REVISION_TYPES or resource.get("Action") not in ("Modify", "Remove"):
        return False
    if resource.get("Action") == "Modify":
        return True
    match, successors = ARN.fullmatch(resource.get("PhysicalResourceId", "")), new.get(kind, set())
    old = set(match.groups()) if match else {_parent(kind, resource["Before"])}
    return bool(successors) and (None in old or not successors.isdisjoint({*old, None}))


def _parent(kind: str, shown: dict[str, object] | None) -> object:
    """Return the value; None if it is not shown; for a generated name an object that differs from all others."""
    value = property_value(shown, REVISION_TYPES[kind])
    if value is ABSENT and shown:
        return object()
    return value if isinstance(value, str) and KNOWN_AFTER_APPLY not in value else None
