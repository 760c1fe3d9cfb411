"""WAF: web ACL associations of templates. They are stored, but requests are not inspected."""

import base64
from typing import Any

from .emulator.json_protocol import content
from .ministack import waf
from .ministack.cloudformation import extend_resource_type, resource_handlers


def install() -> None:
    """Add the association resource, and store search strings as the WAF API returns them."""
    web_acl = resource_handlers["AWS::WAFv2::WebACL"]
    extend_resource_type(
        "AWS::WAFv2::WebACL",
        create=lambda logical_id, properties, stack: web_acl["create"](logical_id, encoded(properties), stack),
    )
    resource_handlers["AWS::WAFv2::WebACLAssociation"] = {
        "create": lambda _logical_id, properties, _stack: _associate(properties),
        "update": lambda _physical_id, _old, new, _stack: _associate(new),
        "delete": lambda _physical_id, properties: waf.disassociate_web_acl(properties),
    }


def encoded(value: Any) -> Any:
    """Encode each ``SearchString`` in base64, because it is text in a template and bytes in the API."""
    if isinstance(value, list):
        return [encoded(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: base64.b64encode(item.encode()).decode() if name == "SearchString" else encoded(item)
        for name, item in value.items()
    }


def _associate(properties: dict[str, Any]) -> tuple[str, dict[str, str]]:
    content(waf.associate_web_acl(properties))
    return f"{properties['ResourceArn']}|{properties['WebACLArn']}", {}
