"""Permissions that Athena needs from its caller: for the Glue catalog, tables and results."""

from collections.abc import Iterator

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
    configuration = athena.workgroups.get(workgroups(operation)[0].rsplit("/", 1)[-1], {}).get("Configuration", {})
    location = configuration.get("ResultConfiguration", {}).get("OutputLocation", "")
    bucket, _, prefix = location.removeprefix("s3://").partition("/")
    if not bucket:
        return
    result = f"{prefix.rstrip('/')}/{operation.get('QueryExecutionId') or 'result'}.csv"
    if operation.name == "GetQueryResults":
        yield from implied.read(bucket, result, "the result of the query")
    if operation.name == "StartQueryExecution":
        for action in ("GetBucketLocation", "ListBucket", "ListBucketMultipartUploads"):
            yield Permission(f"s3:{action}", f"arn:aws:s3:::{bucket}", {"s3:prefix": prefix}, "the result of the query")
        yield from implied.write(bucket, result, "the result of the query")
        yield from _query(operation)


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
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    yield Permission("s3:ListBucket", f"arn:aws:s3:::{bucket}", {"s3:prefix": prefix}, cause)
    yield from (implied.write if writes else implied.read)(bucket, f"{prefix}part", cause)


def _glue(action: str, name: tuple[str, ...]) -> Iterator[Permission]:
    for arn in glue_resources(name):
        yield Permission(action, arn, {}, "Athena uses the catalog")
