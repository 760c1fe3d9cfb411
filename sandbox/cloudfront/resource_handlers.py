"""CloudFront in templates: checks that MiniStack lacks, and deliveries of access logs, for which no log is written."""

import uuid
from collections.abc import Mapping
from functools import partial
from typing import Any

from ..ministack import cloudfront
from ..ministack.cloudformation import add_steps, resource_handlers
from ..process import ACCOUNT, REGION
from . import edge_functions

DELIVERY_TYPES = {  # of resources in ARNs
    "DeliverySource": "delivery-source",
    "DeliveryDestination": "delivery-destination",
    "Delivery": "delivery",
}


def install() -> None:
    """Refuse names that are taken and functions that CloudFront does not accept, and add deliveries."""
    for kind, existing in {
        "OriginAccessControl": cloudfront.origin_access_controls,
        "CachePolicy": cloudfront.cache_policies,
        "OriginRequestPolicy": cloudfront.origin_request_policies,
        "ResponseHeadersPolicy": cloudfront.response_headers_policies,
    }.items():
        add_steps(f"AWS::CloudFront::{kind}", check=partial(_check_name, kind, existing))
    # MiniStack does not check CloudFront's quota of a function's code in templates.
    add_steps("AWS::CloudFront::Function", check=lambda _id, properties: edge_functions.check_code(properties))
    add_steps(
        "AWS::CloudFront::Distribution",
        check=lambda _id, properties: edge_functions.check_associations(properties["DistributionConfig"]),
    )
    # The comment is optional in a template, and always present in the API.
    cloudfront.distribution_config_xml.extend(lambda render, config: render({"Comment": "", **config}))
    for kind in DELIVERY_TYPES:
        resource_handlers[f"AWS::Logs::{kind}"] = {
            "create": partial(_create_delivery, kind),
            "delete": lambda _physical_id, _properties: None,
        }


def _check_name(kind: str, existing: Mapping[str, Any], resource_id: str, properties: dict[str, Any]) -> None:
    """Refuse a name as the API does; MiniStack would return the existing resource, and delete it with the stack."""
    name = properties[f"{kind}Config"]["Name"]
    others = (item for key, item in existing.items() if key != resource_id)
    if any(item.get("Config", item)["Name"] == name for item in others):
        raise ValueError(f"{kind}AlreadyExists: the name {name} is taken")


def _create_delivery(
    kind: str, _logical_id: str, properties: dict[str, Any], _stack: str
) -> tuple[str, dict[str, str]]:
    name = properties.get("Name") or uuid.uuid4().hex[:16]
    arn = f"arn:aws:logs:{REGION}:{ACCOUNT}:{DELIVERY_TYPES[kind]}:{name}"
    return name, {"Arn": arn, "Service": "cloudfront", "DeliveryId": name}
