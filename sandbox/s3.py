"""S3: a request that nobody has signed is refused, and buckets of templates keep their tags.

MiniStack answers requests. Left out: bucket policies and access control lists that let everyone in;
no bucket of the systems has one.
"""

from typing import Any

from ministack.services import s3
from ministack.services.cloudformation import provisioners

REFUSAL = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


def install() -> None:
    """Refuse requests without a signature; give buckets of templates their tags."""
    answer = s3.handle_request

    async def handle_request(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        if "authorization" in headers or "X-Amz-Signature" in query or "Signature" in query:
            return await answer(method, path, headers, body, query)
        return 403, {"Content-Type": "application/xml"}, REFUSAL

    s3.handle_request = handle_request
    buckets = provisioners._RESOURCE_HANDLERS["AWS::S3::Bucket"]
    create, update = buckets["create"], buckets["update"]

    def create_bucket(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        return _tagged(properties, create(logical_id, properties, stack))

    def update_bucket(name: str, before: dict[str, Any], properties: dict[str, Any], stack: str) -> Any:
        return _tagged(properties, update(name, before, properties, stack))

    provisioners._RESOURCE_HANDLERS["AWS::S3::Bucket"] = {**buckets, "create": create_bucket, "update": update_bucket}


def _tagged(properties: dict[str, Any], made: Any) -> Any:
    name, _ = made
    s3._bucket_tags[name] = {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}
    return made
