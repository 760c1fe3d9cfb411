"""CloudTrail events of EC2 calls that change something.

CloudTrail records older calls in lower camel case, with lists as ``{"items": [...]}``. It records the calls that were
introduced with rule ids like their XML: one level deeper, capitalized, a single element as an object, several as a
list, each with a sequential `tag`.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from .. import cloudtrail
from ..ministack.requests import access_key_of
from .ec2_protocol import lower_first, parse_query, parse_xml

READ_ONLY = ("Describe", "Get", "List", "Search")
LIKE_XML = ("ModifySecurityGroupRules", "UpdateSecurityGroupRuleDescriptions")
RULE_CALLS = ("AuthorizeSecurityGroup", "RevokeSecurityGroup")
NO_SOURCES: dict[str, Any] = {"groups": {}, "ipRanges": {}, "ipv6Ranges": {}, "prefixListIds": {}}


async def with_events(
    handle_request: Callable[..., Any], method: str, path: str, headers: Any, body: bytes, query: Any
) -> Any:
    """Handle a request, and record the call."""
    response = await handle_request(method, path, headers, body, query)
    values = {name: value[0] for name, value in parse_qs(body.decode(), keep_blank_values=True).items()}
    name = values.get("Action", "")
    if name and not name.startswith(READ_ONLY):
        _record(name, parse_query(values), headers, response)
    return response


def _record(name: str, request: dict[str, Any], headers: dict[str, str], response: tuple[int, Any, bytes]) -> None:
    status, _, body = response
    elements = parse_xml(body)
    error = None
    if status >= 400:
        problem = elements.get("errors", [{}])[0]
        error = (f"Client.{problem.get('code', 'InternalError')}", problem.get("message", ""))
    request.pop("DryRun", None)
    cloudtrail.record(
        "ec2",
        name,
        identity=cloudtrail.user_identity(access_key_of(headers)),
        user_agent=headers.get("user-agent", ""),
        request=_request(name, request),
        response=None if error else _response(name, elements),
        request_id=elements.get("requestId") or elements.get("requestID", ""),  # the latter in errors
        error=error,
    )


def _request(name: str, request: dict[str, Any]) -> dict[str, Any]:
    """Return the `requestParameters` of a call."""
    if name.startswith(LIKE_XML):
        return {f"{name}Request": _with_tags(request)}
    record: dict[str, Any] = _camel_case(request)
    if name.startswith(RULE_CALLS):
        permissions = record.get("ipPermissions", {}).get("items", [])
        record["ipPermissions"] = {"items": [NO_SOURCES | item for item in permissions]} if permissions else {}
        if ids := record.pop("securityGroupRuleId", None):
            record["securityGroupRuleIds"] = {"items": [{"securityGroupRuleId": rule_id} for rule_id in ids["items"]]}
    return record


def _response(name: str, elements: dict[str, Any]) -> Any:
    """Return the `responseElements` of a successful call."""
    return {f"{name}Response": {"return": True}} if name.startswith(LIKE_XML) else _camel_case(elements)


def _camel_case(value: Any, name: str = "") -> Any:
    if isinstance(value, list):
        return {"items": [_camel_case(item) for item in value]}
    if isinstance(value, dict):
        names = {key: "_return" if key == "return" else lower_first(key) for key in value}
        return {names[key]: _camel_case(inner, names[key]) for key, inner in value.items()}
    return int(value) if name in ("fromPort", "toPort") else value


def _with_tags(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_tags(inner) for key, inner in value.items()}
    if not isinstance(value, list):
        return int(value) if value.lstrip("-").isdigit() else value
    items = [{**_with_tags(item), "tag": number} for number, item in enumerate(value, 1)]
    return items[0] if len(items) == 1 else items
