"""CloudFormation resource handlers for health checks; MiniStack's Route 53 stores them."""

import uuid
from typing import Any

from ..ministack import route53
from ..ministack.cloudformation import resource_handlers

IMMUTABLE_PROPERTIES = ("Type", "RequestInterval", "MeasureLatency", "RoutingControlArn")


def install() -> None:
    """Add health checks."""
    resource_handlers["AWS::Route53::HealthCheck"] = {
        "create": _create_health_check,
        "update": _update_health_check,
        "delete": lambda check_id, _properties: route53.health_checks.pop(check_id, None),
    }


def _create_health_check(_logical_id: str, properties: dict[str, Any], _stack: str) -> Any:
    check_id, reference = str(uuid.uuid4()), str(uuid.uuid4())
    route53.health_checks[check_id] = {
        "id": check_id,
        "caller_reference": reference,
        "config": _config(properties),
        "version": 1,
    }
    route53.health_check_references[reference] = check_id
    tags = {tag["Key"]: tag["Value"] for tag in properties.get("HealthCheckTags", [])}
    route53.tags[("healthcheck", check_id)] = tags
    return check_id, {"HealthCheckId": check_id}


def _update_health_check(check_id: str, old: dict[str, Any], new: dict[str, Any], stack: str) -> Any:
    old_config, config = _config(old), _config(new)
    if any(old_config.get(name) != config.get(name) for name in IMMUTABLE_PROPERTIES):
        route53.health_checks.pop(check_id, None)
        return _create_health_check("", new, stack)
    check = route53.health_checks[check_id]
    check.update(config=config, version=check["version"] + 1)
    return check_id, {"HealthCheckId": check_id}


def _config(properties: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration as Route 53's API does, with numbers where a template can have strings."""
    config = dict(properties["HealthCheckConfig"])
    for name in ("Port", "RequestInterval", "FailureThreshold", "HealthThreshold"):
        if name in config:
            config[name] = int(config[name])
    config["Inverted"] = str(config.get("Inverted", False)).lower() == "true"
    return config
