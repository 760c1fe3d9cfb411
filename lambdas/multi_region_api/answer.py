"""Answers as API Gateway's Lambda proxy integration takes them."""

import json
from pathlib import Path
from typing import Any

SETTINGS = Path(__file__).with_name("settings.json")  # the stack writes it beside this module


def read_settings(path: Path = SETTINGS) -> dict[str, Any]:
    """Give what the stack has written: ``allowed_origin``, ``checks``."""
    settings: dict[str, Any] = json.loads(path.read_text())
    return settings


def answer(status: int, body: dict[str, Any], allowed_origin: str) -> dict[str, Any]:
    """Give the answer; no cache may keep it, for the next one can come from another region."""
    headers = {
        "Content-Type": "application/json",
        "Cache-Control": "no-store",
        "Access-Control-Allow-Origin": allowed_origin,
    }
    return {"statusCode": status, "headers": headers, "body": json.dumps(body)}
