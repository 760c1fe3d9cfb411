"""The web as viewers reach it: two ports on 127.0.0.1, HTTP and HTTPS, for every host name.

A viewer's connection leads to an endpoint of AWS: the one that Route 53's records give for the
host, or the one whose address the header `x-sandbox-address` names, as a client connects that has
asked a DNS server itself. The first service that knows the endpoint or the host answers; 403 when none does.

Left out: connections that stay with the address they were opened to. Every request finds its
endpoint anew, as if no client kept an answer of DNS.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import boto3
import trustme

AUTHORITY = trustme.CA(organization_name="AWS on this computer")
REGIONS = boto3.Session().get_available_regions("apigateway")
NAMES = ("*.cloudfront.net", "*.example.com", "example.com", "localhost", "127.0.0.1")
ADDRESS = "x-sandbox-address"


@dataclass(frozen=True)
class Request:
    """A viewer's request; header names in small letters, the path as it was sent.

    endpoint: the name in AWS to which the viewer's connection leads.
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
    """An answer; header names in small letters."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def with_headers(self, **headers: str) -> "Response":
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return replace(self, headers=self.headers | named)


Service = Callable[[Request], Awaitable[Response | None]]  # None: not mine


def write_certificates(directory: Path) -> Path:
    """Write the authority's certificate, for viewers to trust, and give the server's file."""
    AUTHORITY.cert_pem.write_to_path(directory / "authority.pem")
    endpoints = (f"*.execute-api.{region}.amazonaws.com" for region in REGIONS)
    AUTHORITY.issue_cert(*NAMES, *endpoints).private_key_and_cert_chain_pem.write_to_path(directory / "server.pem")
    return directory / "server.pem"


def application(services: list[Service], endpoint_at: Callable[[str, str], str]) -> Callable[..., Awaitable[None]]:
    """Make the ASGI application that viewers reach.

    endpoint_at: gives the endpoint for a host, and an address or nothing.
    """

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        request = await _request(scope, receive, endpoint_at)
        response = Response(403, {"content-type": "text/plain"}, b"nothing that is deployed has this name")
        for service in services:
            answer = await service(request)
            if answer:
                response = answer
                break
        await _send(request, response, send)

    return serve


async def _request(scope: Any, receive: Any, endpoint_at: Callable[[str, str], str]) -> Request:
    headers = {name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]}
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    host = headers.get("host", headers.get(":authority", "")).split(":")[0]
    return Request(
        scheme=scope["scheme"],
        host=host,
        endpoint=endpoint_at(host.lower(), headers.pop(ADDRESS, "")),
        method=scope["method"],
        path=scope.get("raw_path", scope["path"].encode()).split(b"?")[0].decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        headers=headers,
        body=body,
        client_ip=(scope.get("client") or ["127.0.0.1"])[0],
    )


async def _send(request: Request, response: Response, send: Any) -> None:
    sent = response.headers
    if request.method != "HEAD":
        sent = sent | {"content-length": str(len(response.body))}
    named = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in sent.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": named})
    await send({"type": "http.response.body", "body": response.body})
