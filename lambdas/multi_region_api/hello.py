"""Handler of `GET` and `HEAD /helloworld`: returns the Region that handles the request."""

import os

from .handler_settings import read_settings
from .responses import ProxyEvent, Response, json_response

REGION = os.environ["AWS_REGION"]
ALLOWED_ORIGINS = read_settings()["allowed_origins"]


def handler(event: ProxyEvent, _context: object) -> Response:
    """Return a greeting from this Region."""
    body = {"message": f"Hello from {REGION}", "region": REGION}
    return json_response(200, body, event, region=REGION, allowed_origins=ALLOWED_ORIGINS)
