"""Entry point: an origin-request event of CloudFront.

Lambda@Edge has no environment variables; the settings are in `settings.json` beside this
module, which the stack writes. Nothing is logged, and nothing is imported that is not needed
(dataclasses and http would double it): a cold start is a viewer's wait.
"""

import json
from pathlib import Path
from typing import Any

from .rewrite import Choices, Redirect, key_path, rewrite


def read_choices(path: Path) -> Choices:
    """Read the settings file."""
    given = json.loads(path.read_text())
    return Choices(**{**given, "files": frozenset(map(key_path, given["files"]))})


PHRASES = {301: "Moved Permanently", 308: "Permanent Redirect"}
SETTINGS = Path(__file__).with_name("settings.json")
CHOICES = read_choices(SETTINGS) if SETTINGS.exists() else Choices()


def handler(event: dict[str, Any], _context: Any, choices: Choices = CHOICES) -> dict[str, Any]:
    """Give the request as it goes on to the bucket, or the response that redirects the viewer.

    Source of the shapes: CloudFront developer guide, Lambda@Edge event structure.
    """
    request: dict[str, Any] = event["Records"][0]["cf"]["request"]
    if request["method"] in ("GET", "HEAD"):
        result = rewrite(request["uri"], request["querystring"], choices)
        if isinstance(result, Redirect):
            return _response(result, choices.redirect_status)
        request["uri"] = result
    # S3 takes some parameters for commands (versionId, response-content-type, ...).
    request["querystring"] = ""
    return request


def _response(redirect: Redirect, status: int) -> dict[str, Any]:
    headers = {
        "Location": redirect.location,
        # The query string is not part of the cache's key, so the cache must not keep this.
        "Cache-Control": "no-store",
    }
    return {
        "status": str(status),
        "statusDescription": PHRASES[status],
        "headers": {name.lower(): [{"key": name, "value": value}] for name, value in headers.items()},
    }
