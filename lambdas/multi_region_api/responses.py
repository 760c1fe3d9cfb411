"""Responses in the format of API Gateway's Lambda proxy integration."""

import json
from typing import Any


def json_response(status: int, body: dict[str, Any], allowed_origin: str) -> dict[str, Any]:
    """Return a response that no cache stores, because the next one can come from another Region."""
    headers = {
        "Content-Type": "application/json",
        "Cache-Control": "no-store",
        "Access-Control-Allow-Origin": allowed_origin,
    }
    return {"statusCode": status, "headers": headers, "body": json.dumps(body)}
