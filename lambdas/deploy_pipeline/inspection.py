"""Which changes of a change set may be carried out without anybody looking at them.

Unsafe is what deletes or replaces a resource, loses data of it (`lossy_changes`), attaches a policy
to a resource of somebody else, or may do so: what is not known is unsafe.

CloudFormation says "Conditional" of a resource that takes a create-only property from another
resource that changes, such as a subscription whose endpoint is the ARN of a queue with a new
timeout. As long as that other one is not replaced, its id and its ARN stay, and so does this one.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from .dynamic_references import in_create_only, unversioned
from .lossy_changes import losses, with_values
from .lossy_conditions import KNOWN_AFTER_APPLY

Resource = Mapping[str, Any]  # ``ResourceChange`` of CloudFormation's API, `with_values`

SAFE_ACTIONS = ("Add", "Modify", "Import", "SyncWithActual")
UPDATES = ("Modify", "Dynamic")
# Attributes of a resource that are no properties, and never make CloudFormation replace it.
NON_PROPERTY_ATTRIBUTES = ("Metadata", "CreationPolicy", "UpdatePolicy", "DeletionPolicy", "UpdateReplacePolicy")
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
CUSTOM = ("Custom::", "AWS::CloudFormation::CustomResource")
UNSTABLE_ID_TYPES = (*CUSTOM, "AWS::Batch::JobDefinition")
# The property that names the resource to which a policy is attached, in place of the policy that it had, and
# that resource's type: the id of another type, such as a parameter's name, can be chosen to equal its id.
POLICY_TARGETS = {
    "AWS::S3::BucketPolicy": ("Bucket", "AWS::S3::Bucket"),
    "AWS::SNS::TopicInlinePolicy": ("TopicArn", "AWS::SNS::Topic"),
    "AWS::SNS::TopicPolicy": ("Topics", "AWS::SNS::Topic"),
    "AWS::SQS::QueueInlinePolicy": ("Queue", "AWS::SQS::Queue"),
    "AWS::SQS::QueuePolicy": ("Queues", "AWS::SQS::Queue"),
    "AWS::SecretsManager::ResourcePolicy": ("SecretId", "AWS::SecretsManager::Secret"),
}


@dataclass(frozen=True)
class Lookups:
    """Questions that a change set does not answer.

    physical_ids: type and id of all resources of the stack, and of those nested in it.
    create_only: JSON pointers to the properties that replace a resource of a type; None if unknown.
    """

    physical_ids: Callable[[], frozenset[tuple[str, str]]] = frozenset
    create_only: Callable[[str], tuple[str, ...] | None] = lambda _: None


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

    def exemptions(self) -> str:
        """Describe what is let through; empty with the default policy."""
        parts = [f"resources {', '.join(sorted(self.exempt_logical_ids))}"] if self.exempt_logical_ids else []
        if types := self.exempt_types - type(self)().exempt_types:
            parts.append(f"types {', '.join(sorted(types))}")
        parts += ["conditional replacements"] if self.conditional else []
        parts += ["dynamic changes"] if self.dynamic else []
        return f"Exempt from the inspection: {'; '.join(parts)}" if parts else ""


@dataclass(frozen=True)
class Violation:
    """A change that is not safe, and why. `logical_id` has the path through nested stacks."""

    logical_id: str
    type: str
    action: str
    why: str

    def __str__(self) -> str:
        return f"{self.logical_id} ({self.type}), {self.action}: {self.why}"


def violations(
    changes: Iterable[Mapping[str, Any]], policy: Policy, path: str = "", lookups: Lookups | None = None
) -> Iterator[Violation]:
    """Judge all changes of one stack, each a ``Change`` of CloudFormation's DescribeChangeSet.

    `path` is that of a nested stack, with a slash at its end.
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
    """A change, and what decides about it.

    required: the resources that have to be retained for this one to be; None if it may be replaced anyway.
    unversioned: create-only properties with dynamic references that may have another value now.
    outside_target: why a policy is attached to a resource that may not be the stack's; else empty.
    """

    type: str | None
    resource: Resource
    required: frozenset[str] | None
    unversioned: list[str]
    outside_target: str

    @classmethod
    def of(cls, change: Mapping[str, Any], lookups: Lookups) -> Self:
        resource = with_values(change.get("ResourceChange") or {})
        names = _unversioned_references(resource, lookups)
        required = None if names else _required(resource)
        return cls(change.get("Type", "Resource"), resource, required, names, _outside_target(resource, lookups))

    @property
    def logical_id(self) -> str:
        return str(self.resource.get("LogicalResourceId", "?"))


def _reasons(item: _Inspected, policy: Policy, retained: set[str]) -> Iterator[str]:
    """Why a change is not safe; nothing, or empty texts, when it is."""
    if item.type != "Resource":
        yield f"{item.type} is no kind of change that is known"
        return
    is_retained = item.required is not None and item.required <= retained
    yield _removed_or_replaced(item.resource, policy, retained, is_retained=is_retained)
    if item.unversioned and not policy.conditional:
        yield f"it may be replaced for {', '.join(item.unversioned)}: dynamic references without a version"
    if item.resource.get("Action") in UPDATES:
        yield from losses(item.resource)
    yield item.outside_target


