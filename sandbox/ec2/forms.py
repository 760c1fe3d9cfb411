"""How EC2 calls are written: the query protocol, XML, and CloudTrail's records.

CloudTrail writes the calls from before rule ids in lower camel case, with lists as
``{"items": [...]}``, and the newer ones as their XML: one level down, capitalized, one element
as itself, several as a list, each with a running `tag`.
"""

from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

LISTS = {"ipRanges": "IpRanges", "ipv6Ranges": "Ipv6Ranges", "prefixListIds": "PrefixListIds", "groups": "Groups"}
PORTS = ("fromPort", "toPort")


def nested(values: dict[str, str]) -> Any:
    """Turn ``a.1.b=x`` of the query protocol into ``{"a": [{"b": "x"}]}``."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        *path, last = name.split(".")
        place = result
        for step in path:
            place = place.setdefault(step, {})
        place[last] = value
    return _listed(result)


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value and all(key.isdigit() for key in value):
        return [_listed(value[key]) for key in sorted(value, key=int)]
    return {key: _listed(inner) for key, inner in value.items()}


def xml(name: str, value: Any) -> str:
    """Write an element as the EC2 API does: lists as <item>s, booleans in small letters."""
    if isinstance(value, dict):
        inner = "".join(xml(_small(key), item) for key, item in value.items())
    elif isinstance(value, list):
        inner = "".join(xml("item", item) for item in value)
    else:
        inner = str(value).lower() if isinstance(value, bool) else escape(str(value))
    return f"<{name}>{inner}</{name}>"


def recorded_request(name: str, request: dict[str, Any]) -> dict[str, Any]:
    """The `requestParameters` of a call."""
    if name.startswith(("Modify", "Update")):
        return {f"{name}Request": _tagged(request)}
    record: dict[str, Any] = {_small(key): value for key, value in request.items() if isinstance(value, str)}
    record |= {key: int(record[key]) for key in PORTS if key in record}
    permissions = [_recorded_permission(permission) for permission in request.get("IpPermissions", [])]
    record["ipPermissions"] = {"items": permissions} if permissions else {}
    if request.get("SecurityGroupRuleId"):
        ids = [{"securityGroupRuleId": rule_id} for rule_id in request["SecurityGroupRuleId"]]
        record["securityGroupRuleIds"] = {"items": ids}
    return record


def recorded_response(name: str, elements: dict[str, Any]) -> dict[str, Any]:
    """The `responseElements` of a call that succeeded."""
    if name.startswith(("Modify", "Update")):
        return {f"{name}Response": {"return": True}}
    record = _map_keys(elements, _small)
    lists = {key: {"items": value} if value else {} for key, value in record.items() if isinstance(value, list)}
    return {"_return": record.pop("return"), **record, **lists}


def parsed(body: bytes) -> Any:
    """Read the XML of an answer: <item>s as a list."""

    def value(element: ElementTree.Element) -> Any:
        children = list(element)
        if not children:
            text = element.text or ""
            return {"true": True, "false": False}.get(text, text)
        names = [child.tag.rpartition("}")[2] for child in children]
        if set(names) <= {"item", "Error"}:
            return [value(child) for child in children]
        return {_small(name): value(child) for name, child in zip(names, children, strict=True)}

    answer = value(ElementTree.fromstring(body))  # noqa: S314  our own answer
    return answer if isinstance(answer, dict) else {}


def recorded_other(call: Any) -> Any:
    """The parameters or the answer of a call of the older kind, in CloudTrail's form."""
    if isinstance(call, list):
        return {"items": [recorded_other(item) for item in call]}
    if not isinstance(call, dict):
        return call
    return {("_return" if key == "return" else _small(key)): recorded_other(item) for key, item in call.items()}


def _recorded_permission(permission: dict[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = {_small(key): value for key, value in permission.items() if isinstance(value, str)}
    record |= {key: int(record[key]) for key in PORTS if key in record}
    for name, ranges in LISTS.items():
        items = _map_keys(permission.get(ranges, []), _small)
        record[name] = {"items": items} if items else {}
    return record


def _tagged(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tagged(inner) for key, inner in value.items()}
    if not isinstance(value, list):
        return int(value) if value.lstrip("-").isdigit() else value
    items = [{**_tagged(item), "tag": number} for number, item in enumerate(value, 1)]
    return items[0] if len(items) == 1 else items


def _map_keys(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {change(key): _map_keys(inner, change) for key, inner in value.items()}
    return [_map_keys(inner, change) for inner in value] if isinstance(value, list) else value


def _small(key: str) -> str:
    return key[:1].lower() + key[1:]
