"""CloudFront resource types of templates, created through MiniStack's CloudFront API.

CloudFormation properties are converted to API parameters by botocore's model of the API, because lists are
``{"Quantity": n, "Items": [...]}`` in the API, and some names differ in case.
"""

import json
from collections.abc import Callable
from typing import Any

from botocore.serialize import create_serializer
from botocore.session import Session
from ministack.services import cloudfront
from ministack.services.cloudformation import provisioners

from . import lambda_edge

MODEL = Session().get_service_model("cloudfront")
SERIALIZER = create_serializer("rest-xml", include_validation=False)
Service = Callable[[bytes], tuple[int, Any, bytes]]


def install() -> None:
    """Add distributions, policies and origin access controls."""
    request, response = cloudfront._origin_request_policies, cloudfront._response_headers_policies
    policies: dict[str, tuple[Service, dict[str, Any]]] = {
        "OriginAccessControl": (lambda body: cloudfront._create_oac({}, body), cloudfront._oacs),
        "CachePolicy": (cloudfront._create_cache_policy, cloudfront._cache_policies),
        "OriginRequestPolicy": (lambda body: cloudfront._policy_create(request, cloudfront._ORP_SPEC, body), request),
        "ResponseHeadersPolicy": (
            lambda body: cloudfront._policy_create(response, cloudfront._RHP_SPEC, body),
            response,
        ),
    }
    for name, (create, store) in policies.items():
        provisioners._RESOURCE_HANDLERS[f"AWS::CloudFront::{name}"] = _policy_handlers(name, create, store)
    provisioners._RESOURCE_HANDLERS["AWS::CloudFront::Distribution"] = {
        "create": _create_distribution,
        "update": _update_distribution,
        "delete": provisioners._RESOURCE_HANDLERS["AWS::CloudFront::Distribution"]["delete"],
    }


def _policy_handlers(name: str, create: Service, store: dict[str, Any]) -> dict[str, Any]:
    def create_policy(_logical_id: str, properties: dict[str, Any], _stack: str) -> Any:
        config_name = f"{name}Config"
        body = _body(f"Create{name}", {config_name: properties[config_name]})
        policy_id = _created_id(create(body), store)
        return policy_id, {"Id": policy_id}

    def update_policy(policy_id: str, _old: Any, new: dict[str, Any], stack: str) -> Any:
        old = store.pop(policy_id)
        try:
            new_id, _ = create_policy("", new, stack)
        except ValueError:
            store[policy_id] = old
            raise
        store[policy_id] = store.pop(new_id) | {"Id": policy_id}
        return policy_id, {"Id": policy_id}

    def delete_policy(policy_id: str, _properties: Any) -> None:
        store.pop(policy_id, None)

    return {"create": create_policy, "update": update_policy, "delete": delete_policy}


def _created_id(response: tuple[int, Any, bytes], store: dict[str, Any]) -> str:
    status, headers, body = response
    if status >= 300:
        raise ValueError(body.decode())
    policy_id: str = headers["Location"].rpartition("/")[2]
    if policy_id not in store:
        raise ValueError(f"MiniStack returned the unknown id {policy_id}")
    return policy_id


def _create_distribution(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
    lambda_edge.check(properties["DistributionConfig"])
    reference = f"{stack}-{logical_id}-{len(cloudfront._distributions)}"
    body = _body("CreateDistribution", {"DistributionConfig": _config(properties, reference)})
    distribution_id = _created_id(cloudfront._create_distribution({}, body), cloudfront._distributions)
    return distribution_id, _attributes(distribution_id)


def _update_distribution(distribution_id: str, _old: Any, new: dict[str, Any], _stack: str) -> Any:
    lambda_edge.check(new["DistributionConfig"])
    distribution = cloudfront._distributions[distribution_id]
    config = _config(new, distribution["CallerReference"])
    body = _body("UpdateDistribution", {"Id": distribution_id, "DistributionConfig": config})
    status, _, response = cloudfront._update_distribution(distribution_id, {"if-match": distribution["ETag"]}, body)
    if status >= 300:
        raise ValueError(response.decode())
    return distribution_id, _attributes(distribution_id)


def _attributes(distribution_id: str) -> dict[str, str]:
    return {"Id": distribution_id, "DomainName": cloudfront._distributions[distribution_id]["DomainName"]}


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
