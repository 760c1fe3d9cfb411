"""S3 origins: requests with origin access control, if the bucket policy allows them."""

import re
from typing import Any
from urllib.parse import unquote_to_bytes

from ..iam.authorization import is_allowed
from ..iam.implied import object_key
from ..iam.policy import Permission
from ..iam.services import source
from ..ministack import cloudfront, s3
from ..ministack.requests import request_scope
from ..process import ACCOUNT, REGION

MAX_KEY_BYTES = 1024
FORWARDED_HEADERS = ("content-type", "content-length", "etag", "last-modified", "cache-control")


async def fetch(
    distribution_id: str, source: dict[str, Any], method: str, path: str
) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of S3's response for `path`, which is URL-encoded."""
    bucket = source["DomainName"].split(".s3.")[0]
    key = _key(f"{source.get('OriginPath', '')}{path}")
    if key is None:
        return 400, {"content-type": "application/xml"}, b"<Error><Code>InvalidURI</Code></Error>"
    if len(key.encode()) > MAX_KEY_BYTES:
        return 400, {"content-type": "application/xml"}, b"<Error><Code>KeyTooLongError</Code></Error>"
    with request_scope(ACCOUNT, REGION):
        is_signed = _signs(source.get("OriginAccessControlId"))
        is_allowed = is_signed and _allows(bucket, key, "s3:GetObject", distribution_id)
        can_list = is_signed and _allows(bucket, "", "s3:ListBucket", distribution_id)
        if not is_allowed or method not in ("GET", "HEAD", "OPTIONS"):
            return 403, {"content-type": "application/xml"}, b"<Error><Code>AccessDenied</Code></Error>"
        status, headers, body = await s3.handle_request("GET", f"/{bucket}/{key}", {}, b"", {})
    if status >= 400:  # S3 reports missing keys only to callers that can list the bucket
        status = 404 if can_list else 403
        return status, {"content-type": "application/xml"}, b"<Error/>"
    lower_case = {name.lower(): str(value) for name, value in headers.items()}
    forwarded = {name: lower_case[name] for name in FORWARDED_HEADERS if name in lower_case}
    return status, forwarded | {"server": "AmazonS3"}, body if isinstance(body, bytes) else str(body).encode()


def _key(path: str) -> str | None:
    """Return the key that S3's REST endpoint decodes from a path, where `+` is a space; None if it is malformed."""
    if re.search(r"%(?![0-9A-Fa-f]{2})", path):
        return None
    try:
        return unquote_to_bytes(path.replace("+", " ")).decode().removeprefix("/")
    except UnicodeDecodeError:
        return None


def _signs(control_id: str | None) -> bool:
    """Return whether an origin access control signs requests to the origin."""
    control = cloudfront.origin_access_controls.get(control_id)
    return bool(control) and control["SigningBehavior"] in ("always", "no-override")


def _allows(bucket: str, key: str, action: str, distribution_id: str) -> bool:
    """Return whether the bucket policy and the policy of the bucket's key allow `action` to this distribution."""
    context = source(f"arn:aws:cloudfront::{ACCOUNT}:distribution/{distribution_id}")
    permissions = [Permission(action, f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}")]
    permissions += object_key(bucket, key, "kms:Decrypt") if key else []
    return all(
        is_allowed("cloudfront.amazonaws.com", p.action, p.resource, {**p.context, **context}) for p in permissions
    )
