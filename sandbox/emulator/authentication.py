"""Authentication of the API port: rejects unsigned requests and requests from web pages.

The emulator runs functions as processes of this computer, so anyone who can send it requests can run code. Any web page
can send requests to 127.0.0.1: cross-origin requests without a preflight, or requests to a host name that resolves to
127.0.0.1 (DNS rebinding). Therefore a request is rejected if it has a foreign `Origin`, `Sec-Fetch-Site` or `Host`, or
no Signature Version 4 by an access key of this sandbox, or if its AWS headers can be read in two ways. The body of a
request without a known access key is not read. Responses have no CORS headers.

Not implemented: the expiry of signatures after 15 minutes; presigned requests to services other than S3.
"""

import hashlib
import hmac
import json
import math
import os
import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from ..ministack import sts
from .asgi import RejectedRequestError, close_websocket, read_body, send_response

Application = Callable[..., Awaitable[None]]
HEADER = re.compile(  # access key, date, Region and service; signed headers; signature
    r"AWS4-HMAC-SHA256 Credential=([^/,]+)/(\d{8})/([^/,]+)/([^/,]+)/aws4_request, ?"
    r"SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})"
)
NO_PAYLOAD_HASH = ("UNSIGNED-PAYLOAD", "STREAMING-")  # values of x-amz-content-sha256 that are not hashes
# Custom resources respond here without a signature. The path ends with a random token, like a presigned URL.
CUSTOM_RESOURCE = ("PUT", re.compile(r"/_ministack/cfn-response/[\w-]{20,}"))
MAX_CUSTOM_RESOURCE_BYTES = 4096  # of a custom resource's response, as in CloudFormation


def secret_of(access_key: str) -> str:
    """Derive the secret access key of an access key that this sandbox issues."""
    return hmac.new(os.environ["AWS_SECRET_ACCESS_KEY"].encode(), access_key.encode(), hashlib.sha256).hexdigest()


def require_signature(application: Application, port: int, deny: Callable[..., Any]) -> Application:
    """Wrap MiniStack's ASGI application, which listens on `port`, with authentication and authorization.

    deny: returns the response to a denied request; see `iam.authorization`.
    """
    hosts = {f"{host}:{port}" for host in ("127.0.0.1", "localhost")}

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await application(scope, receive, send)
        elif scope["type"] == "websocket":
            await close_websocket(receive, send)
        else:
            headers = _headers(scope)
            try:
                _reject_web_pages(headers, hosts)
                _reject_ambiguous(scope["headers"])
                signature = _signature(scope, headers)
                body = await read_body(receive, math.inf if signature else MAX_CUSTOM_RESOURCE_BYTES)
                if signature:
                    _authenticate(scope, headers, body, signature)
            except RejectedRequestError as error:
                denied: Any = _error_response(headers, error)
            else:
                denied = deny(scope, headers, body, signature) if signature else None
            if denied:
                await send_response(send, scope["method"], *denied)
            else:
                await application(scope, _replay(body, receive), _without_cors(send))

    return serve


