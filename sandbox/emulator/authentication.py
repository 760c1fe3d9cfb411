"""Authentication of the API port: rejects unsigned requests and requests from web pages.

The emulator runs functions as processes of this computer, so anyone who can send it requests can run code. Any web page
can send requests to 127.0.0.1: cross-origin requests without a preflight, or requests to a host name that resolves to
127.0.0.1 (DNS rebinding). Therefore a request is rejected if it has a foreign `Origin`, `Sec-Fetch-Site` or `Host`, or
no Signature Version 4 by an access key of this sandbox. The body of a request without a known access key is not read.
Responses have no CORS headers.

Not implemented: the expiry of signatures after 15 minutes; presigned requests to services other than S3.
"""

import hashlib
import hmac
import json
import os
import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from ..ministack import sts

Application = Callable[..., Awaitable[None]]
HEADER = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/,]+)/\d{8}/(?P<region>[^/,]+)/(?P<service>[^/,]+)/aws4_request, ?"
    r"SignedHeaders=(?P<signed>[^,]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)
NO_PAYLOAD_HASH = ("UNSIGNED-PAYLOAD", "STREAMING-")  # values of x-amz-content-sha256 that are not hashes
# Custom resources respond here without a signature. The path ends with a random token, like a presigned URL.
CUSTOM_RESOURCE = ("PUT", re.compile(r"/_ministack/cfn-response/[\w-]{20,}"))
MAX_CUSTOM_RESOURCE_BYTES = 4096  # of a custom resource's response, as in CloudFormation


