"""S3: buckets in templates keep their tags.

Implements: the tags of ``AWS::S3::Bucket``; MiniStack implements the rest. Not implemented: public access through
bucket policies or access control lists.
"""

from typing import Any

from .ministack import s3
from .ministack.cloudformation import extend_resource_type, resource_handlers


def install() -> None:
    """Store the tags of buckets in templates."""
    create, update = (resource_handlers["AWS::S3::Bucket"][name] for name in ("create", "update"))

    def create_bucket(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        return _store_tags(properties, create(logical_id, properties, stack))

    def update_bucket(name: str, old: dict[str, Any], new: dict[str, Any], stack: str) -> Any:
        return _store_tags(new, update(name, old, new, stack))

    extend_resource_type("AWS::S3::Bucket", create=create_bucket, update=update_bucket)


def _store_tags(properties: dict[str, Any], result: Any) -> Any:
    name, _ = result
    s3.bucket_tags[name] = {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}
    return result
