"""CloudFront's data plane: MiniStack's, with a cache, Lambda@Edge and S3 origins that check the bucket policy.

MiniStack selects the cache behavior, checks protocol and method, runs CloudFront Functions, requests the page of a
custom error response, and applies the response headers policy. This module replaces its requests to origins, and adds
alternate domain names, disabled distributions, compression and metrics. Source: CloudFront developer guide, how
CloudFront processes requests, and Lambda@Edge event structure.
"""

import asyncio
import fnmatch
import gzip
import json
import time
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs

from .. import cloudwatch
from ..emulator.web import Request, Response
from ..ministack import cloudfront, lambda_functions
from ..ministack.requests import request_scope
from ..process import ACCOUNT, REGION
from . import origin

HIT, MISS, ERROR, GENERATED, GENERATED_BY_FUNCTION = (
    f"{result} from cloudfront"
    for result in ("Hit", "Miss", "Error", "LambdaGeneratedResponse", "FunctionGeneratedResponse")
)
CACHING_DISABLED = {"MinTTL": 0, "DefaultTTL": 0, "MaxTTL": 0}  # the managed cache policy
MIN_COMPRESSED_BYTES = 1000
COMPRESSED_TYPES = ("text/", "application/javascript", "application/json", "image/svg+xml")


@dataclass
class Exchange:
    """A viewer request. x_cache: of the response from the cache or the origin."""

    request: Request
    distribution_id: str
    behavior: dict[str, Any]
    x_cache: str = MISS


@dataclass
class Cached:
    """A cached response, with times of the monotonic clock."""

    response: Response
    stored: float
    fresh_until: float


EXCHANGE: ContextVar[Exchange] = ContextVar("exchange")
CACHE: dict[tuple[str, ...], Cached] = {}
PROCESSED_INVALIDATIONS: dict[str, int] = {}  # number by distribution


def install() -> None:
    """Extend MiniStack's processing of viewer requests."""
    cloudfront.parse_behavior.extend(_with_more_settings)
    cloudfront.fetch_from_origin.replace(_from_cache_or_origin)
    cloudfront.run_function.extend(_with_raw_query)


def _with_more_settings(
    parse: Callable[..., dict[str, Any]], element: Any, path_pattern: str | None = None
) -> dict[str, Any]:
    associations = element.iterfind(".//{*}LambdaFunctionAssociation")
    behavior = parse(element, path_pattern)
    return behavior | {
        "allowed_methods": behavior["allowed_methods"] or ["GET", "HEAD"],
        "compress": element.findtext("{*}Compress") == "true",
        "lambda": {a.findtext("{*}EventType"): a.findtext("{*}LambdaFunctionARN") for a in associations},
    }


def _with_raw_query(run: Callable[..., Any], code: bytes, event: dict[str, Any]) -> Any:
    """Add the method of a function's request: the event is passed as JSON, so code after the function adds it."""
    query = EXCHANGE.get().request.query
    method = f"""
handler = ((original) => (event) => {{
  event.request.rawQueryString = () => {json.dumps(query) if query else "undefined"};
  return original(event);
}})(handler);
"""
    return run(code + method.encode(), event)


