"""Glue: CloudFormation resource handlers for databases and tables.

MiniStack implements Glue's API; the handlers call it.
"""

import json
from collections.abc import Callable
from typing import Any

from ministack.services import glue
from ministack.services.cloudformation import provisioners


def install() -> None:
    """Install resource handlers for Glue databases and tables."""
    provisioners._RESOURCE_HANDLERS["AWS::Glue::Database"] = {
        "create": _create_database,
        "update": lambda name, _old, new, _stack: _call(glue._update_database, {"Name": name} | new, name),
        "delete": lambda name, _properties: _call(glue._delete_database, {"Name": name}, name),
    }
    provisioners._RESOURCE_HANDLERS["AWS::Glue::Table"] = {
        "create": _create_table,
        "update": lambda name, _old, new, _stack: _call(glue._update_table, new, name),
        "delete": lambda name, old: _call(
            glue._delete_table, {"DatabaseName": old["DatabaseName"], "Name": name}, name
        ),
    }


def _create_database(_logical_id: str, properties: dict[str, Any], _stack: str) -> tuple[str, dict[str, str]]:
    return _call(glue._create_database, properties, properties["DatabaseInput"]["Name"])


def _create_table(_logical_id: str, properties: dict[str, Any], _stack: str) -> tuple[str, dict[str, str]]:
    return _call(glue._create_table, properties, properties["TableInput"]["Name"])


def _call(operation: Callable[[Any], Any], data: dict[str, Any], name: str) -> tuple[str, dict[str, str]]:
    status, _, body = operation(data)
    if status >= 400:
        raise RuntimeError(json.loads(body).get("message", body))
    return name, {}
