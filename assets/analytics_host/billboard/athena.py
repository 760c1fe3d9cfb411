"""The songs through Athena: the workgroup's named queries, and the step to Parquet."""

import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import boto3
import pandas as pd
from pyathena import connect

from . import PARQUET_TABLE, TABLE
from .songs import COLUMNS, SongsError, checked

POLL_SECONDS = 0.2
MOST_DELETIONS = 1000  # in one call of S3


@dataclass(frozen=True)
class Answer:
    """The rows of a query, and how much Athena read for them."""

    rows: pd.DataFrame
    scanned_bytes: int


class Athena:
    """Queries of one workgroup and database; without names, those of the host."""

    def __init__(
        self, session: boto3.Session | None = None, work_group: str | None = None, database: str | None = None
    ) -> None:
        self.session = session or boto3.Session()
        self.work_group = work_group or os.environ["BILLBOARD_WORK_GROUP"]
        self.database = database or os.environ["BILLBOARD_DATABASE"]
        self._statements: dict[str, str] = {}

    def statements(self) -> dict[str, str]:
        """The SQL of the workgroup's named queries, by name."""
        if not self._statements:
            client = self.session.client("athena")
            ids = [
                query_id
                for page in client.get_paginator("list_named_queries").paginate(WorkGroup=self.work_group)
                for query_id in page["NamedQueryIds"]
            ]
            for start in range(0, len(ids), 50):
                found = client.batch_get_named_query(NamedQueryIds=ids[start : start + 50])["NamedQueries"]
                self._statements |= {query["Name"]: query["QueryString"] for query in found}
        return self._statements

    def named(self, name: str, table: str = TABLE) -> Answer:
        """Run a named query, on another table of the same columns if `table` says so."""
        return self.query(self.statements()[name].replace(f"FROM {TABLE}", f"FROM {table}"))

    def query(self, statement: str) -> Answer:
        """Run a statement, and give its rows with the types that Athena gives them."""
        with self._connection() as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            names = [column[0] for column in cursor.description or []]
            rows = pd.DataFrame(cursor.fetchall() if names else [], columns=names)
            return Answer(rows, cursor.data_scanned_in_bytes or 0)

    def songs(self, table: str = TABLE) -> pd.DataFrame:
        """All songs, checked.

        Raises:
            SongsError: the table is empty, or is not one of songs.
        """
        songs = self.named("all_songs", table).rows
        if songs.empty:
            raise SongsError(f"the table {table} is empty: has the songs file been uploaded?")
        return checked(songs)

    def convert(self) -> None:
        """Write the songs anew as Parquet, and delete what is there then: what fails leaves it as it is.

        Raises:
            SongsError: the songs are not fit for it, or some of what was there cannot be deleted.
        """
        self.songs()
        table = self.session.client("glue").get_table(DatabaseName=self.database, Name=PARQUET_TABLE)["Table"]
        location = urlsplit(table["StorageDescriptor"]["Location"])
        bucket = self.session.resource("s3").Bucket(location.netloc)
        earlier = [{"Key": item.key} for item in bucket.objects.filter(Prefix=location.path.lstrip("/"))]
        names = ", ".join(f'"{name}"' for name in COLUMNS)
        self.query(f"INSERT INTO {PARQUET_TABLE} SELECT {names} FROM {TABLE}")  # noqa: S608
        kept = []
        for start in range(0, len(earlier), MOST_DELETIONS):
            answer = bucket.delete_objects(Delete={"Objects": earlier[start : start + MOST_DELETIONS]})
            kept += [f"{error['Key']} ({error['Code']})" for error in answer.get("Errors", [])]
        if kept:
            raise SongsError(f"songs are in {PARQUET_TABLE} twice until these are deleted: {', '.join(kept[:5])}")

    def _connection(self) -> Any:
        return connect(
            work_group=self.work_group, schema_name=self.database, session=self.session, poll_interval=POLL_SECONDS
        )
