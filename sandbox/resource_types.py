"""Resource types of which MiniStack lacks a part: settings of buckets and tables, names of log groups, WAF, X-Ray.

Requests are neither inspected by web ACLs nor traced. Buckets are not public, whatever their policies.
"""

import base64
from typing import Any

from .emulator.json_protocol import content
from .ministack import dynamodb, s3, waf
from .ministack.cloudformation import add_steps, extend_resource_type, physical_name, resource_handlers
from .ministack.requests import get_region
from .process import ACCOUNT

LOG_GROUP, WEB_ACL = "AWS::Logs::LogGroup", "AWS::WAFv2::WebACL"
Properties = dict[str, Any]


def install() -> None:
    """Extend and add the resource types."""
    add_steps("AWS::S3::Bucket", apply=_store_bucket_tags)
    add_steps("AWS::DynamoDB::Table", apply=_apply_table_settings)
    create_log_group, update_log_group = (resource_handlers[LOG_GROUP][name] for name in ("create", "update"))
    extend_resource_type(
        LOG_GROUP,
        create=lambda logical_id, properties, stack: create_log_group(
            logical_id, {"LogGroupName": physical_name(stack, logical_id), **properties}, stack
        ),
        update=lambda name, old, new, stack: update_log_group(
            name, {"LogGroupName": name, **old}, {"LogGroupName": name, **new}, stack
        ),
    )
    create_web_acl = resource_handlers[WEB_ACL]["create"]
    extend_resource_type(
        WEB_ACL,
        create=lambda logical_id, properties, stack: create_web_acl(logical_id, encoded(properties), stack),
    )
    resource_handlers["AWS::WAFv2::WebACLAssociation"] = {
        "create": lambda _logical_id, properties, _stack: _associate(properties),
        "update": lambda _physical_id, _old, new, _stack: _associate(new),
        "delete": lambda _physical_id, properties: waf.disassociate_web_acl(properties),
    }
    resource_handlers["AWS::XRay::SamplingRule"] = {
        "create": lambda _logical_id, properties, _stack: _sampling_rule(properties),
        "update": lambda _physical_id, _old, new, _stack: _sampling_rule(new),
        "delete": lambda _physical_id, _properties: None,
    }


def _store_bucket_tags(name: str, properties: Properties) -> None:
    s3.bucket_tags[name] = {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}


def _apply_table_settings(name: str, properties: Properties) -> None:
    encryption = properties.get("SSESpecification")
    specification = {**encryption, "Enabled": encryption.get("SSEEnabled", False)} if encryption else None
    dynamodb.tables[name]["SSEDescription"] = dynamodb.encryption_description(specification)
    for setting, change in (
        ("TimeToLiveSpecification", dynamodb.update_time_to_live),
        ("PointInTimeRecoverySpecification", dynamodb.update_continuous_backups),
    ):
        if setting in properties:
            content(change({"TableName": name, setting: properties[setting]}))


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


def _associate(properties: Properties) -> tuple[str, dict[str, str]]:
    content(waf.associate_web_acl(properties))
    return f"{properties['ResourceArn']}|{properties['WebACLArn']}", {}


def _sampling_rule(properties: Properties) -> tuple[str, dict[str, str]]:
    arn = f"arn:aws:xray:{get_region()}:{ACCOUNT}:sampling-rule/{properties['SamplingRule']['RuleName']}"
    return arn, {"RuleARN": arn}
