"""Athena's information schema: databases, tables and columns of the Glue catalog that the caller may list.

Not implemented: the information schema's own tables, views, and tables other than these three.
"""

import re
from typing import Any

from ..ministack import glue
from .statements import INFORMATION_SCHEMA, Statement

CATALOG = "awsdatacatalog"
SQL_TYPES = {"string": "varchar", "int": "integer"}  # other types have the same name in Glue and in queries
TABLES = {
    "schemata": ["catalog_name", "schema_name"],
    "tables": ["table_catalog", "table_schema", "table_name", "table_type"],
    "columns": [
        "table_catalog", "table_schema", "table_name", "column_name", "ordinal_position", "column_default",
        "is_nullable", "data_type", "comment", "extra_info",
    ],
}  # fmt: skip
_LOCAL = "athena_information_schema"  # DuckDB has another information schema


def create_tables(connection: Any, statement: Statement) -> str:
    """Create the tables that the query reads, and return the query with their names in DuckDB."""
    used = {table for schema, table in statement.sources if schema == INFORMATION_SCHEMA}
    if not used:
        return statement.select
    connection.execute(f"CREATE SCHEMA {_LOCAL}")
    rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in TABLES}
    rows["schemata"] = [(CATALOG, name) for name in sorted(glue.databases)]
    for table in _listed(statement):
        place = (CATALOG, table["DatabaseName"], table["Name"])
        rows["tables"].append((*place, "BASE TABLE"))
        rows["columns"] += [
            (*place, column["Name"], number, None, "YES", SQL_TYPES.get(column["Type"], column["Type"]),
             column.get("Comment"), None)
            for number, column in enumerate(table["StorageDescriptor"]["Columns"], 1)
        ]  # fmt: skip
    for name in used & set(TABLES):
        kinds = (f"{column} {'BIGINT' if column == 'ordinal_position' else 'VARCHAR'}" for column in TABLES[name])
        connection.execute(f"CREATE TABLE {_LOCAL}.{name} ({', '.join(kinds)})")
        if rows[name]:
            places = ", ".join("?" for _ in TABLES[name])
            connection.executemany(f"INSERT INTO {_LOCAL}.{name} VALUES ({places})", rows[name])  # noqa: S608
    return re.sub(rf"\b{INFORMATION_SCHEMA}\.(?=\w)", f"{_LOCAL}.", statement.select, flags=re.IGNORECASE)


def _listed(statement: Statement) -> list[dict[str, Any]]:
    """Return the tables of the databases whose tables the caller may list; Athena omits those of the others."""
    from ..iam.athena import glue_resources  # it imports this package
    from ..iam.authorization import CALLER, is_allowed

    only = statement.listed_database
    names = [only] if only else sorted(glue.databases)
    allowed = [
        name
        for name in names
        if all(
            is_allowed(CALLER.get(), "glue:GetTables", arn, cause="the information schema")
            for arn in glue_resources((name, "*"))
        )
    ]
    return [table for key, table in sorted(glue.tables.items()) if key.split("/")[0] in allowed]
