"""Athena: tables from Glue, enforced workgroup settings, bytes scanned, INSERT INTO, CREATE TABLE AS, metadata.

MiniStack stores workgroups, queries and their states, and runs CREATE EXTERNAL TABLE and DROP TABLE; `engine` runs
other statements. This module lets workgroup settings override client settings, cancels queries over the limit on
scanned bytes, and reports missing databases and tables. CloudFormation can create named queries.

Not implemented: SerDes other than Parquet and OpenCSVSerDe with its default characters, partitions, other DDL, and
differences between the SQL of Trino and DuckDB.
"""

import asyncio
import time
import uuid
from collections.abc import Callable
from typing import Any

from ..ministack import athena, glue
from ..ministack.cloudformation import resource_handlers
from ..ministack.requests import json_error
from .engine import LimitError, run
from .statements import Statement, parse


def install() -> None:
    """Install the query engine, and resource handlers for named queries."""
    athena.start_query_execution.extend(_enforce_workgroup)
    athena.execute_query.replace(_execute)
    for metadata in (athena.get_table_metadata, athena.list_table_metadata):
        metadata.extend(_find_in_catalog)
    athena.add_workgroup_type()
    resource_handlers["AWS::Athena::NamedQuery"] = {
        "create": _create_named_query,
        "delete": lambda query_id, _properties: athena.delete_named_query({"NamedQueryId": query_id}),
    }


def _create_named_query(_logical_id: str, properties: dict[str, Any], _stack: str) -> tuple[str, dict[str, str]]:
    query_id = str(uuid.uuid4())
    athena.named_queries[query_id] = {"NamedQueryId": query_id, **properties}
    return query_id, {"NamedQueryId": query_id}


def _enforce_workgroup(start: Callable[[Any], Any], data: dict[str, Any]) -> Any:
    name = data.get("WorkGroup", "primary")
    athena.ensure_default_workgroup()
    workgroup = athena.workgroups.get(name)
    if not workgroup:
        return json_error("InvalidRequestException", f"WorkGroup {name} is not found.", 400)
    if workgroup["Configuration"].get("EnforceWorkGroupConfiguration"):
        data = {key: value for key, value in data.items() if key != "ResultConfiguration"}
    return start(data)


def _find_in_catalog(read: Callable[[Any], Any], data: dict[str, Any]) -> Any:
    database, table = data["DatabaseName"], data.get("TableName")
    if database not in glue.databases:
        return json_error("MetadataException", f"Database {database} not found.", 400)
    if table and f"{database}/{table}" not in glue.tables:
        return json_error("MetadataException", f"Table {table} not found.", 400)
    return read(data)


def _is_authorized(statement: Statement, ddl: Any, database: str) -> bool:
    """Return whether MiniStack's statement is the one whose permissions were checked; `engine` rejects any other."""
    named = ((ddl.database or database).lower(), ddl.table.lower())
    return statement.kind in ("CREATE TABLE", "DROP TABLE") and named == (statement.database, statement.table)


async def _execute(query_id: str, statement: str, database: str, ddl: Any, catalog: str | None = None) -> None:
    if ddl is not None and _is_authorized(parse(statement, database), ddl, database):
        await athena.execute_query.original(query_id, statement, database, ddl, catalog)
        return
    execution = athena.executions[query_id]
    status, statistics = execution["Status"], execution["Statistics"]
    status["State"] = "RUNNING"
    started = time.monotonic()
    try:
        results = await asyncio.to_thread(run, statement, database, execution)
        execution["_results"], execution["_column_types"] = results, results.pop("types")
        status["State"] = "SUCCEEDED"
    except LimitError as limit:
        status |= {"State": "CANCELLED", "StateChangeReason": str(limit)}
    except Exception as error:
        status |= {"State": "FAILED", "StateChangeReason": str(error)[:2000]}
    milliseconds = int((time.monotonic() - started) * 1000)
    statistics |= {"EngineExecutionTimeInMillis": milliseconds, "TotalExecutionTimeInMillis": milliseconds}
    status["CompletionDateTime"] = int(time.time())
