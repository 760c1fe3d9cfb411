"""API Gateway: REST APIs at Regional endpoints and custom domain names.

The control plane, the integrations and the gateway responses are MiniStack's. This module routes requests to an API
(regional endpoint, custom domain name, base path mapping, stage), adds the headers of the default gateway responses to
the errors of functions, and rejects configurations that AWS rejects: logging without the account's CloudWatch role, and
enhanced security policies without an endpoint access mode.

Not implemented: throttling, access logs, caching, request validation, usage plans, TLS versions, names of Regional
domain names as on AWS (``d-...``), edge-optimized and private endpoints, the CORS headers of preflights. Plain HTTP
requests get the same response as HTTPS requests. Deployments, and changes of methods, take effect at once.
"""

import re
import time
from typing import Any
from urllib.parse import parse_qs, unquote

from . import cloudwatch
from .emulator.web import Request, Response
from .ministack import apigateway
from .ministack.cloudformation import add_steps, extend_resource_type
from .ministack.requests import request_scope
from .process import ACCOUNT

ENDPOINT = re.compile(r"([a-z0-9.-]+)\.execute-api\.([a-z0-9-]+)\.amazonaws\.com")


def install() -> None:
    """Reject configurations that AWS rejects, and keep the account's role for logs."""
    add_steps("AWS::ApiGateway::Stage", check=lambda _id, stage: check_logs(stage))
    for kind in ("RestApi", "DomainName"):
        add_steps(f"AWS::ApiGateway::{kind}", check=lambda _id, endpoint: check_security_policy(endpoint))
    # Deleting the resource does not change the account's role for logs.
    extend_resource_type("AWS::ApiGateway::Account", delete=lambda _physical_id, _properties: None)


def check_logs(stage: dict[str, Any]) -> None:
    """Refuse a stage with logs if the account has no role for them in the Region."""
    levels = {settings.get("LoggingLevel", "OFF") for settings in stage.get("MethodSettings", [])}
    has_logs = "AccessLogSetting" in stage or levels - {"OFF"}
    if has_logs and not apigateway.account_settings.get("settings", {}).get("cloudwatchRoleArn"):
        raise ValueError("CloudWatch Logs role ARN must be set in account settings to enable logging")


def check_security_policy(endpoint: dict[str, Any]) -> None:
    """Refuse an enhanced security policy without an endpoint access mode."""
    if endpoint.get("SecurityPolicy", "").startswith("SecurityPolicy_") and "EndpointAccessMode" not in endpoint:
        raise ValueError("Endpoint access mode is required for the specified security policy")


async def serve(request: Request) -> Response | None:
    """Return the response to a client; None if the endpoint belongs to no API."""
    endpoint = ENDPOINT.fullmatch(request.endpoint)
    if not endpoint:
        return None
    with request_scope(ACCOUNT, endpoint[2]):
        route = _route(request, endpoint[1])
        if not route:
            return Response(403, {"content-type": "application/json"}, b'{"message":"Forbidden"}')
        api_id, stage, path = route
        started = time.time()
        status, headers, body = await apigateway.execute(
            api_id, stage, request.method, unquote(path), request.headers, request.body, parse_qs(request.query)
        )
        _record(route, request.method, status, started)
        all_headers = _error_headers(api_id, status) | {name.lower(): str(value) for name, value in headers.items()}
    return Response(status, all_headers, body if isinstance(body, bytes) else str(body).encode())


def _record(route: tuple[str, str, str], method: str, status: int, started: float) -> None:
    """Record a request by API, by stage and, if the stage has detailed metrics, by method."""
    api_id, stage_name, path = route
    by_api = {"ApiName": apigateway.rest_apis[api_id]["name"]}
    sets = [by_api, by_api | {"Stage": stage_name}]
    resource, _ = apigateway.match_resource(api_id, [part for part in unquote(path).split("/") if part])
    settings = apigateway.stages.get(api_id, {}).get(stage_name, {}).get("methodSettings") or {}
    if resource:
        key = f"/{resource['path'].replace('/', '~1')}/{method}"
        if settings.get(key, settings.get("*/*", {})).get("metricsEnabled"):
            sets.append(sets[1] | {"Resource": resource["path"], "Method": method})
    counts = {"Count": 1, "4XXError": int(status // 100 == 4), "5XXError": int(status // 100 == 5)}
    cloudwatch.record("AWS/ApiGateway", counts, sets, at=started)
    milliseconds = (time.time() - started) * 1000
    cloudwatch.record("AWS/ApiGateway", {"Latency": milliseconds}, sets, unit="Milliseconds", at=started)


def _route(request: Request, api_id: str) -> tuple[str, str, str] | None:
    """Return the API ID, the stage and the path of a request; None if there is no such API."""
    host = request.host.lower()
    first, _, rest = request.path.lstrip("/").partition("/")
    if host == request.endpoint:
        return (api_id, first, f"/{rest}") if api_id in apigateway.rest_apis else None
    domain = apigateway.domain_names.get(host)
    if not domain or domain["regionalDomainName"] != request.endpoint:
        return None
    mappings = apigateway.base_path_mappings.get(host, {})
    if first in mappings:
        return mappings[first]["restApiId"], mappings[first]["stage"], f"/{rest}"
    if "(none)" in mappings:
        return mappings["(none)"]["restApiId"], mappings["(none)"]["stage"], request.path
    return None


def _error_headers(api_id: str, status: int) -> dict[str, str]:
    """Return the headers of the default gateway response, which MiniStack omits if a function fails or is throttled."""
    response_type = {4: "DEFAULT_4XX", 5: "DEFAULT_5XX"}.get(status // 100)
    response = apigateway.gateway_responses.get(api_id, {}).get(response_type, {})
    prefix = "gatewayresponse.header."
    parameters = response.get("responseParameters") or {}
    return {
        name.removeprefix(prefix).lower(): value.strip("'")
        for name, value in parameters.items()
        if name.startswith(prefix)
    }
