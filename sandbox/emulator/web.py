"""Deployed web endpoints: an HTTP and an HTTPS port on 127.0.0.1 that serve every host name.

Each request is routed to an AWS endpoint: the one that Route 53's records return for the host, or, for a client that
has resolved the name itself, the one with the IP address in the header `x-sandbox-address`. The first service that
serves the endpoint or host responds; otherwise the response is 403.

Not implemented: connection affinity. Every request is routed again, as if clients cached no DNS response. Larger bodies
for CloudFront: all web endpoints have API Gateway's limit of 10 MB.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import boto3
import trustme

from .asgi import RejectedRequestError, close_websocket, read_body, send_response

AUTHORITY = trustme.CA(organization_name="Sandbox")
REGIONS = boto3.Session().get_available_regions("apigateway")
HOST_NAMES = ("*.cloudfront.net", "*.example.com", "*.api.example.com", "example.com", "localhost", "127.0.0.1")
ADDRESS_HEADER = "x-sandbox-address"
MAX_BODY_BYTES = 10 * 1024 * 1024  # API Gateway's limit


@dataclass(frozen=True)
class Request:
    """A client's request, with header names in lower case and the path as sent.

    endpoint: host name of the AWS endpoint that the request is routed to.
    """

    scheme: str
    host: str
    endpoint: str
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes = b""
    client_ip: str = "127.0.0.1"


@dataclass(frozen=True)
class Response:
    """A response, with header names in lower case."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def with_headers(self, **headers: str) -> "Response":
        added = {name.replace("_", "-"): value for name, value in headers.items()}
        return replace(self, headers=self.headers | added)


Service = Callable[[Request], Awaitable[Response | None]]  # None: another service's host


def write_certificates(directory: Path) -> Path:
    """Write the CA certificate and the server certificate; return the path of the latter."""
    AUTHORITY.cert_pem.write_to_path(directory / "authority.pem")
    endpoints = (f"*.execute-api.{region}.amazonaws.com" for region in REGIONS)
    AUTHORITY.issue_cert(*HOST_NAMES, *endpoints).private_key_and_cert_chain_pem.write_to_path(directory / "server.pem")
    return directory / "server.pem"


def application(services: list[Service], endpoint_at: Callable[[str, str], str]) -> Callable[..., Awaitable[None]]:
    """Return the ASGI application of the web ports.

    endpoint_at: returns the endpoint for a host and an optional IP address.
    """

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await close_websocket(receive, send)
        elif scope["type"] == "http":
            try:
                body = await read_body(receive, MAX_BODY_BYTES)
                response = await _respond(_request(scope, body, endpoint_at), services)
            except RejectedRequestError as error:
                message = json.dumps({"message": str(error)}).encode()
                response = Response(error.status, {"content-type": "application/json"}, message)
            await send_response(send, scope["method"], response.status, response.headers, response.body)

    return serve


async def _respond(request: Request, services: list[Service]) -> Response:
    for service in services:
        response = await service(request)
        if response:
            return response
    return Response(403, {"content-type": "text/plain"}, b"no deployed resource has this host name")


def _request(scope: Any, body: bytes, endpoint_at: Callable[[str, str], str]) -> Request:
    if not scope["raw_path"].startswith(b"/"):
        raise RejectedRequestError(400, "BadRequest", "The request target must be a path")
    headers = {name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]}
    host = headers.get("host", headers.get(":authority", "")).split(":")[0]
    return Request(
        scheme=scope["scheme"],
        host=host,
        endpoint=endpoint_at(host.lower(), headers.pop(ADDRESS_HEADER, "")),
        method=scope["method"],
        path=scope["raw_path"].decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        headers=headers,
        body=body,
        client_ip=(scope.get("client") or ["127.0.0.1"])[0],
    )
