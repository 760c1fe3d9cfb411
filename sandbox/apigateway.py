"""API Gateway: REST APIs as clients reach them, by their regional endpoint or a custom domain name.

The control plane and the integrations are MiniStack's. Here are the way of a request to an API
(endpoint of the region, custom domain name, base path mapping, stage), regional names as on AWS
(``d-...``), and the headers of the default gateway responses. Templates are refused where AWS refuses them: logs
without the account's role for them, an enhanced security policy without an endpoint access mode.

Left out: throttling, access logs, caching, request validation, usage plans, TLS versions, edge and
private endpoints, the CORS headers of preflights; plain HTTP is answered as HTTPS is; a deployment is in force at
once, and so is every change of a method.
"""

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote

from ministack.core.responses import get_region, request_scope
from ministack.services import apigateway_v1
from ministack.services.cloudformation import provisioners

from .process import ACCOUNT
from .web import Request, Response

ENDPOINT = re.compile(r"([a-z0-9-]+)\.execute-api\.([a-z0-9-]+)\.amazonaws\.com")


def install() -> None:
    """Give custom domain names a regional name as AWS does, and refuse templates that AWS refuses."""
    create = apigateway_v1._create_domain_name

    def create_domain_name(data: dict[str, Any]) -> Any:
        status, headers, body = create(data)
        if status >= 300:
            return status, headers, body
        domain = apigateway_v1._domain_names[data["domainName"]]
        digest = hashlib.sha256(f"{data['domainName']} {get_region()}".encode()).hexdigest()[:10]
        domain["regionalDomainName"] = f"d-{digest}.execute-api.{get_region()}.amazonaws.com"
        return status, headers, json.dumps(domain).encode()

    apigateway_v1._create_domain_name = create_domain_name
    handlers = provisioners._RESOURCE_HANDLERS
    _check_first("AWS::ApiGateway::Stage", check_logs)
    for kind in ("RestApi", "DomainName"):
        _check_first(f"AWS::ApiGateway::{kind}", check_security_policy)
    # The account keeps its role for logs when the resource that has set it is deleted.
    handlers["AWS::ApiGateway::Account"] = {
        **handlers["AWS::ApiGateway::Account"],
        "delete": lambda _physical_id, _properties: None,
    }


def _check_first(resource_type: str, check: Callable[[dict[str, Any]], None]) -> None:
    handler = provisioners._RESOURCE_HANDLERS[resource_type]

    def create(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        check(properties)
        return handler["create"](logical_id, properties, stack)

    provisioners._RESOURCE_HANDLERS[resource_type] = {**handler, "create": create}


def check_logs(stage: dict[str, Any]) -> None:
    """Refuse a stage with logs while the account has no role for them in the region."""
    levels = {each.get("LoggingLevel", "OFF") for each in stage.get("MethodSettings", [])}
    logs = "AccessLogSetting" in stage or levels - {"OFF"}
    if logs and not apigateway_v1._account_settings.get("settings", {}).get("cloudwatchRoleArn"):
        raise ValueError("CloudWatch Logs role ARN must be set in account settings to enable logging")


def check_security_policy(endpoint: dict[str, Any]) -> None:
    """Refuse an enhanced security policy without an endpoint access mode."""
    if endpoint.get("SecurityPolicy", "").startswith("SecurityPolicy_") and "EndpointAccessMode" not in endpoint:
        raise ValueError("Endpoint access mode is required for the specified security policy")


async def serve(request: Request) -> Response | None:
    """Answer a client of an endpoint; None when the endpoint is no API's."""
    endpoint = ENDPOINT.fullmatch(request.endpoint)
    if not endpoint:
        return None
    with request_scope(ACCOUNT, endpoint[2]):
        found = _api(request, endpoint[1])
        if not found:
            return _forbidden()
        api_id, stage, path = found
        status, headers, body = await apigateway_v1.handle_execute(
            api_id, stage, request.method, unquote(path), request.headers, request.body, parse_qs(request.query)
        )
        named = _error_headers(api_id, status) | {name.lower(): str(value) for name, value in headers.items()}
    return Response(status, named, body if isinstance(body, bytes) else str(body).encode())


def _api(request: Request, name: str) -> tuple[str, str, str] | None:
    """The API, the stage and the path that a request is for."""
    host = request.host.lower()
    first, _, rest = request.path.lstrip("/").partition("/")
    if host == request.endpoint:
        return (name, first, f"/{rest}") if name in apigateway_v1._rest_apis else None
    domain = apigateway_v1._domain_names.get(host)
    if not domain or domain["regionalDomainName"] != request.endpoint:
        return None
    mappings = apigateway_v1._base_path_mappings.get(host, {})
    if first in mappings:
        return mappings[first]["restApiId"], mappings[first]["stage"], f"/{rest}"
    if "(none)" in mappings:
        return mappings["(none)"]["restApiId"], mappings["(none)"]["stage"], request.path
    return None


def _error_headers(api_id: str, status: int) -> dict[str, str]:
    """Headers of the default gateway response, which an answer of the integration overrides."""
    kind = {4: "DEFAULT_4XX", 5: "DEFAULT_5XX"}.get(status // 100)
    response = apigateway_v1._gateway_responses.get(api_id, {}).get(kind, {})
    prefix = "gatewayresponse.header."
    parameters = response.get("responseParameters") or {}
    return {
        name.removeprefix(prefix).lower(): value.strip("'")
        for name, value in parameters.items()
        if name.startswith(prefix)
    }


def _forbidden() -> Response:
    return Response(403, {"content-type": "application/json"}, b'{"message":"Forbidden"}')
