"""S3 origins: requests with origin access control, if the bucket policy allows them."""

import fnmatch
import json
import re
from typing import Any
from urllib.parse import unquote_to_bytes

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
    """Return whether the bucket policy allows `action` to this distribution; a Deny takes precedence."""
    policy = s3.bucket_policies.get(bucket)
    if not policy:
        return False
    document = json.loads(policy) if isinstance(policy, (str, bytes)) else policy
    resource = f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}"
    arn = f"arn:aws:cloudfront::{ACCOUNT}:distribution/{distribution_id}"
    effects = {
        statement["Effect"]
        for statement in document["Statement"]
        if _is_cloudfront(statement.get("Principal"))
        and any(fnmatch.fnmatchcase(action, pattern) for pattern in _list(statement["Action"]))
        and any(fnmatch.fnmatchcase(resource, pattern) for pattern in _list(statement["Resource"]))
        and _holds(statement.get("Condition", {}), arn)
    }
    return effects == {"Allow"}


def _is_cloudfront(principal: Any) -> bool:
    if isinstance(principal, dict) and "Service" in principal:
        return "cloudfront.amazonaws.com" in _list(principal["Service"])
    return principal == "*" or (isinstance(principal, dict) and "*" in _list(principal.get("AWS", [])))


def _holds(condition: dict[str, Any], arn: str) -> bool:
    """Return whether a condition is met; unsupported operators and keys raise an error."""
    context = {"aws:sourcearn": arn, "aws:sourceaccount": ACCOUNT, "aws:securetransport": "true"}
    for operator, tests in condition.items():
        if operator not in ("StringEquals", "ArnEquals", "ArnLike", "Bool"):
            raise ValueError(f"the sandbox does not support {operator} in bucket policies")
        if any(context[name.lower()] not in _list(expected) for name, expected in tests.items()):
            return False
    return True


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
