"""Athena's SHOW TABLES and SHOW CREATE TABLE, from Glue. Results have no row with the column name.

Not implemented: patterns, other databases, views, partitions.
"""

import re
from typing import Any

from ..ministack import glue

SHOW_TABLES = re.compile(r"\s*SHOW\s+TABLES\s*;?\s*", re.IGNORECASE)
SHOW_CREATE_TABLE = re.compile(r"\s*SHOW\s+CREATE\s+TABLE\s+`?(\w+)`?\s*;?\s*", re.IGNORECASE)


def show(statement: str, database: str) -> tuple[str, list[str]] | None:
    """Return the column and the lines of the result, or None for other statements.

    Raises:
        ValueError: the table does not exist.
    """
    if SHOW_TABLES.fullmatch(statement):
        return "tab_name", sorted(key.split("/")[1] for key in glue.tables if key.startswith(f"{database}/"))
    create = SHOW_CREATE_TABLE.fullmatch(statement)
    if not create:
        return None
    table = glue.tables.get(f"{database}/{create[1].lower()}")
    if not table:
        raise ValueError(f"Table not found {create[1]}")
    return "createtab_stmt", list(_lines(table, database))


def _lines(table: dict[str, Any], database: str) -> list[str]:
    descriptor = table["StorageDescriptor"]
    columns = [
        f"  `{column['Name']}` {column['Type']}" + (f" COMMENT '{column['Comment']}'" if "Comment" in column else "")
        for column in descriptor["Columns"]
    ]
    return [
        f"CREATE EXTERNAL TABLE `{database}.{table['Name']}`(",
        *(f"{column}, " for column in columns[:-1]),
        f"{columns[-1]})",
        "ROW FORMAT SERDE ",
        f"  '{descriptor['SerdeInfo']['SerializationLibrary']}' ",
        *_properties("WITH SERDEPROPERTIES ( ", descriptor["SerdeInfo"].get("Parameters", {})),
        "STORED AS INPUTFORMAT ",
        f"  '{descriptor['InputFormat']}' ",
        "OUTPUTFORMAT ",
        f"  '{descriptor['OutputFormat']}'",
        "LOCATION",
        f"  '{descriptor['Location']}'",
        *_properties("TBLPROPERTIES (", table["Parameters"]),
    ]


def _properties(head: str, values: dict[str, str]) -> list[str]:
    lines = [f"  '{name}'='{value}'" for name, value in sorted(values.items())]
    return [head, *(f"{line}, " for line in lines[:-1]), f"{lines[-1]})"] if lines else []
