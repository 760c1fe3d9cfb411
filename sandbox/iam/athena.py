"""Permissions that Athena needs from its caller: for the Glue catalog, tables and results."""

from collections.abc import Iterator
from urllib.parse import urlparse

from ..athena.statements import INFORMATION_SCHEMA, Statement, parse
from ..ministack import athena, glue
from ..ministack.requests import get_region
from ..process import ACCOUNT
from . import implied
from .operations import Operation
from .policy import Permission

METADATA = {
    "ListDatabases": "glue:GetDatabases",
    "GetDatabase": "glue:GetDatabase",
    "ListTableMetadata": "glue:GetTables",
    "GetTableMetadata": "glue:GetTable",
}
CATALOG_ACTIONS = {
    "SHOW TABLES": ["GetTables"],
    "SHOW CREATE TABLE": ["GetTable"],
    "DESCRIBE": ["GetTable"],
    "DROP TABLE": ["GetTable", "DeleteTable"],
    "CREATE TABLE": ["GetTable", "CreateTable"],
    "CREATE TABLE AS": ["GetTable", "CreateTable"],
}


def permissions(operation: Operation) -> Iterator[Permission]:
    """Yield the permissions that an operation of Athena implies."""
    if operation.name in METADATA:
        database, table = operation.get("DatabaseName"), operation.get("TableName")
        name = (database, table or "*") if "Table" in operation.name else (database or "*",)
        yield from _glue(METADATA[operation.name], name)
    if operation.name == "GetQueryResults":
        execution = athena.executions.get(operation.get("QueryExecutionId"), {})
        bucket, key = _place(execution.get("ResultConfiguration", {}).get("OutputLocation", ""))
        if bucket:
            yield from implied.read(bucket, key, "the result of the query")
    if operation.name == "StartQueryExecution":
        bucket, prefix = _place(_output_location(operation))
        for action in ("GetBucketLocation", "ListBucket", "ListBucketMultipartUploads"):
            yield Permission(f"s3:{action}", f"arn:aws:s3:::{bucket}", {"s3:prefix": prefix}, "the result of the query")
        yield from implied.write(bucket, f"{prefix.rstrip('/')}/result.csv", "the result of the query")
        yield from _query(operation)


def _output_location(operation: Operation) -> str:
    """Return where the result is stored: the workgroup can override the request."""
    athena.ensure_default_workgroup()
    configuration = athena.workgroups.get(operation.get("WorkGroup") or "primary", {}).get("Configuration", {})
    is_enforced = configuration.get("EnforceWorkGroupConfiguration")
    requested = {} if is_enforced else operation.parameters.get("ResultConfiguration", {})
    location = requested.get("OutputLocation") or configuration.get("ResultConfiguration", {}).get("OutputLocation")
    return str(location or "s3://*")


def _place(location: str) -> tuple[str, str]:
    """Return the bucket and the key or prefix of a location, as the query engine reads it."""
    url = urlparse(location)
    return url.netloc, url.path.lstrip("/")


def workgroups(operation: Operation) -> list[str]:
    """Return the ARNs of the workgroups of all queries of an operation."""
    names = [operation.get("WorkGroup")] if operation.get("WorkGroup") else []
    for parameter, queries in (("NamedQueryId", athena.named_queries), ("QueryExecutionId", athena.executions)):
        ids = operation.values(parameter) + operation.values(f"{parameter}s")
        names += [queries.get(query, {}).get("WorkGroup", "primary") for query in ids]
    return [f"arn:aws:athena:{operation.region}:{ACCOUNT}:workgroup/{name}" for name in names or ["primary"]]


def glue_resources(name: tuple[str, ...]) -> list[str]:
    """Return the ARNs that Glue checks for a database or a table: also those that contain it."""
    prefix = f"arn:aws:glue:{get_region()}:{ACCOUNT}"
    databases = [f"{prefix}:database/{name[0]}"] if name[0] else []
    tables = [f"{prefix}:table/{'/'.join(name)}"] if len(name) > 1 else []
    return [f"{prefix}:catalog", *databases, *tables]


def _query(operation: Operation) -> Iterator[Permission]:
    """Yield what a statement requires; see the user guide, "Configure access to databases and tables"."""
    current = operation.parameters.get("QueryExecutionContext", {}).get("Database", "default")
    statement = parse(operation.get("QueryString"), current)
    for name in ("default", current):
        yield from _glue("glue:GetDatabase", (name,))
    if statement.kind == "SHOW DATABASES":
        yield from _glue("glue:GetDatabases", ("*",))
    for action in CATALOG_ACTIONS.get(statement.kind, []):
        yield from _glue(f"glue:{action}", (statement.database, statement.table or "*"))
    yield from _information_schema(statement)
    written = (statement.database, statement.table)
    for key, table in list(glue.tables.items()):
        name, place = tuple(key.split("/", 1)), table["StorageDescriptor"]["Location"]
        if name in statement.sources:
            yield from _table(name, place, writes=False)
        if name == written and statement.kind == "INSERT":
            yield from _table(name, place, writes=True)


def _information_schema(statement: Statement) -> Iterator[Permission]:
    tables = {table for database, table in statement.sources if database == INFORMATION_SCHEMA}
    if tables and statement.listed_database and "schemata" not in tables:
        yield from _glue("glue:GetTables", (statement.listed_database, "*"))
    elif tables:
        yield from _glue("glue:GetDatabases", ("*",))


def _table(name: tuple[str, ...], place: str, *, writes: bool) -> Iterator[Permission]:
    cause = f"table {name[1]}"
    for action in ("glue:GetTable", "glue:GetPartitions"):
        yield from _glue(action, name)
    bucket, prefix = _place(place)
    yield Permission("s3:ListBucket", f"arn:aws:s3:::{bucket}", {"s3:prefix": prefix}, cause)
    yield from (implied.write if writes else implied.read)(bucket, f"{prefix}part", cause)


def _glue(action: str, name: tuple[str, ...]) -> Iterator[Permission]:
    for arn in glue_resources(name):
        yield Permission(action, arn, {}, "Athena uses the catalog")
