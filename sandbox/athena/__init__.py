"""Athena: tables from Glue, enforced workgroup settings, bytes scanned, INSERT INTO.

MiniStack stores workgroups, queries and their states; DuckDB runs the SQL. This module reads tables according to
their SerDe and types (OpenCSVSerDe with a skipped header, Parquet), lets workgroup settings override client
settings, and cancels queries over the limit on scanned bytes. A query scans all objects of a CSV table, and the
compressed chunks of the named columns of a Parquet table. CloudFormation can create named queries.

Not implemented: other SerDes, partitions, DDL other than CREATE TABLE, DROP TABLE and `show`, and differences between
the SQL of Trino and DuckDB.
"""

import asyncio
import io
import re
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from ..ministack import athena, glue, s3
from ..ministack.cloudformation import resource_handlers
from ..ministack.requests import json_error, json_response
from .opencsv import OpenCsv
from .show import show

INSERT = re.compile(r"\s*INSERT\s+INTO\s+(\w+)\s+(SELECT\b.*)", re.IGNORECASE | re.DOTALL)
DUCKDB_TYPES = {"string": "VARCHAR", "int": "INTEGER", "bigint": "BIGINT", "double": "DOUBLE", "boolean": "BOOLEAN"}
PAGE_ROWS = 1000


class _LimitError(Exception):
    pass


def install() -> None:
    """Install the query engine, and resource handlers for named queries."""
    athena.start_query_execution.wrap(_enforce_workgroup)
    athena.execute_query.replace(_execute)
    athena.get_query_results.replace(_results)
    athena.add_workgroup_type()
    resource_handlers["AWS::Athena::NamedQuery"] = {
        "create": _create_named_query,
        "update": lambda query_id, _old, new, _stack: (
            athena.delete_named_query({"NamedQueryId": query_id}),
            _create_named_query("", new, ""),
        )[1],
        "delete": lambda query_id, _properties: athena.delete_named_query({"NamedQueryId": query_id}),
    }


def _create_named_query(_logical_id: str, properties: dict[str, Any], _stack: str) -> tuple[str, dict[str, str]]:
    query_id = str(uuid.uuid4())
    athena.named_queries[query_id] = {"NamedQueryId": query_id, **properties}
    return query_id, {"NamedQueryId": query_id}


def _enforce_workgroup(start: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def start_query_execution(data: dict[str, Any]) -> Any:
        name = data.get("WorkGroup", "primary")
        athena.ensure_default_workgroup()
        workgroup = athena.workgroups.get(name)
        if not workgroup:
            return json_error("InvalidRequestException", f"WorkGroup {name} is not found.", 400)
        if workgroup["Configuration"].get("EnforceWorkGroupConfiguration"):
            data = {key: value for key, value in data.items() if key != "ResultConfiguration"}
        return start(data)

    return start_query_execution


async def _execute(query_id: str, statement: str, database: str, ddl: Any, catalog: str | None = None) -> None:
    if ddl is not None:
        await athena.execute_query.original(query_id, statement, database, ddl, catalog)
        return
    execution = athena.executions[query_id]
    status, statistics = execution["Status"], execution["Statistics"]
    status["State"] = "RUNNING"
    started = time.monotonic()
    try:
        results = await asyncio.to_thread(_run, statement, database, execution)
        execution["_results"], execution["_column_types"] = results, results.pop("types")
        status["State"] = "SUCCEEDED"
    except _LimitError as limit:
        status |= {"State": "CANCELLED", "StateChangeReason": str(limit)}
    except Exception as error:
        status |= {"State": "FAILED", "StateChangeReason": str(error)[:2000]}
    milliseconds = int((time.monotonic() - started) * 1000)
    statistics |= {"EngineExecutionTimeInMillis": milliseconds, "TotalExecutionTimeInMillis": milliseconds}
    status["CompletionDateTime"] = int(time.time())


def _run(statement: str, database: str, execution: dict[str, Any]) -> dict[str, Any]:
    import duckdb

    lines = show(statement, database)
    if lines:
        rows: list[list[Any]] = [[line] for line in lines[1]]
        return {"columns": [lines[0]], "rows": rows, "types": ["string"], "has_header": False}
    insert = INSERT.fullmatch(statement)
    select = insert[2] if insert else statement
    with tempfile.TemporaryDirectory() as folder, duckdb.connect(":memory:") as connection:
        tables = [
            (table, _fetch(table, Path(folder, str(number))))
            for number, table in enumerate(_tables_of(select, database))
        ]
        for table, files in tables:
            execution["Statistics"]["DataScannedInBytes"] += _scanned(connection, table, files, select)
        limit = athena.workgroups[execution["WorkGroup"]]["Configuration"].get("BytesScannedCutoffPerQuery")
        if limit and execution["Statistics"]["DataScannedInBytes"] > limit:
            raise _LimitError("Query cancelled! : Bytes scanned limit was exceeded")
        for table, files in tables:
            _create_view(connection, table, files)
        if insert:
            _insert(connection, glue.tables[f"{database}/{insert[1].lower()}"], select, Path(folder))
            return {"columns": [], "rows": [], "types": []}
        try:
            cursor = connection.execute(select)
            rows = [list(row) for row in cursor.fetchall()]
        except duckdb.ConversionException as error:
            raise ValueError(f"HIVE_BAD_DATA: {error}") from error
        columns = [column[0] for column in cursor.description]
        kinds = [str(column[1]).upper().split("(")[0] for column in cursor.description]
    types = [athena.duckdb_types.get(kind, "varchar") for kind in kinds]
    _save(execution, columns, rows)
    return {"columns": columns, "rows": rows, "types": types}


def _tables_of(select: str, database: str) -> list[dict[str, Any]]:
    names = {name.lower() for name in re.findall(r"\b(?:FROM|JOIN)\s+\"?(\w+)\"?", select, re.IGNORECASE)}
    tables = [glue.tables.get(f"{database}/{name}") for name in sorted(names)]
    return [table for table in tables if table]


def _fetch(table: dict[str, Any], folder: Path) -> list[Path]:
    """Copy the objects of a table to `folder`."""
    location = urlparse(table["StorageDescriptor"]["Location"])
    folder.mkdir()
    files: list[Path] = []
    for key in sorted(s3.buckets.get(location.netloc, {}).get("objects", {})):
        if key.startswith(location.path.lstrip("/")) and not key.rsplit("/", 1)[-1].startswith((".", "_")):
            data = s3.get_object(location.netloc, key)
            if data:
                files.append(folder / str(len(files)))
                files[-1].write_bytes(data)
    return files


def _create_view(connection: Any, table: dict[str, Any], files: list[Path]) -> None:
    descriptor = table["StorageDescriptor"]
    columns = {column["Name"]: DUCKDB_TYPES[column["Type"]] for column in descriptor["Columns"]}
    paths = [str(file) for file in files]
    if not files:
        fields = ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in columns.items())
        connection.execute(f'CREATE TABLE "{table["Name"]}" AS SELECT {fields} LIMIT 0')
    elif "parquet" in descriptor["SerdeInfo"]["SerializationLibrary"]:
        connection.read_parquet(paths).create_view(table["Name"])
    else:
        for file in files:
            _rewrite_csv(file, table)
        options = f"columns={columns!r}, header=false, delim=',', quote='\"', escape='\"', "
        options += "auto_detect=false, allow_quoted_nulls=false, nullstr=''"
        connection.execute(f'CREATE VIEW "{table["Name"]}" AS FROM read_csv({paths!r}, {options})')


