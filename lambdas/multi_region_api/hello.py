"""Entry point of `GET /helloworld`: says which region answers."""

import os
from typing import Any

from .answer import answer, read_settings

REGION = os.environ["AWS_REGION"]
ALLOWED_ORIGIN = read_settings()["allowed_origin"]


def handler(_event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Say hello."""
    return answer(200, {"message": f"Hello from {REGION}", "region": REGION}, ALLOWED_ORIGIN)
