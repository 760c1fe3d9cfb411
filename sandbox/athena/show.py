"""Athena's SHOW and DESCRIBE, from Glue. Results have no row with the column names.

Not implemented: patterns, views, partitions, extended descriptions.
"""

from collections.abc import Sequence
from typing import Any

from ..ministack import glue
from .statements import Statement

DESCRIPTION = ("col_name", "data_type", "comment")
WIDTH = 20  # of a field in a description


def show(statement: Statement) -> tuple[Sequence[str], list[str]] | None:
    """Return the columns and the lines of the result, or None for other statements.

    The result of DESCRIBE has three columns, but each row has one value with all fields, separated by tabs.

    Raises:
        ValueError: the database or table does not exist.
    """
    database, name = statement.database, statement.table
    match statement.kind:
        case "SHOW DATABASES":
            return ["database_name"], sorted(glue.databases)
        case "SHOW TABLES":
            if database not in glue.databases:
                raise ValueError(f"FAILED: SemanticException [Error 10072]: Database does not exist: {database}")
            return ["tab_name"], sorted(key.split("/")[1] for key in glue.tables if key.startswith(f"{database}/"))
        case "SHOW CREATE TABLE":
            return ["createtab_stmt"], list(_lines(_table(database, name), database))
        case "DESCRIBE":
            columns = _table(database, name)["StorageDescriptor"]["Columns"]
            fields = [(column["Name"], column["Type"], column.get("Comment", "")) for column in columns]
            return DESCRIPTION, ["\t".join(value.ljust(WIDTH) for value in line) for line in fields]
        case _:
            return None


def _table(database: str, name: str) -> dict[str, Any]:
    table: dict[str, Any] | None = glue.tables.get(f"{database}/{name}")
    if not table:
        raise ValueError(f"FAILED: SemanticException [Error 10001]: Table not found {name}")
    return table


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
