"""Find the unsafe changes of a change set.

A change is unsafe if it deletes or replaces a resource, loses its data (`lossy_changes`), attaches a policy
to a resource outside the stack, or may do so. Unknown values are unsafe.

CloudFormation reports the replacement "Conditional" for a resource with a create-only property that refers to
another resource that changes, such as a subscription whose endpoint is the ARN of a queue with a new timeout.
If the other resource is not replaced, its id and its ARN stay the same, and this resource is not replaced.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypedDict

from .api_types import Change, ResourceChangeDetail, ResourceChangeWithValues
from .dynamic_references import in_create_only, unversioned
from .lossy_changes import losses, with_values
from .lossy_conditions import KNOWN_AFTER_APPLY

SAFE_ACTIONS = ("Add", "Modify", "Import", "SyncWithActual")
UPDATES = ("Modify", "Dynamic")
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
# The property that names the resource whose policy is set, or overwritten, and the type of that resource: the id
# of another type, such as a parameter's name, can be chosen to equal its id.
POLICY_TARGETS = {
    "AWS::Kinesis::ResourcePolicy": ("ResourceArn", "AWS::Kinesis::Stream"),
    "AWS::S3Express::BucketPolicy": ("Bucket", "AWS::S3Express::DirectoryBucket"),
    "AWS::S3Tables::TableBucketPolicy": ("TableBucketARN", "AWS::S3Tables::TableBucket"),
    "AWS::S3::BucketPolicy": ("Bucket", "AWS::S3::Bucket"),
    "AWS::SNS::TopicInlinePolicy": ("TopicArn", "AWS::SNS::Topic"),
    "AWS::SNS::TopicPolicy": ("Topics", "AWS::SNS::Topic"),
    "AWS::SQS::QueueInlinePolicy": ("Queue", "AWS::SQS::Queue"),
    "AWS::SQS::QueuePolicy": ("Queues", "AWS::SQS::Queue"),
    "AWS::SecretsManager::ResourcePolicy": ("SecretId", "AWS::SecretsManager::Secret"),
}


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


@dataclass(frozen=True)
class Policy:
    """Exemptions from the inspection.

    exempt_logical_ids: resources of nested stacks have a path, such as ``Child/Queue``.
    conditional, dynamic: accept changes whose effect CloudFormation cannot predict.
    """

    exempt_types: frozenset[str] = frozenset({"AWS::CDK::Metadata"})
    exempt_logical_ids: frozenset[str] = frozenset()
    conditional: bool = False
    dynamic: bool = False

    def as_json(self) -> PolicyFields:
        """Return the policy in the form in which the state machine passes it."""
        return {
            "exempt_types": sorted(self.exempt_types),
            "exempt_logical_ids": sorted(self.exempt_logical_ids),
            "conditional": self.conditional,
            "dynamic": self.dynamic,
        }

    @classmethod
    def from_json(cls, value: PolicyFields) -> Self:
        """Parse the result of `as_json`."""
        types, ids = frozenset(value["exempt_types"]), frozenset(value["exempt_logical_ids"])
        return cls(types, ids, value["conditional"], value["dynamic"])

    def exemptions(self) -> list[str]:
        """Describe each exemption; empty with the default policy."""
        parts = [f"resources {', '.join(sorted(self.exempt_logical_ids))}"] if self.exempt_logical_ids else []
        if types := self.exempt_types - type(self)().exempt_types:
            parts.append(f"types {', '.join(sorted(types))}")
        parts += ["conditional replacements"] if self.conditional else []
        parts += ["dynamic changes"] if self.dynamic else []
        return parts


@dataclass(frozen=True)
class Violation:
    """An unsafe change and its reason. `logical_id` starts with the path of the nested stack."""

    logical_id: str
    type: str
    action: str
    why: str

    def __str__(self) -> str:
        return f"{self.logical_id} ({self.type}), {self.action}: {self.why}"


def violations(
    changes: Iterable[Change], policy: Policy, path: str = "", lookups: Lookups | None = None
) -> Iterator[Violation]:
    """Return the unsafe ones of all changes to one stack, each a ``Change`` of DescribeChangeSet.

    `path` is the path of a nested stack, which ends with a slash.
    """
    inspected = [_Inspected.of(change, lookups or Lookups()) for change in changes]
    retained = _retained_ids(inspected)
    for item in inspected:
        kind, logical_id = item.resource.get("ResourceType", "?"), path + item.logical_id
        if kind in policy.exempt_types or logical_id in policy.exempt_logical_ids:
            continue
        if why := "; ".join(filter(None, _reasons(item, policy, retained))):
            yield Violation(logical_id, kind, item.resource.get("Action", "?"), why)


@dataclass(frozen=True)
class _Inspected:
    """A change, and the facts that decide whether it is safe.

    required: logical ids of resources; if none of them is replaced, this one is not replaced either. None if it
        may be replaced in any case.
    unversioned: create-only properties with dynamic references whose values may have changed.
    outside_target: the reason why a policy may be attached to a resource outside the stack; otherwise empty.
    """

    type: str | None
    resource: ResourceChangeWithValues
    required: frozenset[str] | None
    unversioned: list[str]
    outside_target: str

    @classmethod
    def of(cls, change: Change, lookups: Lookups) -> Self:
        resource = with_values(change.get("ResourceChange") or {})
        names = _unversioned_references(resource, lookups)
        required = None if names else _required(resource)
        return cls(change.get("Type", "Resource"), resource, required, names, _outside_target(resource, lookups))

    @property
    def logical_id(self) -> str:
        return str(self.resource.get("LogicalResourceId", "?"))


def _reasons(item: _Inspected, policy: Policy, retained: set[str]) -> Iterator[str]:
    """Return the reasons why a change is unsafe; no reasons, or empty ones, if it is safe."""
    if item.type != "Resource":
        yield f"unknown type of change {item.type}"
        return
    is_retained = item.required is not None and item.required <= retained
    yield _removed_or_replaced(item.resource, policy, retained, is_retained=is_retained)
    if item.unversioned and not policy.conditional:
        yield f"it may be replaced because of {', '.join(item.unversioned)}: dynamic references without a version"
    if item.resource.get("Action") in UPDATES:
        yield from losses(item.resource)
    yield item.outside_target


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


def _required(resource: ResourceChangeWithValues) -> frozenset[str] | None:
    """Return the resources on which it depends whether this one is retained; None if it may be replaced in any case."""
    if resource.get("Action") != "Modify" or resource.get("PolicyAction", "Retain") != "Retain":
        return None
    details = resource.get("Details") or []
    if str(resource.get("ResourceType")).startswith(UNSTABLE_ID_TYPES) or any(map(_always_replaces, details)):
        return None
    if resource.get("Replacement") == "False":
        return frozenset()
    if resource.get("Replacement") != "Conditional" or not details:
        return None
    sources = [_identity_source(detail) for detail in details if not _never_replaces(detail)]
    return frozenset(sources) if all(sources) else None


def _unversioned_references(resource: ResourceChangeWithValues, lookups: Lookups) -> list[str]:
    """Return create-only properties whose value may have changed although their text has not."""
    kind = str(resource.get("ResourceType"))
    if resource.get("Action") not in UPDATES or kind.startswith(CUSTOM):
        return []
    paths = list(unversioned((resource["After"] or {}).get("Properties")))
    return in_create_only(paths, lookups.create_only(kind)) if paths else []


def _outside_target(resource: ResourceChangeWithValues, lookups: Lookups) -> str:
    """Return a reason if a policy may overwrite the policy of a resource outside the stack; otherwise an empty text."""
    name, kind = POLICY_TARGETS.get(str(resource.get("ResourceType")), ("", ""))
    if not name or resource.get("Action") not in ("Add", *UPDATES):
        return ""
    before, after = _texts(resource["Before"], name), _texts(resource["After"], name)
    if after is None:
        hidden = resource.get("Action") == "Add" or any(
            (detail.get("Target") or {}).get("Name") == name for detail in resource.get("Details") or []
        )
        return f"{name} is not visible, so the policy may be attached to a resource outside the stack" if hidden else ""
    new = [text for text in after if text not in (before or ()) and text != KNOWN_AFTER_APPLY]
    outside = [text for text in new if (kind, text) not in lookups.physical_ids()]
    return f"{name} names a resource outside the stack, whose policy is overwritten" if outside else ""


def _texts(shown: Mapping[str, Any] | None, name: str) -> list[str] | None:
    value = ((shown or {}).get("Properties") or {}).get(name)
    if value is None:
        return None
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def _removed_or_replaced(
    resource: ResourceChangeWithValues, policy: Policy, retained: set[str], *, is_retained: bool
) -> str:
    """Return why a resource is, or may be, removed or replaced; otherwise an empty text."""
    action = resource.get("Action", "?")
    consequence = resource.get("PolicyAction") or ("Delete" if action == "Remove" else "Retain")
    if action == "Remove":
        return REMOVALS.get(consequence, f"it is removed with the unknown policy action {consequence}")
    if action == "Dynamic" and not policy.dynamic:
        return "its change is known only during the update"
    if action not in SAFE_ACTIONS and action != "Dynamic":
        return f"unknown action {action}"
    if action == "Modify" and resource.get("ResourceType") == NESTED and not resource.get("ChangeSetId"):
        return "the changes of this nested stack are not visible"
    why = _replaced(resource, _causes(resource, retained), accept_conditional=policy.conditional or is_retained)
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


def _never_replaces(detail: ResourceChangeDetail) -> bool:
    target = detail.get("Target") or {}
    recreation = target.get("RequiresRecreation")
    return recreation == "Never" or (recreation is None and target.get("Attribute") in NON_PROPERTY_ATTRIBUTES)


def _identity_source(detail: ResourceChangeDetail) -> str:
    """Return the resource whose id or ARN is the value; empty if the value is something else."""
    entity, _, attribute = str(detail.get("CausingEntity", "")).partition(".")
    identity = {"ResourceReference": "", "ResourceAttribute": "Arn"}.get(str(detail.get("ChangeSource")))
    return entity if detail.get("Evaluation") == "Dynamic" and attribute == identity else ""


def _causes(resource: ResourceChangeWithValues, retained: set[str]) -> str:
    """Name the properties that cause the replacement."""
    details = [
        d for d in resource.get("Details") or [] if not _never_replaces(d) and _identity_source(d) not in retained
    ]
    targets = [detail.get("Target") or {} for detail in details]
    names = sorted({target.get("Name") or target.get("Attribute") or "?" for target in targets})
    return f" because of {', '.join(names)}" if names else ""
