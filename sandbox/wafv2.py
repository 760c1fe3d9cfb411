"""WAF: templates may put a web ACL before an API. It is noted there, and no request is looked at."""

import base64
import json
from typing import Any

from ministack.services import waf
from ministack.services.cloudformation import provisioners


def install() -> None:
    """Let templates associate web ACLs, and keep their search strings as WAF's API returns them."""
    handlers = provisioners._RESOURCE_HANDLERS
    web_acl = handlers["AWS::WAFv2::WebACL"]
    handlers["AWS::WAFv2::WebACL"] = {
        **web_acl,
        "create": lambda logical_id, properties, stack: web_acl["create"](logical_id, encoded(properties), stack),
    }
    handlers["AWS::WAFv2::WebACLAssociation"] = {
        "create": lambda _logical_id, properties, _stack: _associate(properties),
        "update": lambda _physical_id, _old, new, _stack: _associate(new),
        "delete": lambda _physical_id, properties: waf._disassociate_web_acl(properties),
    }


def encoded(value: Any) -> Any:
    """`value` with each ``SearchString`` in base64: text in a template, bytes in the API."""
    if isinstance(value, list):
        return [encoded(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: base64.b64encode(each.encode()).decode() if name == "SearchString" else encoded(each)
        for name, each in value.items()
    }


def _associate(properties: dict[str, Any]) -> tuple[str, dict[str, str]]:
    status, _, body = waf._associate_web_acl(properties)
    if status >= 300:
        raise ValueError(json.loads(body)["message"])
    return f"{properties['ResourceArn']}|{properties['WebACLArn']}", {}
