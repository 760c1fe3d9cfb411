"""Query the songs with Athena, and convert them to Parquet."""

import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import boto3
import pandas as pd
from pyathena import connect

from . import PARQUET_TABLE, TABLE
from .songs import COLUMNS, SongsError, validate

POLL_SECONDS = 0.2
MAX_OBJECTS_PER_DELETION = 1000


@dataclass(frozen=True)
class QueryResult:
    """The rows of a query, and the bytes that Athena scanned."""

    rows: pd.DataFrame
    scanned_bytes: int


class Athena:
    """Queries in a workgroup and database. Default: those of the host, from the environment."""

    def __init__(
        self, session: boto3.Session | None = None, work_group: str | None = None, database: str | None = None
    ) -> None:
        self.session = session or boto3.Session()
        self.work_group = work_group or os.environ["BILLBOARD_WORK_GROUP"]
        self.database = database or os.environ["BILLBOARD_DATABASE"]
        self._statements: dict[str, str] = {}

    def statements(self) -> dict[str, str]:
        """Return the SQL of the workgroup's named queries, by name."""
        if not self._statements:
            client = self.session.client("athena")
            ids = [
                query_id
                for page in client.get_paginator("list_named_queries").paginate(WorkGroup=self.work_group)
                for query_id in page["NamedQueryIds"]
            ]
            for start in range(0, len(ids), 50):
                queries = client.batch_get_named_query(NamedQueryIds=ids[start : start + 50])["NamedQueries"]
                self._statements |= {query["Name"]: query["QueryString"] for query in queries}
        return self._statements

    def named(self, name: str, table: str = TABLE) -> QueryResult:
        """Run a named query on `table`, which must have the same columns as the default."""
        return self.query(self.statements()[name].replace(f"FROM {TABLE}", f"FROM {table}"))

    def query(self, statement: str) -> QueryResult:
        """Run a statement, and return its rows with Athena's types."""
        with self._connection() as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            names = [column[0] for column in cursor.description or []]
            rows = cursor.fetchall() if names else []
            if len(names) > 1:  # each line of DESCRIBE is one value, with padded fields
                rows = [[field.strip() for field in row[0].split("\t")] if len(row) == 1 else row for row in rows]
            return QueryResult(pd.DataFrame(rows, columns=names), cursor.data_scanned_in_bytes or 0)

    def tables(self) -> list[str]:
        """Return the names of the database's tables."""
        return list(self._tables())

    def fields(self, table: str = TABLE) -> pd.DataFrame:
        """Return name, type and comment of each field of `table`."""
        columns = self._tables()[table]["StorageDescriptor"]["Columns"]
        names = {"field": "Name", "type": "Type", "comment": "Comment"}
        return pd.DataFrame([{name: column.get(key, "") for name, key in names.items()} for column in columns])

    def create_statement(self, table: str = TABLE) -> str:
        """Return the statement that creates `table`."""
        return "\n".join(self.query(f"SHOW CREATE TABLE {table}").rows.iloc[:, 0])

    def _tables(self) -> dict[str, Any]:
        paginator = self.session.client("glue").get_paginator("get_tables")
        pages = paginator.paginate(DatabaseName=self.database)
        return {table["Name"]: table for page in pages for table in page["TableList"]}

    def songs(self, table: str = TABLE) -> pd.DataFrame:
        """Return all songs of `table`, validated.

        Raises:
            SongsError: the table is empty, or its columns or values are invalid.
        """
        songs = self.named("all_songs", table).rows
        if songs.empty:
            raise SongsError(f"the table {table} is empty; upload the songs file")
        return validate(songs)

    def convert(self) -> None:
        """Write the songs as Parquet, then delete the previous Parquet files. If writing fails, they are kept.

        Raises:
            SongsError: the songs are invalid, or previous files cannot be deleted.
        """
        self.songs()
        table = self.session.client("glue").get_table(DatabaseName=self.database, Name=PARQUET_TABLE)["Table"]
        location = urlsplit(table["StorageDescriptor"]["Location"])
        bucket = self.session.resource("s3").Bucket(location.netloc)
        previous = [{"Key": item.key} for item in bucket.objects.filter(Prefix=location.path.lstrip("/"))]
        names = ", ".join(f'"{name}"' for name in COLUMNS)
        self.query(f"INSERT INTO {PARQUET_TABLE} SELECT {names} FROM {TABLE}")  # noqa: S608
        failed = []
        for start in range(0, len(previous), MAX_OBJECTS_PER_DELETION):
            response = bucket.delete_objects(Delete={"Objects": previous[start : start + MAX_OBJECTS_PER_DELETION]})
            failed += [f"{error['Key']} ({error['Code']})" for error in response.get("Errors", [])]
        if failed:
            raise SongsError(f"{PARQUET_TABLE} has duplicate songs until you delete: {', '.join(failed[:5])}")

    def _connection(self) -> Any:
        return connect(
            work_group=self.work_group, schema_name=self.database, session=self.session, poll_interval=POLL_SECONDS
        )
