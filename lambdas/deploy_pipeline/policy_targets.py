"""Policies of buckets, queues, topics and secrets, which overwrite the policy that their target already has."""

from collections.abc import Callable, Mapping
from typing import Any

from .api_types import ResourceChangeWithValues
from .lossy_conditions import KNOWN_AFTER_APPLY

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
PhysicalIds = Callable[[], frozenset[tuple[str, str]]]


def outside_target(resource: ResourceChangeWithValues, physical_ids: PhysicalIds) -> str:
    """Return a reason if a policy may overwrite that of a resource outside the stack; otherwise an empty string."""
    name, kind = POLICY_TARGETS.get(str(resource.get("ResourceType")), ("", ""))
    if not name or resource.get("Action") not in ("Add", "Modify", "Dynamic"):
        return ""
    before, after = _texts(resource["Before"], name), _texts(resource["After"], name)
    if after is None:
        hidden = resource.get("Action") == "Add" or any(
            (detail.get("Target") or {}).get("Name") == name for detail in resource.get("Details") or []
        )
        return f"{name} is not visible, so the policy may be attached to a resource outside the stack" if hidden else ""
    new = [text for text in after if text not in (before or ()) and text != KNOWN_AFTER_APPLY]
    outside = [text for text in new if (kind, text) not in physical_ids()]
    return f"{name} names a resource outside the stack, whose policy is overwritten" if outside else ""


def _texts(shown: Mapping[str, Any] | None, name: str) -> list[str] | None:
    value = ((shown or {}).get("Properties") or {}).get(name)
    if value is None:
        return None
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]
