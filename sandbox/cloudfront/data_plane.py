"""CloudFront's data plane: processes a request according to the configuration of its distribution.

Each processing step is a function, in CloudFront's order. Source: CloudFront developer guide, how CloudFront processes
requests, and Lambda@Edge event structure.
"""

import asyncio
import fnmatch
import gzip
import time
import uuid
from dataclasses import dataclass, replace
from typing import Any

from botocore.parsers import create_parser

from .. import cloudwatch
from ..emulator.web import Request, Response
from ..ministack import cloudfront, lambda_functions
from ..ministack.requests import request_scope
from ..process import ACCOUNT, REGION
from . import functions, origin
from .resource_handlers import MODEL

CONFIG_SHAPE: Any = MODEL.operation_model("GetDistributionConfig").output_shape
MIN_COMPRESSED_BYTES = 1000
COMPRESSED_TYPES = ("text/", "application/javascript", "application/json", "image/svg+xml")


@dataclass
class Cached:
    """A cached response, with times of the monotonic clock."""

    response: Response
    stored: float
    fresh_until: float


CACHE: dict[tuple[str, ...], Cached] = {}
PROCESSED_INVALIDATIONS: dict[str, int] = {}  # number by distribution


def distribution_of(host: str) -> tuple[str, dict[str, Any]] | None:
    """Return the ID and configuration of the distribution with the domain name or alias `host`."""
    with request_scope(ACCOUNT, REGION):
        for distribution in cloudfront.distributions.values():
            config = _config(distribution["config_xml"])
            names = [distribution["DomainName"], *config.get("Aliases", {}).get("Items", [])]
            if host.lower() in (name.lower() for name in names):
                return distribution["Id"], config
    return None


def _config(xml: str) -> dict[str, Any]:
    parsed = create_parser("rest-xml").parse({"body": xml.encode(), "headers": {}, "status_code": 200}, CONFIG_SHAPE)
    config: dict[str, Any] = parsed["DistributionConfig"]
    return config


