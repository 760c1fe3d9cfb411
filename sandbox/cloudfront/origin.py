"""S3 origins: requests with origin access control, if the bucket policy allows them."""

import re
from typing import Any
from urllib.parse import unquote_to_bytes

from ..emulator.web import Response
from ..iam.authorization import is_allowed
from ..iam.implied import object_key
from ..iam.policy import Permission
from ..iam.services import source
from ..ministack import cloudfront, s3
from ..process import ACCOUNT

MAX_KEY_BYTES = 1024
METHODS = ("GET", "HEAD", "OPTIONS")
FORWARDED_HEADERS = ("content-type", "content-length", "etag", "last-modified", "cache-control")


async def fetch(distribution_id: str, source: dict[str, Any], method: str, path: str) -> Response:
    """Return S3's response for `path`, which is URL-encoded."""
    bucket = source["domain_name"].split(".s3.")[0]
    key = _key(f"{source['origin_path']}{path}")
    if key is None:
        return _error(400, "InvalidURI")
    if len(key.encode()) > MAX_KEY_BYTES:
        return _error(400, "KeyTooLongError")
    is_signed = _signs(source["oac_id"])
    if not is_signed or not _allows(bucket, key, "s3:GetObject", distribution_id) or method not in METHODS:
        return _error(403, "AccessDenied")
    status, headers, body = await s3.handle_request("GET", f"/{bucket}/{key}", {}, b"", {})
    if status >= 400:  # S3 reports missing keys only to callers that can list the bucket
        can_list = _allows(bucket, "", "s3:ListBucket", distribution_id)
        return _error(404, "NoSuchKey") if can_list else _error(403, "AccessDenied")
    lower_case = {name.lower(): str(value) for name, value in headers.items()}
    forwarded = {name: lower_case[name] for name in FORWARDED_HEADERS if name in lower_case}
    return Response(status, forwarded | {"server": "AmazonS3"}, body)


def _error(status: int, code: str) -> Response:
    return Response(status, {"content-type": "application/xml"}, f"<Error><Code>{code}</Code></Error>".encode())


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
