"""CloudFront Functions on viewer requests: their restrictions, events and results. Node.js runs them.

Source: CloudFront developer guide, CloudFront Functions event structure, general helper methods, and quotas. Not
implemented: other events, cookies, key value stores, compute utilization, and Node.js features that CloudFront lacks.
"""

import json
import uuid
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

from ..emulator.web import Request, Response
from ..ministack import cloudfront

MAX_BYTES = 10_240


def check_code(properties: dict[str, Any]) -> None:
    """Raise ValueError if a function is larger than CloudFront's quota."""
    size = len(properties["FunctionCode"].encode())
    if size > MAX_BYTES:
        raise ValueError(f"FunctionSizeLimitExceeded: {size} bytes (at most {MAX_BYTES})")


def check_associations(config: dict[str, Any]) -> None:
    """Raise ValueError if a distribution has a function that CloudFront does not accept."""
    for behavior in [config["DefaultCacheBehavior"], *config.get("CacheBehaviors", [])]:
        lambda_events = {a["EventType"] for a in behavior.get("LambdaFunctionAssociations", [])}
        for association in behavior.get("FunctionAssociations", []):
            arn = association["FunctionARN"]
            if _live_code(arn) is None:
                raise ValueError(f"InvalidFunctionAssociation: {arn} does not exist or is not published")
            if lambda_events & {"viewer-request", "viewer-response"}:
                raise ValueError(f"InvalidFunctionAssociation: {arn}: Lambda@Edge has a viewer event too")


def _live_code(arn: str) -> str | None:
    function = cloudfront.functions.get(arn.rpartition("/")[2])
    return function["live_body"]["code"].decode() if function and function["live_body"] else None


def run(arn: str, distribution_id: str, request: Request) -> Request | Response:
    """Run the published function on a viewer request, and return the request to continue with, or a response."""
    # The event is passed as JSON, so code after the function adds the method of its request.
    raw_query = f"""
handler = ((original) => (event) => {{
  event.request.rawQueryString = () => {json.dumps(request.query) if request.query else "undefined"};
  return original(event);
}})(handler);
"""
    try:
        result = cloudfront.run_function(f"{_live_code(arn)}{raw_query}".encode(), _event(distribution_id, request))
    except cloudfront.FunctionError as error:
        return Response(503, {"content-type": "text/plain"}, f"The CloudFront function failed: {error}".encode())
    if "statusCode" not in result:
        return replace(request, path=result["uri"])
    headers = {name: header["value"] for name, header in result.get("headers", {}).items()}
    return Response(result["statusCode"], headers | {"x-cache": "FunctionGeneratedResponse from cloudfront"})


def _event(distribution_id: str, request: Request) -> dict[str, Any]:
    return {
        "version": "1.0",
        "context": {
            "distributionDomainName": request.host,
            "distributionId": distribution_id,
            "eventType": "viewer-request",
            "requestId": uuid.uuid4().hex,
        },
        "viewer": {"ip": request.client_ip},
        "request": {
            "method": request.method,
            "uri": request.path,
            "querystring": {name: {"value": value} for name, value in parse_qsl(request.query)},
            "headers": {n: {"value": v} for n, v in {**request.headers, "host": request.host}.items()},
            "cookies": {},
        },
    }
