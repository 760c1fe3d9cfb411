"""Handler of `GET /healthcheck-<id>`, which only Route 53's health checkers call.

`STATUS` is the only environment variable that the stack sets, so that a failover test is one
command that replaces the environment: ``--environment 'Variables={STATUS=fail}'``.
"""

import logging
import os

from .handler_settings import read_settings
from .health import CHECK_DEPENDENCIES, UNHEALTHY, DependencyCheck, evaluate, healthy_body, unhealthy_body
from .responses import ProxyEvent, Response, json_response

REGION = os.environ["AWS_REGION"]
SETTINGS = read_settings()
ALLOWED_ORIGINS = SETTINGS["allowed_origins"]
LOGGER = logging.getLogger(__name__)
DEPENDENCIES: tuple[DependencyCheck, ...] = ()
if SETTINGS["dependencies"]:
    from .dependencies import load_dependencies

    DEPENDENCIES = load_dependencies(SETTINGS["dependencies"])


def handler(event: ProxyEvent, _context: object) -> Response:
    """Return 200 with the token, or 503 with the names of the failed dependencies."""
    failed = evaluate(os.environ.get("STATUS", CHECK_DEPENDENCIES), DEPENDENCIES)
    if not failed:
        return json_response(200, healthy_body(REGION), event, region=REGION, allowed_origins=ALLOWED_ORIGINS)
    LOGGER.warning("Region is unhealthy", extra={"status": UNHEALTHY, "region": REGION, "reason": failed})
    return json_response(503, unhealthy_body(REGION, failed), event, region=REGION, allowed_origins=ALLOWED_ORIGINS)
