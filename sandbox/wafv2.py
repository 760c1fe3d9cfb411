"""WAF: templates may put a web ACL before an API. It is noted there, and no request is looked at."""

import json
from typing import Any

from ministack.services import waf
from ministack.services.cloudformation import provisioners


def install() -> None:
    """Let templates associate web ACLs."""
    provisioners._RESOURCE_HANDLERS["AWS::WAFv2::WebACLAssociation"] = {
        "create": lambda _logical_id, properties, _stack: _associate(properties),
        "update": lambda _physical_id, _old, new, _stack: _associate(new),
        "delete": lambda _physical_id, properties: waf._disassociate_web_acl(properties),
    }


def _associate(properties: dict[str, Any]) -> tuple[str, dict[str, str]]:
    status, _, body = waf._associate_web_acl(properties)
    if status >= 300:
        raise ValueError(json.loads(body)["message"])
    return f"{properties['ResourceArn']}|{properties['WebACLArn']}", {}
