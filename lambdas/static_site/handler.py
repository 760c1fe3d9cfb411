"""Lambda@Edge handler for CloudFront's origin-request event.

Lambda@Edge has no environment variables, so the stack writes the settings to `settings.json` next to this module.
The handler logs nothing. It imports only what it needs, because every import adds to the cold start that a viewer
waits for (`dataclasses` and `http` would double it).
"""

import json
from pathlib import Path
from typing import Any

from .rewrite import Choices, Redirect, key_path, rewrite


def read_choices(path: Path) -> Choices:
    """Read the settings file."""
    settings = json.loads(path.read_text())
    return Choices(**{**settings, "files": frozenset(map(key_path, settings["files"]))})


STATUS_DESCRIPTIONS = {301: "Moved Permanently", 308: "Permanent Redirect"}
SETTINGS = Path(__file__).with_name("settings.json")
CHOICES = read_choices(SETTINGS) if SETTINGS.exists() else Choices()


def handler(event: dict[str, Any], _context: Any, choices: Choices = CHOICES) -> dict[str, Any]:
    """Return the request to forward to the bucket, or a redirect response.

    The event and response formats are those of the CloudFront Developer Guide, "Lambda@Edge event structure".
    """
    request: dict[str, Any] = event["Records"][0]["cf"]["request"]
    if request["method"] in ("GET", "HEAD"):
        result = rewrite(request["uri"], request["querystring"], choices)
        if isinstance(result, Redirect):
            return _response(result, choices.redirect_status)
        request["uri"] = result
    # S3 interprets some query parameters, such as versionId and response-content-type.
    request["querystring"] = ""
    return request


def _response(redirect: Redirect, status: int) -> dict[str, Any]:
    headers = {
        "Location": redirect.location,
        # The query string is not part of the cache key, so CloudFront must not cache this redirect.
        "Cache-Control": "no-store",
    }
    return {
        "status": str(status),
        "statusDescription": STATUS_DESCRIPTIONS[status],
        "headers": {name.lower(): [{"key": name, "value": value}] for name, value in headers.items()},
    }
