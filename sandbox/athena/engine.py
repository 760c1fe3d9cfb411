"""Run statements: DuckDB reads tables according to their SerDe and types, and writes Parquet.

A query scans all objects of a CSV table, and the compressed chunks of the named columns of a Parquet table.
CREATE TABLE AS stores the table where Athena does: in ``tables/<query ID>/`` below the workgroup's location.
"""

import io
import json
import re
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from assets.analytics_host.billboard import opencsv

from ..ministack import athena, glue, s3
from . import information_schema
from .show import show
from .statements import Statement, parse

# DuckDB knows Glue's types, but not the reverse; the sum of integers is a HUGEINT.
GLUE_TYPES = {"VARCHAR": "string", "INTEGER": "int", "HUGEINT": "bigint"}
PARQUET = "org.apache.hadoop.hive.ql.io.parquet"


class LimitError(Exception):
    """A query scans more than the workgroup allows."""


def run(text: str, database: str, execution: dict[str, Any]) -> dict[str, Any]:
    """Run a statement, and return columns, types and rows of its result.

    Raises:
        LimitError: it scans more than the workgroup allows.
        ValueError: Athena rejects the statement, or the sandbox does not implement it.
    """
    import duckdb

    statement = parse(text, database)
    shown = show(statement)
    if shown:
        columns, lines = shown
        rows: list[list[Any]] = [[line] for line in lines]
        results = execution["ResultConfiguration"]
        results["OutputLocation"] = f"{results['OutputLocation'].removesuffix('.csv')}.txt"
        _save(execution, "".join(f"{line}\n" for line in lines))
        return {"columns": list(columns), "rows": rows, "types": ["string"] * len(columns)}
    no_rows: dict[str, Any] = {"columns": [], "rows": [], "types": []}
    if statement.kind == "CREATE TABLE AS" and not _check_new_table(statement, execution):
        return no_rows
    with tempfile.TemporaryDirectory() as folder, duckdb.connect(":memory:") as connection:
        connection.execute("SET allowed_directories = $1", [[folder]])
        # A query can then read no other files, use no network and change no settings.
        connection.execute("SET enable_external_access = false; SET lock_configuration = true")
        select = _read_tables(connection, statement, Path(folder), execution)
        if statement.kind in ("INSERT", "CREATE TABLE AS"):
            _write(connection, statement, select, Path(folder), execution)
            return no_rows
        try:
            cursor = connection.execute(select)
            rows = [list(row) for row in cursor.fetchall()]
        except duckdb.ConversionException as error:
            raise ValueError(f"HIVE_BAD_DATA: {error}") from error
        columns = [column[0] for column in cursor.description]
        kinds = [str(column[1]).upper().split("(")[0] for column in cursor.description]
    _save(execution, "".join(f"{_csv(row)}\n" for row in [columns, *rows]))
    return {"columns": columns, "rows": rows, "types": [athena.duckdb_types.get(kind, "varchar") for kind in kinds]}


def _check_new_table(statement: Statement, execution: dict[str, Any]) -> bool:
    """Return whether CREATE TABLE AS creates a table; with IF NOT EXISTS, it does not replace one.

    Raises:
        ValueError: as described for `run`.
    """
    enforced = athena.workgroups[execution["WorkGroup"]]["Configuration"].get("EnforceWorkGroupConfiguration")
    if enforced and "external_location" in statement.properties:
        raise ValueError(
            "The Create Table As Select query failed because it was submitted with an 'external_location' property to "
            "an Athena Workgroup that enforces a centralized output location for all queries."
        )
    others = statement.properties.keys() - {"format"}
    if others or statement.properties.get("format", "PARQUET").upper() != "PARQUET" or not enforced:
        raise ValueError("the sandbox only creates Parquet tables without properties, in an enforced location")
    if statement.database not in glue.databases:
        raise ValueError(f"SCHEMA_NOT_FOUND: Schema {statement.database} not found")
    exists = f"{statement.database}/{statement.table}" in glue.tables
    if exists and not statement.optional:
        raise ValueError(f"TABLE_ALREADY_EXISTS: Table '{statement.database}.{statement.table}' already exists")
    return not exists


