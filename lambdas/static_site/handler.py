"""Lambda@Edge handler for CloudFront's origin-request event.

Lambda@Edge has no environment variables, so the stack writes the settings to `settings.json` next to this module.
The handler logs nothing. It imports only what it needs, because every import lengthens the cold start, during which a
viewer waits (`dataclasses`, `http` and `pathlib` would double it).
"""

import json
import os
from typing import TypedDict

from .rewrite import Redirect, RewriteOptions, rewrite


class Request(TypedDict):
    """The keys of a request in an origin-request event that the handler reads."""

    method: str
    uri: str
    querystring: str


class Cloudfront(TypedDict):
    """The `cf` object of an event."""

    request: Request


class EventRecord(TypedDict):
    """The only record of an event."""

    cf: Cloudfront


class Event(TypedDict):
    """An origin-request event."""

    Records: list[EventRecord]


class Header(TypedDict):
    """One value of a header."""

    key: str
    value: str


class Response(TypedDict):
    """A response that Lambda@Edge returns to the viewer instead of the origin's; its header names are lowercase."""

    status: str
    statusDescription: str
    headers: dict[str, list[Header]]


def load_options(path: str) -> RewriteOptions:
    """Load the options from the settings file."""
    with open(path, encoding="utf-8") as file:
        return RewriteOptions(**json.load(file))


STATUS_DESCRIPTIONS = {301: "Moved Permanently", 308: "Permanent Redirect"}
SETTINGS = f"{os.path.dirname(__file__)}/settings.json"
OPTIONS = load_options(SETTINGS) if os.path.exists(SETTINGS) else RewriteOptions()


def handler(event: Event, _context: object, options: RewriteOptions = OPTIONS) -> Request | Response:
    """Return the request to forward to the bucket, or a redirect response.

    The event and response formats are those of the CloudFront Developer Guide, "Lambda@Edge event structure".
    """
    request = event["Records"][0]["cf"]["request"]
    if request["method"] in ("GET", "HEAD"):
        result = rewrite(request["uri"], request["querystring"], options)
        if isinstance(result, Redirect):
            return _response(result, options.redirect_status)
        request["uri"] = result
    # S3 interprets some query parameters, such as versionId and response-content-type.
    request["querystring"] = ""
    return request


def _response(redirect: Redirect, status: int) -> Response:
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
