"""S3 as CloudFront reaches it: signed by the origin access control, if the bucket's policy allows it."""

import fnmatch
import json
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import cloudfront, s3

from ..process import ACCOUNT, REGION

KEPT = ("content-type", "content-length", "etag", "last-modified", "cache-control")


async def fetch(
    distribution_id: str, source: dict[str, Any], method: str, path: str
) -> tuple[int, dict[str, str], bytes]:
    """Get the object of `path`, or S3's refusal: status, headers, body."""
    bucket = source["DomainName"].split(".s3.")[0]
    key = source.get("OriginPath", "").lstrip("/") + path.removeprefix("/")
    with request_scope(ACCOUNT, REGION):
        signed = source.get("OriginAccessControlId") in cloudfront._oacs
        allowed = signed and _allows(bucket, key, "s3:GetObject", distribution_id)
        listable = signed and _allows(bucket, "", "s3:ListBucket", distribution_id)
        if not allowed or method not in ("GET", "HEAD", "OPTIONS"):
            return 403, {"content-type": "application/xml"}, b"<Error><Code>AccessDenied</Code></Error>"
        signature = {"authorization": "of the origin access control"}
        status, headers, body = await s3.handle_request("GET", f"/{bucket}/{key}", signature, b"", {})
    if status >= 400:  # who may not list the bucket is not told what is missing
        status = 404 if listable else 403
        return status, {"content-type": "application/xml"}, b"<Error/>"
    named = {name.lower(): str(value) for name, value in headers.items()}
    kept = {name: named[name] for name in KEPT if name in named}
    return status, kept | {"server": "AmazonS3"}, body if isinstance(body, bytes) else str(body).encode()


def _allows(bucket: str, key: str, action: str, distribution_id: str) -> bool:
    """Whether the bucket's policy lets this distribution do `action`."""
    policy = s3._bucket_policies.get(bucket)
    if not policy:
        return False
    document = json.loads(policy) if isinstance(policy, (str, bytes)) else policy
    resource = f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}"
    arn = f"arn:aws:cloudfront::{ACCOUNT}:distribution/{distribution_id}"
    for statement in document["Statement"]:
        actions, resources = _list(statement["Action"]), _list(statement["Resource"])
        principal = statement.get("Principal")
        if (
            statement["Effect"] == "Allow"
            and isinstance(principal, dict)
            and "cloudfront.amazonaws.com" in _list(principal.get("Service", []))
            and any(fnmatch.fnmatchcase(action, pattern) for pattern in actions)
            and any(fnmatch.fnmatchcase(resource, pattern) for pattern in resources)
            and _holds(statement.get("Condition", {}), arn)
        ):
            return True
    return False


def _holds(condition: dict[str, Any], arn: str) -> bool:
    given = {"aws:sourcearn": arn, "aws:sourceaccount": ACCOUNT}
    return all(
        given.get(name.lower()) in _list(expected)
        for operator, tests in condition.items()
        for name, expected in tests.items()
        if operator in ("StringEquals", "ArnEquals", "ArnLike")
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
