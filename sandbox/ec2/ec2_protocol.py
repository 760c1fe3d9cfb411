"""Formats of EC2 calls: the query protocol, XML, and CloudTrail records.

CloudTrail records older calls in lower camel case, with lists as ``{"items": [...]}``. It records the calls that were
introduced with rule ids like their XML: one level deeper, capitalized, a single element as an object, several as a
list, each with a sequential `tag`.
"""

from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

RANGE_LISTS = {"ipRanges": "IpRanges", "ipv6Ranges": "Ipv6Ranges", "prefixListIds": "PrefixListIds", "groups": "Groups"}
PORT_KEYS = ("fromPort", "toPort")


def parse_query(values: dict[str, str]) -> Any:
    """Convert ``a.1.b=x`` of the query protocol to ``{"a": [{"b": "x"}]}``."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        *path, last = name.split(".")
        parent = result
        for key in path:
            parent = parent.setdefault(key, {})
        parent[last] = value
    return _numbered_to_lists(result)


def _numbered_to_lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value and all(key.isdigit() for key in value):
        return [_numbered_to_lists(value[key]) for key in sorted(value, key=int)]
    return {key: _numbered_to_lists(inner) for key, inner in value.items()}


def to_xml(name: str, value: Any) -> str:
    """Return an element of the EC2 API, with lists as <item>s and booleans in lower case."""
    if isinstance(value, dict):
        inner = "".join(to_xml(_lower_first(key), item) for key, item in value.items())
    elif isinstance(value, list):
        inner = "".join(to_xml("item", item) for item in value)
    else:
        inner = str(value).lower() if isinstance(value, bool) else escape(str(value))
    return f"<{name}>{inner}</{name}>"


def cloudtrail_request(name: str, request: dict[str, Any]) -> dict[str, Any]:
    """Return the `requestParameters` of a call."""
    if name.startswith(("Modify", "Update")):
        return {f"{name}Request": _with_tags(request)}
    record: dict[str, Any] = {_lower_first(key): value for key, value in request.items() if isinstance(value, str)}
    record |= {key: int(record[key]) for key in PORT_KEYS if key in record}
    permissions = [_cloudtrail_permission(permission) for permission in request.get("IpPermissions", [])]
    record["ipPermissions"] = {"items": permissions} if permissions else {}
    if request.get("SecurityGroupRuleId"):
        ids = [{"securityGroupRuleId": rule_id} for rule_id in request["SecurityGroupRuleId"]]
        record["securityGroupRuleIds"] = {"items": ids}
    return record


def cloudtrail_response(name: str, elements: dict[str, Any]) -> dict[str, Any]:
    """Return the `responseElements` of a successful call."""
    if name.startswith(("Modify", "Update")):
        return {f"{name}Response": {"return": True}}
    record = _map_keys(elements, _lower_first)
    lists = {key: {"items": value} if value else {} for key, value in record.items() if isinstance(value, list)}
    return {"_return": record.pop("return"), **record, **lists}


def parse_xml(body: bytes) -> Any:
    """Parse the XML of a response, with <item>s as lists."""

    def value(element: ElementTree.Element) -> Any:
        children = list(element)
        if not children:
            text = element.text or ""
            return {"true": True, "false": False}.get(text, text)
        names = [child.tag.rpartition("}")[2] for child in children]
        if set(names) <= {"item", "Error"}:
            return [value(child) for child in children]
        return {_lower_first(name): value(child) for name, child in zip(names, children, strict=True)}

    content = value(ElementTree.fromstring(body))  # noqa: S314  # the emulator's response
    return content if isinstance(content, dict) else {}


def cloudtrail_parameters(call: Any) -> Any:
    """Return the parameters or the response of an older call in CloudTrail's format."""
    if isinstance(call, list):
        return {"items": [cloudtrail_parameters(item) for item in call]}
    if not isinstance(call, dict):
        return call
    return {
        ("_return" if key == "return" else _lower_first(key)): cloudtrail_parameters(item) for key, item in call.items()
    }


def _cloudtrail_permission(permission: dict[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = {_lower_first(key): value for key, value in permission.items() if isinstance(value, str)}
    record |= {key: int(record[key]) for key in PORT_KEYS if key in record}
    for name, ranges in RANGE_LISTS.items():
        items = _map_keys(permission.get(ranges, []), _lower_first)
        record[name] = {"items": items} if items else {}
    return record


def _with_tags(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_tags(inner) for key, inner in value.items()}
    if not isinstance(value, list):
        return int(value) if value.lstrip("-").isdigit() else value
    items = [{**_with_tags(item), "tag": number} for number, item in enumerate(value, 1)]
    return items[0] if len(items) == 1 else items


def _map_keys(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {change(key): _map_keys(inner, change) for key, inner in value.items()}
    return [_map_keys(inner, change) for inner in value] if isinstance(value, list) else value


def _lower_first(key: str) -> str:
    return key[:1].lower() + key[1:]