def _rewrite_csv(file: Path, table: dict[str, Any]) -> None:
    """Rewrite a CSV file so that DuckDB reads it like OpenCSVSerDe reads the original."""
    descriptor = table["StorageDescriptor"]
    reader = OpenCsv(descriptor["SerdeInfo"].get("Parameters", {}))
    lines = io.StringIO(file.read_bytes().decode(errors="replace"), newline=None)
    rows = [reader.row(line.removesuffix("\n"), len(descriptor["Columns"])) for line in lines]
    skipped = int(table["Parameters"].get("skip.header.line.count", 0))
    file.write_text("".join(f"{_csv(row)}\n" for row in rows[skipped:]), encoding="utf-8")


def _scanned(connection: Any, table: dict[str, Any], files: list[Path], select: str) -> int:
    if "parquet" not in table["StorageDescriptor"]["SerdeInfo"]["SerializationLibrary"] or not files:
        return sum(file.stat().st_size for file in files)
    words = {word.lower() for word in re.findall(r"\w+", select)}
    all_columns = re.search(r"SELECT\s+\*", select, re.IGNORECASE)
    chunks = connection.execute(
        "SELECT path_in_schema, total_compressed_size FROM parquet_metadata(?)", [[str(file) for file in files]]
    ).fetchall()
    return sum(size for name, size in chunks if all_columns or name.lower() in words)


def _insert(connection: Any, table: dict[str, Any], select: str, folder: Path) -> None:
    file = folder / "new"
    connection.execute(f"COPY ({select.strip().rstrip(';')}) TO '{file}' (FORMAT PARQUET, COMPRESSION GZIP)")
    location = urlparse(table["StorageDescriptor"]["Location"])
    s3.put_object(location.netloc, f"{location.path.lstrip('/')}{uuid.uuid4()!s}", file.read_bytes(), {})


def _save(execution: dict[str, Any], columns: list[str], rows: list[list[Any]]) -> None:
    text = "".join(f"{_csv(row)}\n" for row in [columns, *rows])
    location = urlparse(execution["ResultConfiguration"]["OutputLocation"])
    headers = {"content-type": "application/octet-stream"}
    s3.put_object(location.netloc, location.path.lstrip("/"), text.encode(), headers)


def _csv(row: Sequence[Any]) -> str:
    return ",".join("" if v is None else '"{}"'.format(_text(v).replace('"', '""')) for v in row)


def _results(data: dict[str, Any]) -> Any:
    """Return a page of results; only the first page starts with the column names, which SHOW does not return."""
    execution = athena.executions.get(data.get("QueryExecutionId"))
    if not execution:
        return json_error("InvalidRequestException", "QueryExecution was not found", 400)
    state = execution["Status"]["State"]
    if state != "SUCCEEDED":
        return json_error("InvalidRequestException", f"Query did not finish successfully: {state}", 400)
    results, types = execution["_results"], execution["_column_types"]
    header = [results["columns"]] if results["columns"] and results.get("has_header", True) else []
    lines = [*header, *results["rows"]]
    start, size = int(data.get("NextToken") or 0), int(data.get("MaxResults") or PAGE_ROWS)
    page = {
        "Rows": [
            {"Data": [{} if v is None else {"VarCharValue": _text(v)} for v in line]} for line in lines[start:][:size]
        ],
        "ResultSetMetadata": {
            "ColumnInfo": [_column(name, kind) for name, kind in zip(results["columns"], types, strict=True)]
        },
    }
    more = {"NextToken": str(start + size)} if start + size < len(lines) else {}
    return json_response({"ResultSet": page, "UpdateCount": 0} | more)


def _column(name: str, kind: str) -> dict[str, Any]:
    precision, scale = athena.type_precision_scale(kind)
    return {"Name": name, "Label": name, "Type": kind, "Precision": precision, "Scale": scale, "Nullable": "UNKNOWN"}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