async def serve(request: Request) -> Response | None:
    """Return the response of the distribution with the request's host; None if there is none."""
    distribution = distribution_of(request.host)
    if distribution is None:
        return None
    response = await _respond(*distribution, request)
    _record(distribution[0], response.status // 100)
    return response


def _record(distribution_id: str, status_class: int) -> None:
    """Record a request; CloudFront sends its metrics to us-east-1."""
    rates = {name: 100 * (status_class == number) for number, name in ((4, "4xxErrorRate"), (5, "5xxErrorRate"))}
    rates["TotalErrorRate"] = max(rates.values())
    dimensions = [{"DistributionId": distribution_id, "Region": "Global"}]
    with request_scope(ACCOUNT, REGION):
        cloudwatch.record("AWS/CloudFront", {"Requests": 1}, dimensions, unit="None")
        cloudwatch.record("AWS/CloudFront", rates, dimensions, unit="Percent")


async def _respond(distribution_id: str, config: dict[str, Any], request: Request) -> Response:
    if not config["Enabled"]:
        return _error(403, "The distribution is disabled.")
    behavior = _behavior(config, request.path)
    rejection = _check_protocol(behavior, request) or _check_method(behavior, request)
    if rejection:
        return rejection
    continued = await _viewer_request(distribution_id, behavior, request)
    if isinstance(continued, Response):
        response = continued
    else:
        request = continued
        if request.path == "/" and config.get("DefaultRootObject"):
            request = replace(request, path=f"/{config['DefaultRootObject']}")
        response = await _from_cache_or_origin(distribution_id, config, behavior, request)
        response = await _custom_error(distribution_id, config, behavior, request, response)
    response = _add_policy_headers(behavior, request, _compress(behavior, request, response))
    response = response.with_headers(via=f"2.0 {request.host} (CloudFront)", x_amz_cf_id=uuid.uuid4().hex)
    return replace(response, body=b"") if request.method == "HEAD" else response


def _behavior(config: dict[str, Any], path: str) -> dict[str, Any]:
    for behavior in config.get("CacheBehaviors", {}).get("Items", []):
        if fnmatch.fnmatchcase(path.lstrip("/"), behavior["PathPattern"].lstrip("/")):
            return dict(behavior)
    return dict(config["DefaultCacheBehavior"])


def _check_protocol(behavior: dict[str, Any], request: Request) -> Response | None:
    policy = behavior["ViewerProtocolPolicy"]
    if request.scheme == "https" or policy == "allow-all":
        return None
    if policy == "https-only":
        return _error(403, "HTTPS only")
    query = f"?{request.query}" if request.query else ""
    location = f"https://{request.host}{request.path}{query}"
    return Response(301, {"location": location, "x-cache": "Redirect from cloudfront"})


def _check_method(behavior: dict[str, Any], request: Request) -> Response | None:
    allowed = behavior["AllowedMethods"]["Items"]
    reason = "This distribution is not configured to allow the HTTP request method that was used for this request."
    return None if request.method in allowed else _error(403, reason)


async def _viewer_request(distribution_id: str, behavior: dict[str, Any], request: Request) -> Request | Response:
    """Run the CloudFront Function of viewer requests, if there is one."""
    associations = behavior.get("FunctionAssociations", {}).get("Items", [])
    for association in associations:
        if association["EventType"] == "viewer-request":
            return await asyncio.to_thread(_run_function, association["FunctionARN"], distribution_id, request)
    return request


def _run_function(arn: str, distribution_id: str, request: Request) -> Request | Response:
    with request_scope(ACCOUNT, REGION):
        return functions.run(arn, distribution_id, request)


async def _from_cache_or_origin(
    distribution_id: str, config: dict[str, Any], behavior: dict[str, Any], request: Request
) -> Response:
    """Return the cached response, or fetch the origin's and cache it."""
    _drop_invalidated(distribution_id)
    policy = _cache_policy(behavior)
    key = (distribution_id, request.path, request.query if policy["keyed_by_query"] else "", request.host)
    cached = CACHE.get(key)
    now = time.monotonic()
    if cached and now < cached.fresh_until and request.method in ("GET", "HEAD"):
        return cached.response.with_headers(x_cache="Hit from cloudfront", age=str(int(now - cached.stored)))
    response = await _from_origin(
        distribution_id,
        config,
        behavior,
        replace(request, method="GET" if request.method == "HEAD" else request.method),
    )
    seconds = _cache_seconds(policy, response)
    if seconds and request.method in ("GET", "HEAD"):
        CACHE[key] = Cached(response, now, now + seconds)
    generated = "LambdaGeneratedResponse from cloudfront" if "x-lambda" in response.headers else "Miss from cloudfront"
    headers = {name: value for name, value in response.headers.items() if name != "x-lambda"}
    return replace(response, headers=headers).with_headers(
        x_cache=generated if response.status < 400 else "Error from cloudfront"
    )


def _drop_invalidated(distribution_id: str) -> None:
    with request_scope(ACCOUNT, REGION):
        invalidations = cloudfront.invalidations.get(distribution_id, [])
    for invalidation in invalidations[PROCESSED_INVALIDATIONS.get(distribution_id, 0) :]:
        for pattern in invalidation["InvalidationBatch"]["Paths"]["Items"]:
            for key in [k for k in CACHE if k[0] == distribution_id and fnmatch.fnmatchcase(k[1], pattern)]:
                del CACHE[key]
    PROCESSED_INVALIDATIONS[distribution_id] = len(invalidations)


def _cache_policy(behavior: dict[str, Any]) -> dict[str, Any]:
    with request_scope(ACCOUNT, REGION):
        policy = cloudfront.cache_policies.get(behavior.get("CachePolicyId"))
    if policy is None:  # the managed policy CachingDisabled
        return {"minimum": 0, "default": 0, "maximum": 0, "keyed_by_query": False, "gzip": False}
    config = policy["Config"]
    parameters = config.get("Parameters", {})
    return {
        "minimum": config["MinTTL"],
        "default": config.get("DefaultTTL", 86400),
        "maximum": config.get("MaxTTL", 31536000),
        "keyed_by_query": parameters.get("QueryStringBehavior") not in (None, "none"),
        "gzip": parameters.get("EnableAcceptEncodingGzip", False),
    }


def _cache_seconds(policy: dict[str, Any], response: Response) -> float:
    """Return how long a response is cached."""
    if response.status >= 400:
        return 0
    directives = {}
    for part in response.headers.get("cache-control", "").lower().split(","):
        name, _, value = part.strip().partition("=")
        directives[name] = value
    if directives.keys() & {"no-store", "no-cache", "private"}:
        return float(policy["minimum"])
    max_age = directives.get("s-maxage") or directives.get("max-age")
    seconds = int(max_age) if max_age else policy["default"]
    return float(min(max(seconds, policy["minimum"]), policy["maximum"]))


async def _from_origin(
    distribution_id: str, config: dict[str, Any], behavior: dict[str, Any], request: Request
) -> Response:
    (source,) = (o for o in config["Origins"]["Items"] if o["Id"] == behavior["TargetOriginId"])
    associations = behavior.get("LambdaFunctionAssociations", {}).get("Items", [])
    functions = [a["LambdaFunctionARN"] for a in associations if a["EventType"] == "origin-request"]
    if functions:
        forwarded = replace(request, query=request.query if _forwards_query(behavior) else "")
        result = await _invoke(functions[0], _event(distribution_id, source, forwarded))
        if isinstance(result, Response):
            return result
        request = replace(request, path=result["uri"], query=result["querystring"])
    return Response(*await origin.fetch(distribution_id, source, request.method, request.path))


def _forwards_query(behavior: dict[str, Any]) -> bool:
    with request_scope(ACCOUNT, REGION):
        policy = cloudfront.origin_request_policies.get(behavior.get("OriginRequestPolicyId"))
    return _cache_policy(behavior)["keyed_by_query"] or bool(
        policy and policy["Config"]["QueryStringBehavior"] == "all"
    )


def _event(distribution_id: str, source: dict[str, Any], request: Request) -> dict[str, Any]:
    """Return the origin-request event of an S3 origin."""
    domain = source["DomainName"]
    headers = {
        "host": domain,
        "user-agent": "Amazon CloudFront",
        "via": f"2.0 {request.host} (CloudFront)",
        "x-forwarded-for": request.client_ip,
    }
    return {
        "Records": [
            {
                "cf": {
                    "config": {
                        "distributionDomainName": request.host,
                        "distributionId": distribution_id,
                        "eventType": "origin-request",
                        "requestId": uuid.uuid4().hex,
                    },
                    "request": {
                        "clientIp": request.client_ip,
                        "headers": {n: [{"key": n.title(), "value": v}] for n, v in headers.items()},
                        "method": request.method,
                        "origin": {
                            "s3": {
                                "authMethod": "none",
                                "customHeaders": {},
                                "domainName": domain,
                                "path": source.get("OriginPath", ""),
                                "region": REGION,
                            }
                        },
                        "querystring": request.query,
                        "uri": request.path,
                    },
                }
            }
        ]
    }


async def _invoke(arn: str, event: dict[str, Any]) -> dict[str, Any] | Response:
    """Run the published version; it returns a request to continue with, or a response."""
    with request_scope(ACCOUNT, REGION):
        function, config, _ = lambda_functions.find_function(arn)
        record = lambda_functions.version_of(function, config)
    execution = await asyncio.to_thread(lambda_functions.invoke, record, event)
    result = execution.get("body")
    if execution.get("error") or not isinstance(result, dict):
        return _error(503, f"The Lambda function failed: {result}")
    if "status" not in result:
        return result
    headers = {name: items[0]["value"] for name, items in result.get("headers", {}).items()}
    body = result.get("body", "").encode()
    return Response(int(result["status"]), headers | {"x-lambda": "generated"}, body)


async def _custom_error(
    distribution_id: str, config: dict[str, Any], behavior: dict[str, Any], request: Request, response: Response
) -> Response:
    errors = config.get("CustomErrorResponses", {}).get("Items", [])
    rule = next((e for e in errors if e["ErrorCode"] == response.status), None)
    if rule is None or not rule.get("ResponsePagePath"):
        return response
    page = replace(request, method="GET", path=rule["ResponsePagePath"], query="")
    error_page = await _from_cache_or_origin(distribution_id, config, behavior, page)
    if error_page.status >= 400:
        return response
    return replace(error_page, status=int(rule["ResponseCode"])).with_headers(x_cache="Error from cloudfront")


def _compress(behavior: dict[str, Any], request: Request, response: Response) -> Response:
    accepts_gzip = "gzip" in request.headers.get("accept-encoding", "") and _cache_policy(behavior)["gzip"]
    is_text = response.headers.get("content-type", "").startswith(COMPRESSED_TYPES)
    if not (behavior.get("Compress") and accepts_gzip and is_text and len(response.body) >= MIN_COMPRESSED_BYTES):
        return response
    return replace(response, body=gzip.compress(response.body)).with_headers(
        content_encoding="gzip", vary="Accept-Encoding"
    )


def _add_policy_headers(behavior: dict[str, Any], request: Request, response: Response) -> Response:
    with request_scope(ACCOUNT, REGION):
        policy = cloudfront.response_headers_policies.get(behavior.get("ResponseHeadersPolicyId"))
    return apply_headers_policy(policy["Config"], request, response) if policy else response


def apply_headers_policy(config: dict[str, Any], request: Request, response: Response) -> Response:
    """Apply a response headers policy."""
    origin_header = request.headers.get("origin", "")
    headers = cloudfront.apply_headers_policy(response.headers, config, origin_header, request.method)
    return replace(response, headers=headers)


def _error(status: int, message: str) -> Response:
    return Response(status, {"content-type": "text/plain", "x-cache": "Error from cloudfront"}, message.encode())
