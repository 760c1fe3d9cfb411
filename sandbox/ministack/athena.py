"""Athena: workgroups, named queries and query executions."""

from typing import Any

from .cloudformation import resource_handlers
from .names import Replaceable, need

workgroups = need("services.athena._workgroups", "settings that a workgroup enforces")
_create_workgroup = need("services.athena._create_workgroup", "workgroups of templates", "data")
_delete_workgroup = need("services.athena._delete_workgroup", "workgroups of templates", "data")
ensure_default_workgroup = need("services.athena._ensure_default_workgroup", "the workgroup primary", "")
named_queries = need("services.athena._named_queries", "named queries of templates")
delete_named_query = need("services.athena._delete_named_query", "named queries of templates", "data")
executions = need("services.athena._executions", "running queries")
duckdb_types = need("services.athena._DUCKDB_TYPE_MAP", "the types of results")
text_of = need("services.athena._datum_text", "values in results", "value")
table_references = need("services.athena._table_references", "tables that queries read", "query")
start_query_execution = Replaceable("services.athena._start_query_execution", "settings of workgroups", "data")
execute_query = Replaceable("services.athena._execute_query", "running queries", "query_id query database ddl catalog")
get_table_metadata = Replaceable("services.athena._get_table_metadata", "metadata of missing tables", "data")
list_table_metadata = Replaceable("services.athena._list_table_metadata", "metadata of missing databases", "data")


def add_workgroup_type() -> None:
    """Add ``AWS::Athena::WorkGroup``, which MiniStack lacks before 1.5.33."""
    handler = {
        "create": lambda _logical_id, properties, _stack: _store_workgroup(properties),
        "update": lambda _name, _old, new, _stack: _store_workgroup(new),
        "delete": lambda name, _properties: _delete_workgroup({"WorkGroup": name, "RecursiveDeleteOption": True}),
    }
    resource_handlers.setdefault("AWS::Athena::WorkGroup", handler)


def _store_workgroup(properties: dict[str, Any]) -> tuple[str, dict[str, str]]:
    name = properties["Name"]
    workgroups.pop(name, None)
    _create_workgroup(properties | {"Configuration": properties.get("WorkGroupConfiguration", {})})
    return name, {}
