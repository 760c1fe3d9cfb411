"""Responses in the format of API Gateway's Lambda proxy integration."""

import json
from collections.abc import Mapping, Sequence
from typing import TypedDict

REGION_HEADER = "X-Region"
EXPOSED_HEADERS = f"{REGION_HEADER},x-amzn-RequestId"  # API Gateway adds the request ID to every response
HELLO_PATH = "helloworld"  # of the API that the stack deploys and the walkthrough calls


class RequestContext(TypedDict):
    """The key of a request context that the functions read."""

    requestId: str


class ProxyEvent(TypedDict):
    """The keys of API Gateway's proxy event that the functions read."""

    headers: dict[str, str] | None
    pathParameters: dict[str, str]
    requestContext: RequestContext


class Response(TypedDict):
    """The response to API Gateway."""

    statusCode: int
    headers: dict[str, str]
    body: str


def json_response(
    status: int, body: Mapping[str, object], event: ProxyEvent, *, region: str, allowed_origins: Sequence[str]
) -> Response:
    """Return a response that no cache stores, because the next one can come from another Region.

    event: its request ID is added to the body of an error.
    region: the Region that responds.
    allowed_origins: ("*",), or origins whose pages can read the response.
    """
    if status >= 400:
        body = {**body, "requestId": event["requestContext"]["requestId"]}
    headers = {
        "Content-Type": "application/json",
        "Cache-Control": "no-store",
        "Access-Control-Allow-Origin": _allowed_origin(event, allowed_origins),
        "Vary": "Origin",
        "Access-Control-Expose-Headers": EXPOSED_HEADERS,
        REGION_HEADER: region,
    }
    return {"statusCode": status, "headers": headers, "body": json.dumps(body)}


def _allowed_origin(event: ProxyEvent, allowed_origins: Sequence[str]) -> str:
    """Return the origin of the request if it is allowed, or else the first allowed origin."""
    origins = [value for name, value in (event["headers"] or {}).items() if name.lower() == "origin"]
    return origins[0] if origins and origins[0] in allowed_origins else allowed_origins[0]
