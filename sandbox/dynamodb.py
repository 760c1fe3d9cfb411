"""DynamoDB: encryption, expiry of items and point-in-time recovery of tables in templates, which MiniStack ignores."""

from typing import Any

from .emulator.json_protocol import content
from .ministack import dynamodb
from .ministack.cloudformation import add_steps


def install() -> None:
    """Extend the table resource."""
    add_steps("AWS::DynamoDB::Table", apply=_apply_settings)


def _apply_settings(name: str, properties: dict[str, Any]) -> None:
    encryption = properties.get("SSESpecification")
    specification = {**encryption, "Enabled": encryption.get("SSEEnabled", False)} if encryption else None
    dynamodb.tables[name]["SSEDescription"] = dynamodb.encryption_description(specification)
    for setting, change in (
        ("TimeToLiveSpecification", dynamodb.update_time_to_live),
        ("PointInTimeRecoverySpecification", dynamodb.update_continuous_backups),
    ):
        if setting in properties:
            content(change({"TableName": name, setting: properties[setting]}))
