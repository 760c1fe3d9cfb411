"""Handler of `GET /helloworld`: returns the Region that handles the request."""

import os

from .handler_settings import read_settings
from .responses import Response, json_response

REGION = os.environ["AWS_REGION"]
ALLOWED_ORIGIN = read_settings()["allowed_origin"]


def handler(_event: object, _context: object) -> Response:
    """Return a greeting from this Region."""
    return json_response(
        200, {"message": f"Hello from {REGION}", "region": REGION}, region=REGION, allowed_origin=ALLOWED_ORIGIN
    )
