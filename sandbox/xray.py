"""X-Ray: sampling rules of templates. They are accepted and have no effect, because nothing is traced."""

from typing import Any

from .ministack.cloudformation import resource_handlers
from .ministack.requests import get_region
from .process import ACCOUNT


def install() -> None:
    """Add the resource type."""
    resource_handlers["AWS::XRay::SamplingRule"] = {
        "create": lambda _logical_id, properties, _stack: _identify(properties),
        "update": lambda _physical_id, _old, new, _stack: _identify(new),
        "delete": lambda _physical_id, _properties: None,
    }


def _identify(properties: dict[str, Any]) -> tuple[str, dict[str, str]]:
    name = properties["SamplingRule"]["RuleName"]
    arn = f"arn:aws:xray:{get_region()}:{ACCOUNT}:sampling-rule/{name}"
    return arn, {"RuleARN": arn}
