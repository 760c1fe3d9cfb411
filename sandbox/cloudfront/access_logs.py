"""Deliveries of access logs in templates. They are accepted if what they refer to exists; no log is written."""

import uuid
from typing import Any

from ..ministack import cloudfront
from ..ministack.cloudformation import resource_handlers
from ..process import ACCOUNT, REGION

SOURCES: set[str] = set()  # names
DESTINATIONS: set[str] = set()  # ARNs


def install() -> None:
    """Add the resource types. Their properties that the stacks use cannot change without replacement."""
    for kind, create, delete in (
        ("DeliverySource", _create_source, SOURCES.discard),
        ("DeliveryDestination", _create_destination, lambda name: DESTINATIONS.discard(_arn("destination", name))),
        ("Delivery", _create_delivery, lambda _physical_id: None),
    ):
        resource_handlers[f"AWS::Logs::{kind}"] = {
            "create": lambda _logical_id, properties, _stack, create=create: create(properties),
            "delete": lambda physical_id, _properties, delete=delete: delete(physical_id),
        }


def _arn(kind: str, name: str) -> str:
    return f"arn:aws:logs:{REGION}:{ACCOUNT}:delivery-{kind}:{name}"


def _create_source(properties: dict[str, Any]) -> tuple[str, dict[str, str]]:
    name, resource = properties["Name"], properties["ResourceArn"]
    if resource.rpartition("/")[2] not in cloudfront.distributions or properties["LogType"] != "ACCESS_LOGS":
        raise ValueError(f"ValidationException: {resource} has no logs of type {properties['LogType']}")
    if name in SOURCES:
        raise ValueError(f"ConflictException: the delivery source {name} exists")
    SOURCES.add(name)
    return name, {"Arn": _arn("source", name), "Service": "cloudfront"}


def _create_destination(properties: dict[str, Any]) -> tuple[str, dict[str, str]]:
    arn = _arn("destination", properties["Name"])
    DESTINATIONS.add(arn)
    return properties["Name"], {"Arn": arn}


def _create_delivery(properties: dict[str, Any]) -> tuple[str, dict[str, str]]:
    source, destination = properties["DeliverySourceName"], properties["DeliveryDestinationArn"]
    if source not in SOURCES or destination not in DESTINATIONS:
        raise ValueError(f"ResourceNotFoundException: {source} or {destination}")
    delivery_id = uuid.uuid4().hex[:16]
    return delivery_id, {"Arn": f"arn:aws:logs:{REGION}:{ACCOUNT}:delivery:{delivery_id}", "DeliveryId": delivery_id}
