"""Responses in the format of API Gateway's Lambda proxy integration."""

import json
from collections.abc import Mapping
from typing import TypedDict

REGION_HEADER = "X-Region"
EXPOSED_HEADERS = f"{REGION_HEADER},x-amzn-RequestId"  # API Gateway adds the request ID to every response
HELLO_PATH = "helloworld"  # of the API that the stack deploys and the walkthrough calls


class Response(TypedDict):
    """The response to API Gateway."""

    statusCode: int
    headers: dict[str, str]
    body: str


def json_response(status: int, body: Mapping[str, object], *, region: str, allowed_origin: str) -> Response:
    """Return a response that no cache stores, because the next one can come from another Region.

    region: the Region that responds.
    """
    headers = {
        "Content-Type": "application/json",
        "Cache-Control": "no-store",
        "Access-Control-Allow-Origin": allowed_origin,
        "Access-Control-Expose-Headers": EXPOSED_HEADERS,
        REGION_HEADER: region,
    }
    return {"statusCode": status, "headers": headers, "body": json.dumps(body)}
