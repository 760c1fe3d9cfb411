"""DynamoDB: encryption, expiry of items and point-in-time recovery of tables in templates, which MiniStack ignores."""

import json
from collections.abc import Callable
from typing import Any

from .ministack import dynamodb
from .ministack.cloudformation import resource_handlers


def install() -> None:
    """Extend the table resource."""
    table = resource_handlers["AWS::DynamoDB::Table"]
    create, update = table["create"], table["update"]

    def create_table(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        return _with_settings(create(logical_id, properties, stack), properties)

    def update_table(name: str, old: dict[str, Any], new: dict[str, Any], stack: str, logical_id: str) -> Any:
        return _with_settings(update(name, old, new, stack, logical_id), new)

    resource_handlers["AWS::DynamoDB::Table"] = table | {"create": create_table, "update": update_table}


def _with_settings(table: tuple[str, Any], properties: dict[str, Any]) -> tuple[str, Any]:
    name = table[0]
    encryption = properties.get("SSESpecification")
    specification = {**encryption, "Enabled": encryption.get("SSEEnabled", False)} if encryption else None
    dynamodb.tables[name]["SSEDescription"] = dynamodb.encryption_description(specification)
    for setting, change in (
        ("TimeToLiveSpecification", dynamodb.update_time_to_live),
        ("PointInTimeRecoverySpecification", dynamodb.update_continuous_backups),
    ):
        if setting in properties:
            _call(change, {"TableName": name, setting: properties[setting]})
    return table


def _call(change: Callable[[dict[str, Any]], Any], request: dict[str, Any]) -> None:
    status, _, body = change(request)
    if status >= 300:
        raise ValueError(json.loads(body)["message"])
