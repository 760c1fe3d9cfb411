"""Handler of `GET /healthcheck-<hosted zone ID>/{region}`: whether this Region drains another one.

Called by Route 53's health checkers. A failure to read the parameter must not undrain a Region, so the last
value is used again.
"""

import logging
import os

from botocore.exceptions import BotoCoreError, ClientError

from .drains import drained_token, read_drained
from .handler_settings import read_settings
from .responses import ProxyEvent, Response, json_response
from .ssm_client import ssm_client

REGION, PARAMETER = os.environ["AWS_REGION"], os.environ["DRAINED_PARAMETER"]
ALLOWED_ORIGINS = read_settings()["allowed_origins"]
LOGGER = logging.getLogger(__name__)
SSM = ssm_client()
last_value: set[str] | None = None


def handler(event: ProxyEvent, _context: object) -> Response:
    """Return 200 with the token if this Region drains the one in the path, or else 404; 503 if that is unknown."""
    global last_value
    try:
        last_value = read_drained(SSM, PARAMETER).regions
    except (BotoCoreError, ClientError) as error:
        LOGGER.warning("Cannot read the drained Regions", extra={"status": "error", "reason": str(error)})
    if last_value is None:
        body = {"region": REGION, "state": "unknown"}
        return json_response(503, body, event, region=REGION, allowed_origins=ALLOWED_ORIGINS)
    other = event["pathParameters"]["region"]
    # A health check that does not search for the token reads the status.
    status, state = (200, drained_token(other)) if other in last_value else (404, "in service")
    body = {"region": REGION, "state": state}
    return json_response(status, body, event, region=REGION, allowed_origins=ALLOWED_ORIGINS)
