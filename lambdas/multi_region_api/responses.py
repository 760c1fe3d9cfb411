"""Responses in the format of API Gateway's Lambda proxy integration."""

import json
from pathlib import Path
from typing import Any

SETTINGS = Path(__file__).with_name("settings.json")  # the stack adds it to the function's package


def read_settings(path: Path = SETTINGS) -> dict[str, Any]:
    """Return the settings in the function's package: `allowed_origin` and `dependencies`."""
    settings: dict[str, Any] = json.loads(path.read_text())
    return settings


def json_response(status: int, body: dict[str, Any], allowed_origin: str) -> dict[str, Any]:
    """Return a response that no cache stores, because the next one can come from another Region."""
    headers = {
        "Content-Type": "application/json",
        "Cache-Control": "no-store",
        "Access-Control-Allow-Origin": allowed_origin,
    }
    return {"statusCode": status, "headers": headers, "body": json.dumps(body)}
