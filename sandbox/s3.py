"""S3: buckets in templates keep their tags.

Implements: the tags of ``AWS::S3::Bucket``; MiniStack implements the rest. Not implemented: public access through
bucket policies or access control lists.
"""

from typing import Any

from .ministack import s3
from .ministack.cloudformation import add_steps


def install() -> None:
    """Store the tags of buckets in templates."""
    add_steps("AWS::S3::Bucket", apply=_store_tags)


def _store_tags(name: str, properties: dict[str, Any]) -> None:
    s3.bucket_tags[name] = {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}