def _retained_ids(inspected: list[_Inspected]) -> set[str]:
    """Logical ids of the resources that are changed, and certainly not replaced.

    Each detail is looked at once, however many resources depend on each other: one that is retained
    is crossed off in those that require it.
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


def _required(resource: Resource) -> frozenset[str] | None:
    """The resources that have to be retained for this one to be; None if it may be replaced anyway."""
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


def _unversioned_references(resource: Resource, lookups: Lookups) -> list[str]:
    """Create-only properties whose value may have changed although their text has not."""
    kind = str(resource.get("ResourceType"))
    if resource.get("Action") not in UPDATES or kind.startswith(CUSTOM):
        return []
    paths = list(unversioned((resource["After"] or {}).get("Properties")))
    return in_create_only(paths, lookups.create_only(kind)) if paths else []


def _outside_target(resource: Resource, lookups: Lookups) -> str:
    """Whether a policy is newly attached to a resource that is not the stack's, in place of its policy."""
    name, kind = POLICY_TARGETS.get(str(resource.get("ResourceType")), ("", ""))
    if not name or resource.get("Action") not in ("Add", *UPDATES):
        return ""
    before, after = (_texts(resource[when], name) for when in ("Before", "After"))
    if after is None:
        unseen = resource.get("Action") == "Add" or any(
            (detail.get("Target") or {}).get("Name") == name for detail in resource.get("Details") or []
        )
        return f"{name} cannot be seen, so the policy may be attached to a resource of somebody else" if unseen else ""
    named = [text for text in after if text not in (before or ()) and text != KNOWN_AFTER_APPLY]
    outside = [text for text in named if (kind, text) not in lookups.physical_ids()]
    return f"{name} names what is not in the stack, and its policy is overwritten" if outside else ""


def _texts(shown: Mapping[str, Any] | None, name: str) -> list[str] | None:
    value = ((shown or {}).get("Properties") or {}).get(name)
    if value is None:
        return None
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def _removed_or_replaced(resource: Resource, policy: Policy, retained: set[str], *, is_retained: bool) -> str:
    """Why a resource does not stay, or may not; empty when it does."""
    action = resource.get("Action", "?")
    consequence = resource.get("PolicyAction") or ("Delete" if action == "Remove" else "Retain")
    if action == "Remove":
        return REMOVALS.get(consequence, f"it is removed, with the unknown policy action {consequence}")
    if action == "Dynamic" and not policy.dynamic:
        return "what happens to it is known only when it happens"
    if action not in SAFE_ACTIONS and action != "Dynamic":
        return f"{action} is no action that is known"
    if action == "Modify" and resource.get("ResourceType") == NESTED and not resource.get("ChangeSetId"):
        return "a nested stack whose changes cannot be seen"
    why = _replaced(resource, _causes(resource, retained), accept_conditional=policy.conditional or is_retained)
    if consequence in REPLACEMENTS:
        return f"{why or 'it is replaced'}{REPLACEMENTS[consequence]}"
    if consequence == "Retain" or why:
        return why
    return REMOVALS.get(consequence, f"{consequence} is no policy action that is known")


def _replaced(resource: Resource, causes: str, *, accept_conditional: bool) -> str:
    replacement = resource.get("Replacement")
    if replacement == "True" or any(map(_always_replaces, resource.get("Details") or [])):
        return f"it is replaced{causes}"
    if replacement == "False" or (replacement is None and resource.get("Action") != "Modify"):
        return ""
    if replacement != "Conditional":
        return f"whether it is replaced is not known ({replacement})"
    return "" if accept_conditional else f"it may be replaced{causes}"


def _always_replaces(detail: Mapping[str, Any]) -> bool:
    """Always, and known before: this replaces the resource, whatever else is said of it."""
    target = detail.get("Target") or {}
    return target.get("RequiresRecreation") == "Always" and detail.get("Evaluation") == "Static"


def _never_replaces(detail: Mapping[str, Any]) -> bool:
    target = detail.get("Target") or {}
    recreation = target.get("RequiresRecreation")
    return recreation == "Never" or (recreation is None and target.get("Attribute") in NON_PROPERTY_ATTRIBUTES)


def _identity_source(detail: Mapping[str, Any]) -> str:
    """The resource whose id or ARN the value is, which stays the same if that one is retained; else empty."""
    entity, _, attribute = str(detail.get("CausingEntity", "")).partition(".")
    named = {"ResourceReference": "", "ResourceAttribute": "Arn"}.get(str(detail.get("ChangeSource")))
    return entity if detail.get("Evaluation") == "Dynamic" and attribute == named else ""


def _causes(resource: Resource, retained: set[str]) -> str:
    """Name what asks for the replacement."""
    details = [
        d for d in resource.get("Details") or [] if not _never_replaces(d) and _identity_source(d) not in retained
    ]
    targets = [detail.get("Target") or {} for detail in details]
    names = sorted({target.get("Name") or target.get("Attribute") or "?" for target in targets})
    return f" for {', '.join(names)}" if names else ""
