"""CloudFront: distributions of templates, and the answers that their viewers get.

The control plane is MiniStack's. Viewers reach a distribution by its own name or an alias, as
the Host of a request to one of two ports on 127.0.0.1, HTTP and HTTPS (certificates of a
certificate authority made for this sandbox alone). From the deployed configuration come:
behaviors, viewer protocol policy, allowed methods, default root object, the origin-request
function in its published version, its generated responses, S3 as the origin with the condition
of the bucket's policy, custom error responses, response headers policy, compression (gzip),
caching with hits and misses (`x-cache`, `age`), invalidations. A function that cannot be at
the edge is refused.

Left out: origins other than S3, the other three Lambda@Edge events, CloudFront Functions, TTLs of
errors, stale answers, request collapsing, ranges, cookies, geography, signed URLs, web ACLs,
access logs (and whether their bucket takes them), KMS keys of the bucket, edge locations: there is one,
and a change is in force at once.
"""

from pathlib import Path
from typing import Any

import trustme

from . import templates
from .viewer import Request, serve

AUTHORITY = trustme.CA(organization_name="AWS on this computer")
NAMES = ("*.cloudfront.net", "*.example.com", "example.com", "localhost", "127.0.0.1")


def install() -> None:
    """Let templates have distributions."""
    templates.install()


def write_certificates(directory: Path) -> Path:
    """Write the authority's certificate, for viewers to trust, and give the server's file."""
    AUTHORITY.cert_pem.write_to_path(directory / "authority.pem")
    AUTHORITY.issue_cert(*NAMES).private_key_and_cert_chain_pem.write_to_path(directory / "server.pem")
    return directory / "server.pem"


async def viewers(scope: Any, receive: Any, send: Any) -> None:
    """The ASGI application that viewers reach."""
    if scope["type"] != "http":
        return
    headers = {name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]}
    while (await receive()).get("more_body"):
        pass  # the body of a request to a static site is of no interest
    request = Request(
        scheme=scope["scheme"],
        host=headers.get("host", headers.get(":authority", "")).split(":")[0],
        method=scope["method"],
        path=scope.get("raw_path", scope["path"].encode()).split(b"?")[0].decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        headers=headers,
        client_ip=(scope.get("client") or ["127.0.0.1"])[0],
    )
    response = await serve(request)
    sent = (
        response.headers if request.method == "HEAD" else response.headers | {"content-length": str(len(response.body))}
    )
    named = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in sent.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": named})
    await send({"type": "http.response.body", "body": response.body})
