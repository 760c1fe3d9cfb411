"""Handler of `GET /healthcheck-<hosted zone ID>/{region}`: whether this Region drains another one.

Called by Route 53's health checkers. A failure to read the parameter must not undrain a Region, so the last
value is used again.
"""

import logging
import os
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from .drains import drained_token, read_drained, ssm_client
from .handler_settings import read_settings
from .responses import Response, json_response

REGION, PARAMETER = os.environ["AWS_REGION"], os.environ["DRAINED_PARAMETER"]
ALLOWED_ORIGIN = read_settings()["allowed_origin"]
LOGGER = logging.getLogger(__name__)
SSM = ssm_client()
last_value: set[str] | None = None


def handler(event: dict[str, Any], _context: object) -> Response:
    """Return 200, with the token if this Region drains the one in the path; 503 if that is unknown."""
    global last_value
    try:
        last_value = read_drained(SSM, PARAMETER)
    except (BotoCoreError, ClientError) as error:
        LOGGER.warning("Cannot read the drained Regions", extra={"status": "error", "reason": str(error)})
    if last_value is None:
        return json_response(503, {"region": REGION, "state": "unknown"}, region=REGION, allowed_origin=ALLOWED_ORIGIN)
    other = event["pathParameters"]["region"]
    state = drained_token(other) if other in last_value else "in service"
    return json_response(200, {"region": REGION, "state": state}, region=REGION, allowed_origin=ALLOWED_ORIGIN)
