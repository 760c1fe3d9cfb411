"""Handler of `GET /helloworld`: returns the Region that handles the request."""

import os
from typing import Any

from .handler_settings import read_settings
from .responses import json_response

REGION = os.environ["AWS_REGION"]
ALLOWED_ORIGIN = read_settings()["allowed_origin"]


def handler(_event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Return a greeting from this Region."""
    return json_response(200, {"message": f"Hello from {REGION}", "region": REGION}, ALLOWED_ORIGIN)