def _read_tables(connection: Any, statement: Statement, folder: Path, execution: dict[str, Any]) -> str:
    """Create a view of each table that the query reads, and return the query in DuckDB's dialect."""
    found = [glue.tables.get("/".join(source)) for source in statement.sources]
    tables = [(table, _fetch(table, folder / str(number))) for number, table in enumerate(found) if table]
    for table, files in tables:
        execution["Statistics"]["DataScannedInBytes"] += _scanned(connection, table, files, statement.select)
    limit = athena.workgroups[execution["WorkGroup"]]["Configuration"].get("BytesScannedCutoffPerQuery")
    if limit and execution["Statistics"]["DataScannedInBytes"] > limit:
        raise LimitError("Query cancelled! : Bytes scanned limit was exceeded")
    for database in {statement.current, *(table["DatabaseName"] for table, _ in tables)}:
        connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{database}"')
    for table, files in tables:
        connection.execute(f"SET schema = '{table['DatabaseName']}'")
        _create_view(connection, table, files)
    select = information_schema.create_tables(connection, statement)
    connection.execute(f"SET schema = '{statement.current}'")
    return select


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
    columns = {column["Name"]: column["Type"] for column in descriptor["Columns"]}
    paths = [str(file) for file in files]
    if not files:
        fields = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
        connection.execute(f'CREATE TABLE "{table["Name"]}" ({fields})')
    elif "parquet" in descriptor["SerdeInfo"]["SerializationLibrary"]:
        connection.read_parquet(paths).create_view(table["Name"])
    else:
        for file in files:
            _rewrite_csv(file, table)
        options = f"columns={columns!r}, header=false, delim=',', quote='\"', escape='\"', "
        options += "auto_detect=false, allow_quoted_nulls=false, nullstr=''"
        connection.execute(f'CREATE VIEW "{table["Name"]}" AS FROM read_csv({paths!r}, {options})')


def _rewrite_csv(file: Path, table: dict[str, Any]) -> None:
    """Rewrite a CSV file so that DuckDB reads it like OpenCSVSerDe reads the original, one value per column."""
    columns = len(table["StorageDescriptor"]["Columns"])
    lines = io.StringIO(file.read_bytes().decode(errors="replace"), newline=None)
    read = (opencsv.fields(line.removesuffix("\n")) if line != "\n" else [] for line in lines)
    rows = [[*fields[:columns], *[None] * (columns - len(fields))] for fields in read]
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


def _write(connection: Any, statement: Statement, select: str, folder: Path, execution: dict[str, Any]) -> None:
    """Write the rows of a query to the table that the statement names, as Parquet."""
    place = f"{statement.database}/{statement.table}"
    if statement.kind == "INSERT" and place not in glue.tables:
        raise ValueError(f"TABLE_NOT_FOUND: Table '{statement.database}.{statement.table}' does not exist")
    if statement.kind == "CREATE TABLE AS":
        described = connection.execute(f"DESCRIBE {select}").fetchall()
        unnamed = [number for number, (name, *_) in enumerate(described, 1) if not re.fullmatch(r"\w+", name)]
        if unnamed:
            raise ValueError(f"MISSING_COLUMN_NAME: Column name not specified at position {unnamed[0]}")
        columns = [(name, GLUE_TYPES.get(kind, kind.lower())) for name, kind, *_ in described]
        casts = ", ".join(f'CAST("{name}" AS {kind}) AS "{name.lower()}"' for name, kind in columns)
        select = f"SELECT {casts} FROM ({select})"  # noqa: S608
    file = folder / "new"
    connection.execute(f"COPY ({select}) TO '{file}' (FORMAT PARQUET, COMPRESSION GZIP)")
    if statement.kind == "CREATE TABLE AS":
        _create_table(statement, columns, execution)
    location = urlparse(glue.tables[place]["StorageDescriptor"]["Location"])
    s3.put_object(location.netloc, f"{location.path.strip('/')}/{uuid.uuid4()!s}", file.read_bytes(), {})


def _create_table(statement: Statement, columns: list[tuple[str, str]], execution: dict[str, Any]) -> None:
    results = execution["ResultConfiguration"]["OutputLocation"].rpartition("/")[0]
    descriptor = {
        "Columns": [{"Name": name.lower(), "Type": kind} for name, kind in columns],
        "Location": f"{results}/tables/{execution['QueryExecutionId']}",
        "InputFormat": f"{PARQUET}.MapredParquetInputFormat",
        "OutputFormat": f"{PARQUET}.MapredParquetOutputFormat",
        "SerdeInfo": {"SerializationLibrary": f"{PARQUET}.serde.ParquetHiveSerDe"},
    }
    table = {"Name": statement.table, "TableType": "EXTERNAL_TABLE", "StorageDescriptor": descriptor}
    parameters = {"EXTERNAL": "TRUE", "classification": "parquet"}
    status, _, body = glue.create_table(
        {"DatabaseName": statement.database, "TableInput": table | {"Parameters": parameters}}
    )
    if status >= 300:
        raise ValueError(json.loads(body)["message"])


def _save(execution: dict[str, Any], text: str) -> None:
    location = urlparse(execution["ResultConfiguration"]["OutputLocation"])
    headers = {"content-type": "application/octet-stream"}
    s3.put_object(location.netloc, location.path.lstrip("/"), text.encode(), headers)


def _csv(row: Sequence[Any]) -> str:
    return ",".join("" if v is None else '"{}"'.format(athena.text_of(v).replace('"', '""')) for v in row)
