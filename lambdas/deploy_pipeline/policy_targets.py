"""Policies of buckets, queues, topics and secrets, which overwrite the policy (or value) that their target has."""

from collections.abc import Callable, Iterable, Mapping

from .api_types import Change, ResourceChangeWithValues
from .contexts import MASK
from .dynamic_references import UNRESOLVED, has_unversioned, unresolved
from .identity_sources import unpredictable
from .lossy_conditions import KNOWN_AFTER_APPLY
from .property_values import ABSENT, property_value

SECRET = "AWS::SecretsManager::Secret"  # noqa: S105  # a type
# The property that names the target, and the target's type: the ID of another resource, such as a parameter's name,
# can be chosen to equal the target's ID. AWS::SSM::ResourcePolicy is not listed, because it does not overwrite the
# target's existing policies.
POLICY_TARGETS = {
    "AWS::Kinesis::ResourcePolicy": ("ResourceArn", "AWS::Kinesis::Stream"),
    "AWS::S3Express::BucketPolicy": ("Bucket", "AWS::S3Express::DirectoryBucket"),
    "AWS::S3Outposts::BucketPolicy": ("Bucket", "AWS::S3Outposts::Bucket"),
    "AWS::S3Tables::TablePolicy": ("TableARN", "AWS::S3Tables::Table"),
    "AWS::S3Tables::TableBucketPolicy": ("TableBucketARN", "AWS::S3Tables::TableBucket"),
    "AWS::S3Vectors::VectorBucketPolicy": ("VectorBucketArn", "AWS::S3Vectors::VectorBucket"),
    "AWS::S3::BucketPolicy": ("Bucket", "AWS::S3::Bucket"),
    "AWS::SNS::TopicInlinePolicy": ("TopicArn", "AWS::SNS::Topic"),
    "AWS::SNS::TopicPolicy": ("Topics", "AWS::SNS::Topic"),
    "AWS::SQS::QueueInlinePolicy": ("Queue", "AWS::SQS::Queue"),
    "AWS::SQS::QueuePolicy": ("Queues", "AWS::SQS::Queue"),
    "AWS::SecretsManager::ResourcePolicy": ("SecretId", SECRET),
    "AWS::SecretsManager::RotationSchedule": ("SecretId", SECRET),
    "AWS::SecretsManager::SecretTargetAttachment": ("SecretId", SECRET),
}
# Types of other resources whose reference is the ID of the target; their own target is inspected.
INTERMEDIATE = {"AWS::SecretsManager::RotationSchedule": "AWS::SecretsManager::SecretTargetAttachment"}
PhysicalIds = Callable[[], frozenset[tuple[str, str]]]


def remaining_types(changes: Iterable[Change]) -> dict[str, str]:
    """Return the types of the resources that a change set adds or changes, by logical id."""
    resources = [change.get("ResourceChange") or {} for change in changes]
    return {
        str(resource.get("LogicalResourceId")): str(resource.get("ResourceType"))
        for resource in resources
        if resource.get("Action") in ("Add", "Modify", "Dynamic", "Import")
    }


def outside_target(resource: ResourceChangeWithValues, physical_ids: PhysicalIds, types: Mapping[str, str]) -> str:
    """Return a reason if a policy may overwrite the policy of a resource outside the stack; otherwise an empty text.

    types: those of `remaining_types`.
    """
    name, kind = POLICY_TARGETS.get(str(resource.get("ResourceType")), ("", ""))
    if not name or resource.get("Action") not in ("Add", "Modify", "Dynamic"):
        return ""
    before, after = _texts(resource["Before"], name), _texts(resource["After"], name)
    if after is not None and name in unpredictable(resource):
        after = [*after, KNOWN_AFTER_APPLY]
    if after is None:
        hidden = resource.get("Action") == "Add" or any(
            (detail.get("Target") or {}).get("Name") == name for detail in resource.get("Details") or []
        )
        return f"{name} is not visible, so the policy may be attached to a resource outside the stack" if hidden else ""
    details = resource.get("Details") or []
    if any(map(has_unversioned, after)) or (details and name in {path[0] for path in unresolved(resource, details)}):
        return f"{name} has {UNRESOLVED}, so it may name a resource outside the stack"
    new = [text for text in after if text not in (before or ())]
    if any((kind, text) not in physical_ids() for text in new if text != KNOWN_AFTER_APPLY):
        return f"{name} names a resource outside the stack, whose policy or value is overwritten"
    if KNOWN_AFTER_APPLY in new and not _is_of_change_set(resource, name, kind, types):
        return f"{name} is known only during the update, so it may name a resource outside the stack"
    return ""


def _is_of_change_set(resource: ResourceChangeWithValues, name: str, kind: str, types: Mapping[str, str]) -> bool:
    """Return whether a value known only during the update can name a resource in the change set.

    A detail names the resource. CloudFormation returns none for an added policy: any resource of the type is accepted.
    """
    details = [d for d in resource.get("Details") or [] if (d.get("Target") or {}).get("Name") == name]
    kinds = {kind, INTERMEDIATE.get(str(resource.get("ResourceType")), kind)}
    causes = [str(detail["CausingEntity"]).partition(".")[0] for detail in details if detail.get("CausingEntity")]
    return all(types.get(cause) in kinds for cause in causes) if causes else not kinds.isdisjoint(types.values())


def _texts(shown: Mapping[str, object] | None, name: str) -> list[str] | None:
    value = property_value(shown, name)
    if value is None or value is ABSENT:
        return None
    texts = [str(item) for item in value] if isinstance(value, list) else [str(value)]
    return None if any(MASK in text for text in texts) else texts
