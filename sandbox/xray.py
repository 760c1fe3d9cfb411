"""X-Ray: templates may have sampling rules. Nothing is traced here, and so nothing is sampled."""

from typing import Any

from ministack.core.responses import get_region
from ministack.services.cloudformation import provisioners

from .process import ACCOUNT


def install() -> None:
    """Accept sampling rules."""
    provisioners._RESOURCE_HANDLERS["AWS::XRay::SamplingRule"] = {
        "create": lambda _logical_id, properties, _stack: _rule(properties),
        "update": lambda _physical_id, _old, new, _stack: _rule(new),
        "delete": lambda _physical_id, _properties: None,
    }


def _rule(properties: dict[str, Any]) -> tuple[str, dict[str, str]]:
    name = properties["SamplingRule"]["RuleName"]
    arn = f"arn:aws:xray:{get_region()}:{ACCOUNT}:sampling-rule/{name}"
    return arn, {"RuleARN": arn}
