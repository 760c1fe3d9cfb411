"""Responses in the format of API Gateway's Lambda proxy integration."""

import json
from collections.abc import Mapping
from typing import TypedDict

HELLO_PATH = "helloworld"  # of the API that the stack deploys and the walkthrough calls


class Response(TypedDict):
    """The response to API Gateway."""

    statusCode: int
    headers: dict[str, str]
    body: str


def json_response(status: int, body: Mapping[str, object], allowed_origin: str) -> Response:
    """Return a response that no cache stores, because the next one can come from another Region."""
    headers = {
        "Content-Type": "application/json",
        "Cache-Control": "no-store",
        "Access-Control-Allow-Origin": allowed_origin,
    }
    return {"statusCode": status, "headers": headers, "body": json.dumps(body)}
