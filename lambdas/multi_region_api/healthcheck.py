"""Entry point of `GET /healthcheck-<id>`, which only Route 53's health checkers call.

`STATUS` is the function's only environment variable of its own, so that a drill is one command
that sets the whole environment: ``--environment 'Variables={STATUS=fail}'``.
"""

import json
import os
from typing import Any

from .answer import answer, read_settings
from .health import BY_CHECKS, Check, healthy_body, judge, sick_body

REGION = os.environ["AWS_REGION"]
SETTINGS = read_settings()
CHECKS: tuple[Check, ...] = ()
if SETTINGS["checks"]:
    from .dependencies import checks_of

    CHECKS = checks_of(SETTINGS["checks"])


def handler(_event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Answer 200 with the token, or 503 with what failed."""
    failed = judge(os.environ.get("STATUS", BY_CHECKS), CHECKS)
    if not failed:
        return answer(200, healthy_body(REGION), SETTINGS["allowed_origin"])
    print(json.dumps({"health": "sick", "region": REGION, "failed": failed}))
    return answer(503, sick_body(REGION, failed), SETTINGS["allowed_origin"])
