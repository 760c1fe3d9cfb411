"""Operations of requests: service, name and parameters, according to the protocol and botocore's models."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote

from botocore.exceptions import UnknownServiceError
from botocore.model import OperationModel, StructureShape

from ..ministack.requests import service_patterns
from .parameters import SESSION, are_known, without_maps

# IAM's prefixes of actions that differ from the names in signatures.
PREFIXES = {"monitoring": "cloudwatch", "email": "ses"}
CONTROL_PREFIX = "/_"  # of paths with which MiniStack is controlled, such as /_ministack/reset
NOT_S3 = ("/iceberg", "/v2/", "/v20180820/")  # paths with which MiniStack selects other services than S3
SIGNATURE_PARAMETERS = {  # of presigned URLs; MiniStack reads other `x-amz-` parameters as headers
    f"x-amz-{name}" for name in ("algorithm", "credential", "date", "expires", "signedheaders", "signature")
} | {"x-amz-security-token", "x-amz-content-sha256"}
SIGNING_NAMES = {"dynamodbstreams": ("dynamodb",)}  # that differ from MiniStack's
QUERY_SERVICES = {"autoscaling", "cloudformation", "cloudwatch", "ec2", "iam", "ses", "sns", "sts"}
FORM_SERVICES = QUERY_SERVICES - {"cloudwatch"}  # without the JSON protocol


@dataclass(frozen=True)
class Operation:
    """An operation that a request calls.

    service: the prefix of its actions in policies. path: URL path of a REST operation.
    """

    service: str
    name: str
    region: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    method: str = "POST"
    path: str = "/"
    is_json: bool = False
    body: str = ""

    def get(self, name: str) -> str:
        """Return the text of a parameter; empty if the request does not have it."""
        value = self.parameters.get(name, "")
        return value if isinstance(value, str) else ""

    def values(self, name: str) -> list[str]:
        """Return the text of a parameter, or else all its values in lists and structures."""
        own = self.get(name)
        parameters = without_maps(self.service, self.name, self.parameters)
        return [own] if own else list(dict.fromkeys(_values(parameters, name)))


def _values(parameters: Mapping[str, Any], name: str) -> Iterator[str]:
    for key, value in parameters.items():
        own = next((part for part in reversed(key.split(".")) if not part.isdigit() and part != "member"), key) == name
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, Mapping):
                yield from _values(item, name)
            elif own and isinstance(item, str):
                yield item


@dataclass(frozen=True)
class _Route:
    """The URL of a REST operation."""

    name: str
    path: re.Pattern[str]
    query: Mapping[str, str]  # of the URL, such as `policy`; with an empty value, any
    required: frozenset[str]  # all query parameters and headers
    model: OperationModel

    @property
    def rank(self) -> tuple[int, int]:
        """Prefer the operation that requires more, then the longer literal path."""
        return len(self.required), len(re.sub(r"\(\?P.*?\)", "", self.path.pattern))


def parse(
    signing_name: str, region: str, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
) -> Operation:
    """Return the operation of a request; `signing_name` is that of the service in its signature.

    A request that MiniStack could read in another way has an operation without a name, which is denied.
    """
    service, target = PREFIXES.get(signing_name, signing_name), headers.get("x-amz-target", "")
    unknown = Operation(service, "", region, method=method, path=path)
    if unquote(path).startswith(CONTROL_PREFIX) or ((target or service in QUERY_SERVICES) and path != "/"):
        return unknown
    if unquote(path).startswith(NOT_S3) if service == "s3" else _has_encoded_body(headers):
        return unknown
    if target:
        # MiniStack selects the service by the target, and some services then read a form.
        if signing_name not in _services_of(target) or service in FORM_SERVICES:
            return unknown
        name, parameters = target.rpartition(".")[2], _json(body)
        is_known = are_known(service, name, parameters)
        return Operation(service, name, region, parameters, is_json=True) if is_known else unknown
    if service in QUERY_SERVICES:
        pairs = parse_qsl(f"{query}&{body.decode(errors='replace')}", keep_blank_values=True)
        form = dict(pairs)
        if len(form) < len(pairs):  # MiniStack would use the first of two values, or that of the body
            return unknown
        name = form.pop("Action", "")
        return Operation(service, name, region, form) if are_known(service, name, form, form=True) else unknown
    return _rest(service, region, method, path, query, headers, body)


def _has_encoded_body(headers: Mapping[str, str]) -> bool:
    """Return whether MiniStack decodes the body, which is authorized as it was sent: gzip or `aws-chunked`."""
    is_streaming = headers.get("x-amz-content-sha256", "").startswith("STREAMING-")
    return is_streaming or "content-encoding" in headers or "x-amz-decoded-content-length" in headers


def _services_of(target: str) -> list[str]:
    """Return the names in signatures of the service that MiniStack selects by X-Amz-Target."""
    for name, patterns in service_patterns.items():
        if target.startswith(tuple(patterns.get("target_prefixes", ()))):
            return [name, *SIGNING_NAMES.get(name, ())]
    return []


def _json(body: bytes) -> dict[str, Any]:
    try:
        parameters = json.loads(body or b"{}")
    except ValueError:
        return {}
    return parameters if isinstance(parameters, dict) else {}


def _rest(
    service: str, region: str, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
) -> Operation:
    texts = parse_qs(query, keep_blank_values=True).items()
    values = {name: text for name, text in texts if name.lower() not in SIGNATURE_PARAMETERS and name != "x-id"}
    matches = [
        (route, match)
        for route in _routes(service).get(method, [])
        if (match := route.path.fullmatch(path))
        and all(name in values and value in ("", values[name][0]) for name, value in route.query.items())
        and all(name in values or name in headers for name in route.required)
    ]
    unknown = Operation(service, "", region, method=method, path=path)
    is_encoded_twice = service != "s3" and "%25" in path  # MiniStack decodes some paths twice
    if not matches or is_encoded_twice:
        return unknown
    route, match = max(matches, key=lambda found: found[0].rank)
    if any(not other.required <= route.required for other, _ in matches):  # MiniStack has another order
        return unknown
    shape = route.model.input_shape
    parameters = _body_parameters(shape, body) if shape and service != "s3" else {}
    if not are_known(service, route.name, parameters) or not _are_in_query(values, route):
        return unknown
    parameters |= {name: unquote(value) for name, value in match.groupdict().items()}
    if any("%2f" in value.lower() and not name.lower().endswith("arn") for name, value in match.groupdict().items()):
        return unknown  # MiniStack reads it as a slash
    for member, member_shape in (shape.members if shape else {}).items():
        location = member_shape.serialization
        name = location.get("name", member)
        if location.get("location") == "querystring" and name in values:
            parameters[member] = values[name][0]
        elif location.get("location") == "header" and name.lower() in headers:
            parameters[member] = headers[name.lower()]
    text = "" if service == "s3" and method == "PUT" and not query else body.decode(errors="replace")
    return Operation(service, route.name, region, parameters, method, path, body=text)


def _are_in_query(names: Iterable[str], route: _Route) -> bool:
    """Return whether an operation has these query parameters. MiniStack selects some operations by others."""
    members = route.model.input_shape.members.items() if route.model.input_shape else []
    in_query = [(name, shape) for name, shape in members if shape.serialization.get("location") == "querystring"]
    known = {*route.query, *(shape.serialization.get("name", name) for name, shape in in_query)}
    return known.issuperset(names) or any(shape.type_name == "map" for _, shape in in_query)


def _body_parameters(shape: StructureShape, body: bytes) -> dict[str, Any]:
    """Return the parameters that an operation has in a JSON body, without names of those in the URL and the headers."""
    if "payload" in shape.serialization:  # such as the event of a function
        return {}
    places = {name: member.serialization for name, member in shape.members.items()}
    elsewhere = {text for name, place in places.items() if "location" in place for text in (name, place.get("name"))}
    return {name: value for name, value in _json(body).items() if name not in elsewhere}


@cache
def _routes(service: str) -> dict[str, list[_Route]]:
    """Return the routes of a service's REST operations by method."""
    routes: dict[str, list[_Route]] = {}
    try:
        model = SESSION.get_service_model(service)
    except UnknownServiceError:
        return routes
    if not model.metadata["protocol"].startswith("rest"):  # all operations have the same URL
        return routes
    for name in model.operation_names:
        operation = model.operation_model(name)
        path, _, query = operation.http["requestUri"].partition("?")
        required = _required(operation.input_shape) if operation.input_shape else frozenset()
        constants = {key: value for key, value in parse_qsl(query, keep_blank_values=True) if key != "x-id"}
        pattern = re.sub(r"\\\{(\w+)\\\+\\\}", r"(?P<\1>.+)", re.escape(path))
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", pattern)
        required |= constants.keys()
        route = _Route(name, re.compile(pattern.rstrip("/") + "/?"), constants, required, operation)
        routes.setdefault(operation.http["method"], []).append(route)
    return routes


def _required(shape: StructureShape) -> frozenset[str]:
    """Return the names of the query parameters and headers that an operation requires."""
    locations = [(name, shape.members[name].serialization) for name in shape.required_members]
    query = {place.get("name", name) for name, place in locations if place.get("location") == "querystring"}
    return frozenset(query | {place["name"].lower() for _, place in locations if place.get("location") == "header"})