def _headers(scope: Any) -> dict[str, str]:
    """Return the headers with names in lower case. Values of repeated ones are joined, so that none is ignored."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]},{text}" if key in headers else text
    return headers


def _reject_web_pages(headers: dict[str, str], hosts: set[str]) -> None:
    host, origin = headers.get("host", ""), headers.get("origin")
    if host not in hosts:
        raise RejectedRequestError(403, "AccessDenied", f"unknown host {host} (valid: {', '.join(sorted(hosts))})")
    if origin is not None and origin != f"http://{host}":
        raise RejectedRequestError(403, "AccessDenied", f"requests from the web page {origin} are not allowed")
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise RejectedRequestError(403, "AccessDenied", "cross-origin requests are not allowed")


def _reject_ambiguous(headers: list[tuple[bytes, bytes]]) -> None:
    """Reject AWS headers that are repeated or not ASCII: MiniStack joins and decodes them in another way."""
    aws_headers = [(name.lower(), value) for name, value in headers if name.lower().startswith(b"x-amz-")]
    is_repeated = len(dict(aws_headers)) < len(aws_headers)
    if is_repeated or not all(value.isascii() for _, value in aws_headers):
        message = "an x-amz- header is repeated or not ASCII, so the request can be read in two ways"
        raise RejectedRequestError(403, "AccessDenied", message)


def _signature(scope: Any, headers: dict[str, str]) -> Any:
    """Return the parts of the signature, before the body is read; None if the request needs no signature."""
    if not scope["raw_path"].startswith(b"/"):
        raise RejectedRequestError(403, "AccessDenied", "the request target must be a path")
    method, path = CUSTOM_RESOURCE
    if scope["method"] == method and path.fullmatch(scope["path"]):
        return None
    query = _query(scope)
    presigned = "X-Amz-Signature" in query
    header, date = _as_header(query) if presigned else (headers.get("authorization", ""), headers.get("x-amz-date", ""))
    match = HEADER.fullmatch(header)
    if match is None:
        raise RejectedRequestError(403, "AccessDenied", "Access Denied: the request is not signed")
    signature = sts.Signature(*match.groups(), date)
    if presigned and (signature.service != "s3" or _selects_service(headers)):
        message = "presigned URLs are valid for S3 only, without headers that select another service"
        raise RejectedRequestError(403, "AccessDenied", message)
    if presigned and _unsigned_aws_headers(headers, signature.signed_headers):
        message = "There were headers present in the request which were not signed"
        raise RejectedRequestError(403, "AccessDenied", message)
    if sts.credential(signature.access_key_id) is None:
        message = "The security token included in the request is invalid: this sandbox did not issue the access key."
        raise RejectedRequestError(403, "InvalidClientTokenId", message)
    return signature


def _query(scope: Any) -> dict[str, list[str]]:
    return parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)


def _as_header(query: dict[str, list[str]]) -> tuple[str, str]:
    """Convert the signature parameters of a presigned request to an Authorization header and a date."""
    credential, signed, signature, date = (
        query.get(f"X-Amz-{name}", [""])[0] for name in ("Credential", "SignedHeaders", "Signature", "Date")
    )
    return f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={signed}, Signature={signature}", date


def _authenticate(scope: Any, headers: dict[str, str], body: bytes, signature: Any) -> None:
    """Compare the signature with the expected one. MiniStack's S3 checks the expiry of presigned URLs."""
    payload_hash = headers.get("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
    if not payload_hash.startswith(NO_PAYLOAD_HASH) and payload_hash != hashlib.sha256(body).hexdigest():
        raise RejectedRequestError(403, "XAmzContentSHA256Mismatch", "x-amz-content-sha256 does not match the body")
    secret = sts.credential(signature.access_key_id).secret_access_key
    query, path = _query(scope), scope["raw_path"].partition(b"?")[0].decode("latin-1")
    presigned = "X-Amz-Signature" in query
    failure = sts.signature_failure(signature, secret, scope["method"], path, query, headers, body, presigned=presigned)
    if failure:
        raise RejectedRequestError(403, *failure)


def _selects_service(headers: dict[str, str]) -> bool:
    """Return whether MiniStack would select the service by headers, which a presigned URL does not sign."""
    is_form = "x-www-form-urlencoded" in headers.get("content-type", "").lower()
    return is_form or "authorization" in headers or "x-amz-target" in headers


def _unsigned_aws_headers(headers: dict[str, str], signed: str) -> set[str]:
    """Return the headers that could change what a presigned URL allows, such as `x-amz-copy-source`."""
    return {name for name in headers if name.startswith("x-amz-")} - set(signed.split(";"))


def _replay(body: bytes, receive: Any) -> Any:
    """Return a `receive` that replays the body, then continues."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Any:
        return messages.pop() if messages else await receive()

    return receive_again


def _without_cors(send: Any) -> Any:
    """Remove the CORS headers, with which MiniStack allows every origin to read its responses."""

    async def send_without_cors(message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = [header for header in message["headers"] if not header[0].lower().startswith(b"access-control-")]
            message = message | {"headers": headers}
        await send(message)

    return send_without_cors


def _error_response(headers: dict[str, str], error: RejectedRequestError) -> tuple[int, dict[str, str], bytes]:
    if "x-amz-target" in headers or "json" in headers.get("content-type", ""):
        content_type, body = "application/json", json.dumps({"__type": error.code, "message": str(error)})
    else:
        code, message = escape(error.code), escape(str(error))
        content_type = "application/xml"
        body = f"<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    return 403, {"content-type": content_type}, body.encode()