class RejectedRequestError(Exception):
    """A request that is rejected, with AWS's error code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def secret_of(access_key: str) -> str:
    """Derive the secret access key of an access key that this sandbox issues."""
    return hmac.new(os.environ["AWS_SECRET_ACCESS_KEY"].encode(), access_key.encode(), hashlib.sha256).hexdigest()


def require_signature(application: Application, port: int) -> Application:
    """Wrap MiniStack's ASGI application, which listens on `port`, with authentication."""
    hosts = {f"{host}:{port}" for host in ("127.0.0.1", "localhost")}

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await application(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            headers = headers_of(scope)
            try:
                _reject_web_pages(headers, hosts)
                authorization = _authorization(scope, headers)
                body = await _read(receive, None if authorization else MAX_CUSTOM_RESOURCE_BYTES)
                if authorization:
                    _authenticate(scope, headers, body, authorization)
            except RejectedRequestError as error:
                await _send_error(send, headers, error)
            else:
                await application(scope, replay(body, receive), _without_cors(send))

    return serve


def headers_of(scope: Any) -> dict[str, str]:
    """Return the headers with names in lower case. Values of repeated ones are joined, so that none is ignored."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]},{text}" if key in headers else text
    return headers


def _reject_web_pages(headers: dict[str, str], hosts: set[str]) -> None:
    host, origin = headers.get("host", ""), headers.get("origin")
    if host not in hosts:
        raise RejectedRequestError("AccessDenied", f"unknown host {host} (valid: {', '.join(sorted(hosts))})")
    if origin is not None and origin != f"http://{host}":
        raise RejectedRequestError("AccessDenied", f"requests from the web page {origin} are not allowed")
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise RejectedRequestError("AccessDenied", "cross-origin requests are not allowed")


def _authorization(scope: Any, headers: dict[str, str]) -> re.Match[str] | None:
    """Return the parts of the signature, before the body is read; None if the request needs no signature."""
    if not scope["raw_path"].startswith(b"/"):
        raise RejectedRequestError("AccessDenied", "the request target must be a path")
    method, path = CUSTOM_RESOURCE
    if scope["method"] == method and path.fullmatch(scope["path"]):
        return None
    query = _query(scope)
    presigned = "X-Amz-Signature" in query
    header = _as_header(query) if presigned else headers.get("authorization", "")
    authorization = HEADER.fullmatch(header)
    if authorization is None:
        raise RejectedRequestError("AccessDenied", "Access Denied: the request is not signed")
    if presigned and (authorization["service"] != "s3" or _selects_service(headers)):
        message = "presigned URLs are valid for S3 only, without headers that select another service"
        raise RejectedRequestError("AccessDenied", message)
    _secret_of_session(authorization["key"])
    return authorization


def _query(scope: Any) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(scope["query_string"].decode("latin-1")).items()}


def _authenticate(scope: Any, headers: dict[str, str], body: bytes, authorization: re.Match[str]) -> None:
    payload_hash = headers.get("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
    if not payload_hash.startswith(NO_PAYLOAD_HASH) and payload_hash != hashlib.sha256(body).hexdigest():
        raise RejectedRequestError("XAmzContentSHA256Mismatch", "x-amz-content-sha256 does not match the body")
    query = _query(scope)
    if "X-Amz-Signature" in query:
        expected = _presigned_signature(scope, headers, query, authorization)
    else:
        expected = _signature(scope, headers, body, authorization)
    if not hmac.compare_digest(expected, authorization["signature"]):
        message = "The request signature we calculated does not match the signature you provided."
        raise RejectedRequestError("SignatureDoesNotMatch", message)


def _selects_service(headers: dict[str, str]) -> bool:
    """Return whether MiniStack would select the service by headers, which a presigned URL does not sign."""
    is_form = "x-www-form-urlencoded" in headers.get("content-type", "").lower()
    return is_form or "authorization" in headers or "x-amz-target" in headers


def _secret_of_session(access_key: str) -> str:
    session = sts.sessions.get(access_key)
    if session is None:
        message = f"The security token included in the request is invalid: this sandbox did not issue {access_key}."
        raise RejectedRequestError("InvalidClientTokenId", message)
    secret: str = session["SecretAccessKey"]
    return secret


def _as_header(query: dict[str, str]) -> str:
    """Convert the signature parameters of a presigned request to an Authorization header."""
    parts = (f"{name}={query.get(f'X-Amz-{name}', '')}" for name in ("Credential", "SignedHeaders", "Signature"))
    return f"AWS4-HMAC-SHA256 {', '.join(parts)}"


def _signature(scope: Any, headers: dict[str, str], body: bytes, authorization: re.Match[str]) -> str:
    """Compute the expected signature of a request."""
    signer = S3SigV4Auth if authorization["service"] == "s3" else SigV4Auth
    request = _request(scope, headers, body, authorization, scope["query_string"].decode("latin-1"))
    return _sign(signer, request, headers.get("x-amz-date", ""), authorization)


def _presigned_signature(
    scope: Any, headers: dict[str, str], query: dict[str, str], authorization: re.Match[str]
) -> str:
    """Compute the expected signature of a presigned request; MiniStack's S3 checks its expiry."""
    parameters = scope["query_string"].decode("latin-1").split("&")
    unsigned = "&".join(parameter for parameter in parameters if not parameter.startswith("X-Amz-Signature="))
    request = _request(scope, headers, b"", authorization, unsigned)
    return _sign(S3SigV4QueryAuth, request, query.get("X-Amz-Date", ""), authorization)


def _request(
    scope: Any, headers: dict[str, str], body: bytes, authorization: re.Match[str], query_string: str
) -> AWSRequest:
    url = f"http://{headers['host']}{scope['raw_path'].split(b'?')[0].decode('latin-1')}"
    if query_string:
        url += f"?{query_string}"
    signed = {name: headers.get(name, "") for name in authorization["signed"].split(";")}
    return AWSRequest(scope["method"], url, headers=signed, data=body)


def _sign(signer: type[SigV4Auth], request: AWSRequest, timestamp: str, authorization: re.Match[str]) -> str:
    request.context["timestamp"] = timestamp
    credentials = Credentials(authorization["key"], _secret_of_session(authorization["key"]))
    auth = signer(credentials, authorization["service"], authorization["region"])
    signature: str = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    return signature


async def _read(receive: Any, limit: int | None) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RejectedRequestError("IncompleteBody", "the connection was closed before the end of the body")
        body += message.get("body", b"")
        if limit is not None and len(body) > limit:
            raise RejectedRequestError("AccessDenied", f"the body has more than {limit} bytes")
        if not message.get("more_body"):
            return bytes(body)


def replay(body: bytes, receive: Any) -> Any:
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


async def _send_error(send: Any, headers: dict[str, str], error: RejectedRequestError) -> None:
    if "x-amz-target" in headers or "json" in headers.get("content-type", ""):
        content_type, body = "application/json", json.dumps({"__type": error.code, "message": str(error)})
    else:
        code, message = escape(error.code), escape(str(error))
        content_type = "application/xml"
        body = f"<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    response_headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body.encode())).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": response_headers})
    await send({"type": "http.response.body", "body": body.encode()})
