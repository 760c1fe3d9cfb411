"""CloudFront resource types of templates: distributions are created through the API, policies have unique names.

CloudFormation properties are converted to API parameters by botocore's model of the API, because lists are
``{"Quantity": n, "Items": [...]}`` in the API, and some names differ in case.
"""

import json
from collections.abc import Mapping
from typing import Any

from botocore.serialize import create_serializer
from botocore.session import Session

from ..ministack import cloudfront
from ..ministack.cloudformation import add_steps, extend_resource_type, resource_handlers
from . import functions, lambda_edge

MODEL = Session().get_service_model("cloudfront")
SERIALIZER = create_serializer("rest-xml", include_validation=False)


def install() -> None:
    """Create distributions through the API, and refuse other resources whose name is taken."""
    for kind, existing in {
        "OriginAccessControl": cloudfront.origin_access_controls,
        "CachePolicy": cloudfront.cache_policies,
        "OriginRequestPolicy": cloudfront.origin_request_policies,
        "ResponseHeadersPolicy": cloudfront.response_headers_policies,
    }.items():
        _refuse_taken_name(kind, existing)
    # MiniStack does not check CloudFront's quota of a function's code in templates.
    add_steps("AWS::CloudFront::Function", check=lambda _id, properties: functions.check_code(properties))
    extend_resource_type("AWS::CloudFront::Distribution", create=_create_distribution, update=_update_distribution)


def _refuse_taken_name(kind: str, existing: Mapping[str, Any]) -> None:
    """Refuse a name as the API does; MiniStack would return the existing resource, and delete it with the stack."""
    original_create = resource_handlers[f"AWS::CloudFront::{kind}"]["create"]

    def create(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        name = properties[f"{kind}Config"]["Name"]
        if any(item.get("Config", item)["Name"] == name for item in existing.values()):
            raise ValueError(f"{kind}AlreadyExists: the name {name} is taken")
        return original_create(logical_id, properties, stack)

    extend_resource_type(f"AWS::CloudFront::{kind}", create=create)


def _create_distribution(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
    _check_associations(properties["DistributionConfig"])
    reference = f"{stack}-{logical_id}-{len(cloudfront.distributions)}"
    body = _body("CreateDistribution", {"DistributionConfig": _config(properties, reference)})
    status, headers, response = cloudfront.create_distribution({}, body)
    if status >= 300:
        raise ValueError(response.decode())
    distribution_id = headers["Location"].rpartition("/")[2]
    return distribution_id, _attributes(distribution_id)


def _update_distribution(distribution_id: str, _old: Any, new: dict[str, Any], _stack: str) -> Any:
    _check_associations(new["DistributionConfig"])
    distribution = cloudfront.distributions[distribution_id]
    config = _config(new, distribution["CallerReference"])
    body = _body("UpdateDistribution", {"Id": distribution_id, "DistributionConfig": config})
    status, _, response = cloudfront.update_distribution(distribution_id, {"if-match": distribution["ETag"]}, body)
    if status >= 300:
        raise ValueError(response.decode())
    return distribution_id, _attributes(distribution_id)


def _check_associations(config: dict[str, Any]) -> None:
    lambda_edge.check(config)
    functions.check_associations(config)


def _attributes(distribution_id: str) -> dict[str, str]:
    return {"Id": distribution_id, "DomainName": cloudfront.distributions[distribution_id]["DomainName"]}


def _config(properties: dict[str, Any], reference: str) -> dict[str, Any]:
    """Apply the differences between template and API that the API's model does not contain."""
    config = json.loads(json.dumps(properties["DistributionConfig"]))
    config |= {"CallerReference": reference, "Comment": config.get("Comment", "")}
    if "Logging" in config:
        config["Logging"] = {"IncludeCookies": False, "Prefix": "", **config["Logging"], "Enabled": True}
    for behavior in [config["DefaultCacheBehavior"], *config.get("CacheBehaviors", [])]:
        methods = behavior.pop("AllowedMethods", ["GET", "HEAD"])
        cached = behavior.pop("CachedMethods", ["GET", "HEAD"])
        behavior["AllowedMethods"] = {"Items": methods, "Quantity": len(methods)} | {
            "CachedMethods": {"Items": cached, "Quantity": len(cached)}
        }
    return config


def _body(operation: str, parameters: dict[str, Any]) -> bytes:
    model: Any = MODEL.operation_model(operation)
    converted = {name: _to_api(value, model.input_shape.members[name]) for name, value in parameters.items()}
    body: bytes = SERIALIZER.serialize_to_request(converted, model)["body"]
    return body


def _to_api(value: Any, shape: Any) -> Any:
    """Convert a template value to the API's shape."""
    match shape.type_name:
        case "structure" if isinstance(value, list):
            member = shape.members["Items"].member
            return {"Quantity": len(value), "Items": [_to_api(item, member) for item in value]}
        case "structure":
            return _structure_to_api(value, shape)
        case "list":
            return [_to_api(item, shape.member) for item in value]
        case "boolean":
            return value if isinstance(value, bool) else str(value).lower() == "true"
        case "integer" | "long":
            return int(value)
        case _:
            return value


def _structure_to_api(value: dict[str, Any], shape: Any) -> dict[str, Any]:
    """Convert the members, matching names without case; add the quantity of a list."""
    names = {name.lower(): name for name in shape.members}
    if "isipv6enabled" in names:  # IPV6Enabled in a template
        names["ipv6enabled"] = "IsIPV6Enabled"
    converted = {}
    for key, item in value.items():
        if name := names.get(key.lower()):
            converted[name] = _to_api(item, shape.members[name])
    if "Quantity" in shape.members and "Items" in converted:
        converted["Quantity"] = len(converted["Items"])
    return converted