async def serve(request: Request) -> Response | None:
    """Return the response of the distribution with the request's host; None if there is none."""
    with request_scope(ACCOUNT, REGION):
        distribution = _distribution_of(request.host.lower())
        if distribution is None:
            return None
        response = await _respond(distribution, request)
        _record(distribution["Id"], response.status // 100)
        return response


def _distribution_of(host: str) -> dict[str, Any] | None:
    """Return the distribution with the domain name or alias `host`."""
    for distribution in cloudfront.distributions.values():
        names = [distribution["DomainName"], *cloudfront.aliases_of(distribution)]
        if host in (name.lower() for name in names):
            return dict(distribution)
    return None


def _record(distribution_id: str, status_class: int) -> None:
    """Record a request; CloudFront sends its metrics to us-east-1."""
    rates = {name: 100 * (status_class == number) for number, name in ((4, "4xxErrorRate"), (5, "5xxErrorRate"))}
    rates["TotalErrorRate"] = max(rates.values())
    dimensions = [{"DistributionId": distribution_id, "Region": "Global"}]
    cloudwatch.record("AWS/CloudFront", {"Requests": 1}, dimensions, unit="None")
    cloudwatch.record("AWS/CloudFront", rates, dimensions, unit="Percent")


async def _respond(distribution: dict[str, Any], request: Request) -> Response:
    if not distribution["enabled"]:
        return Response(403, {"content-type": "text/plain", "x-cache": ERROR}, b"The distribution is disabled.")
    behavior = cloudfront.match_behavior(cloudfront.parse_config(distribution), request.path)
    exchange = Exchange(request, distribution["Id"], behavior)
    EXCHANGE.set(exchange)
    status, headers, body = await cloudfront.handle_viewer_request(
        distribution,
        request.method,
        request.path,
        request.path,
        request.query,
        request.headers | {"host": request.host, "x-forwarded-proto": request.scheme},
        request.body,
        parse_qs(request.query, keep_blank_values=True),
        request.client_ip,
    )
    response = Response(status, {name.lower(): value for name, value in headers.items()}, body)
    if response.headers["x-cache"] == GENERATED_BY_FUNCTION:
        policy = cloudfront.headers_policy(behavior["response_headers_policy_id"])
        viewer_origin = request.headers.get("origin", "")
        added = cloudfront.apply_headers_policy(response.headers, policy, viewer_origin, request.method)
        response = replace(response, headers=added)
    elif response.headers["x-cache"] == MISS:
        response = _compress(exchange, response.with_headers(x_cache=exchange.x_cache))
    return replace(response, body=b"") if request.method == "HEAD" else response


async def _from_cache_or_origin(
    source: dict[str, Any], method: str, path: str, query: str, *_others: Any
) -> tuple[int, str, dict[str, str], bytes]:
    """Return status, reason, headers and body of the cached response, or fetch the origin's and cache it."""
    exchange = EXCHANGE.get()
    _drop_invalidated(exchange.distribution_id)
    policy = _cache_policy(exchange.behavior)
    is_keyed_by_query = policy.get("Parameters", {}).get("QueryStringBehavior", "none") != "none"
    key = (exchange.distribution_id, path, query if is_keyed_by_query else "")
    cached = CACHE.get(key)
    now = time.monotonic()
    if cached and now < cached.fresh_until and method in ("GET", "HEAD"):
        x_cache, response = HIT, cached.response.with_headers(age=str(int(now - cached.stored)))
    else:
        x_cache, response = await _from_origin(exchange, source, "GET" if method == "HEAD" else method, path, query)
        seconds = _cache_seconds(policy, response)
        if seconds and method in ("GET", "HEAD"):
            CACHE[key] = Cached(response, now, now + seconds)
    if exchange.x_cache != ERROR:  # so the page of a custom error response remains an error
        exchange.x_cache = x_cache if response.status < 400 else ERROR
    return response.status, "", response.headers, response.body


def _drop_invalidated(distribution_id: str) -> None:
    invalidations = cloudfront.invalidations.get(distribution_id, [])
    for invalidation in invalidations[PROCESSED_INVALIDATIONS.get(distribution_id, 0) :]:
        for pattern in invalidation["InvalidationBatch"]["Paths"]["Items"]:
            for key in [k for k in CACHE if k[0] == distribution_id and fnmatch.fnmatchcase(k[1], pattern)]:
                del CACHE[key]
    PROCESSED_INVALIDATIONS[distribution_id] = len(invalidations)


def _cache_policy(behavior: dict[str, Any]) -> dict[str, Any]:
    policy = cloudfront.cache_policies.get(behavior["cache_policy_id"])
    return policy["Config"] if policy else CACHING_DISABLED


def _cache_seconds(policy: dict[str, Any], response: Response) -> float:
    """Return how long a response is cached."""
    if response.status >= 400:
        return 0
    parts = response.headers.get("cache-control", "").lower().split(",")
    directives = {name: value for name, _, value in (part.strip().partition("=") for part in parts)}
    if directives.keys() & {"no-store", "no-cache", "private"}:
        return float(policy["MinTTL"])
    max_age = directives.get("s-maxage") or directives.get("max-age")
    seconds = int(max_age) if max_age else policy.get("DefaultTTL", 86400)
    return float(min(max(seconds, policy["MinTTL"]), policy.get("MaxTTL", 31536000)))


async def _from_origin(
    exchange: Exchange, source: dict[str, Any], method: str, path: str, query: str
) -> tuple[str, Response]:
    """Return the response of the function of origin requests, or the origin's, with its `x-cache`."""
    arn = exchange.behavior["lambda"].get("origin-request")
    if arn:
        result = await _invoke(arn, _event(exchange, source, method, path, query))
        if isinstance(result, Response):
            return GENERATED, result
        path = result["uri"]
    return MISS, await origin.fetch(exchange.distribution_id, source, method, path)


def _event(exchange: Exchange, source: dict[str, Any], method: str, path: str, query: str) -> dict[str, Any]:
    """Return the origin-request event of an S3 origin."""
    viewer = exchange.request
    headers = {
        "host": source["domain_name"],
        "user-agent": "Amazon CloudFront",
        "via": f"2.0 {viewer.host} (CloudFront)",
        "x-forwarded-for": viewer.client_ip,
    }
    bucket = {
        "authMethod": "none",
        "customHeaders": {},
        "domainName": source["domain_name"],
        "path": source["origin_path"],
        "region": REGION,
    }
    config = {
        "distributionDomainName": viewer.host,
        "distributionId": exchange.distribution_id,
        "eventType": "origin-request",
        "requestId": uuid.uuid4().hex,
    }
    request = {
        "clientIp": viewer.client_ip,
        "headers": {n: [{"key": n.title(), "value": v}] for n, v in headers.items()},
        "method": method,
        "origin": {"s3": bucket},
        "querystring": query,
        "uri": path,
    }
    return {"Records": [{"cf": {"config": config, "request": request}}]}


async def _invoke(arn: str, event: dict[str, Any]) -> dict[str, Any] | Response:
    """Run the published version; it returns a request to continue with, or a response."""
    function, config, _ = lambda_functions.find_function(arn)
    record = lambda_functions.version_of(function, config)
    execution = await asyncio.to_thread(lambda_functions.invoke, record, event)
    result = execution.get("body")
    if execution.get("error") or not isinstance(result, dict):
        message = f"The Lambda function failed: {result}"
        return Response(503, {"content-type": "text/plain"}, message.encode())
    if "status" not in result:
        return result
    headers = {name: items[0]["value"] for name, items in result.get("headers", {}).items()}
    return Response(int(result["status"]), headers, result.get("body", "").encode())


def _compress(exchange: Exchange, response: Response) -> Response:
    policy = _cache_policy(exchange.behavior).get("Parameters", {})
    accepts_gzip = "gzip" in exchange.request.headers.get("accept-encoding", "")
    is_text = response.headers.get("content-type", "").startswith(COMPRESSED_TYPES)
    is_compressed = exchange.behavior["compress"] and policy.get("EnableAcceptEncodingGzip") and accepts_gzip
    if not (is_compressed and is_text and len(response.body) >= MIN_COMPRESSED_BYTES):
        return response
    body = gzip.compress(response.body)
    return replace(response, body=body).with_headers(content_encoding="gzip", vary="Accept-Encoding")
