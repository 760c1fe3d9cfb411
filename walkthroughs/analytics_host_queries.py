"""Upload the songs, query them with Athena, explore the catalog, and create tables."""

from collections import Counter
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from .analytics_host_preconditions import count_objects, preconditions
from .walkthrough import RestoringWalkthrough, SkipStep, Step

ASSETS = Path(__file__).parents[1] / "assets" / "analytics_host"
CATALOG = "AwsDataCatalog"
NEW_TABLE = "walkthrough_decades"


class QueriesWalkthrough(RestoringWalkthrough):
    """The original post's queries, and others that an analyst needs to find tables and keep results."""

    stacks = ("AnalyticsHost",)

    def _prepare(self) -> None:
        from assets.analytics_host.billboard import songs
        from assets.analytics_host.billboard.athena import Athena

        if self.target.songs_file:
            songs.verify(self.target.songs_file)
        self.outputs = self.target.outputs("AnalyticsHost")
        preconditions(self.target, self.outputs)
        self.file: Path | None = self.target.songs_file or ASSETS / "songs.csv"  # None if songs exist already
        self.kind = "original songs" if self.target.songs_file else "synthetic songs"
        self.user = self.target.session  # in the place of a user of the host
        if self.target.instance_session:
            self.user = self.target.instance_session(self.outputs["InstanceId"])
        self.athena = Athena(self.user, self.outputs["WorkGroupName"], self.outputs["DatabaseName"])
        self.query_results: dict[str, Any] = {}

    def songs_are_uploaded(self) -> str:
        bucket, _, prefix = self.outputs["SongsLocation"].removeprefix("s3://").partition("/")
        s3 = self.target.client("s3")
        existing = count_objects(self.target, self.outputs["SongsLocation"])
        if existing:
            self.file = None
            self.kind = self.kind if self.target.songs_file else "existing songs"
            return f"using {existing} existing objects"
        assert self.file
        key = f"{prefix}songs.csv"
        self.cleanup.callback(s3.delete_object, Bucket=bucket, Key=key)
        s3.upload_file(str(self.file), bucket, key)
        return f"{self.file.stat().st_size:,} bytes, {self.kind}"

    def janet_jackson_hits_are_queried(self) -> str:
        rows = self._query("top_10_of_janet_jackson")
        self._compare(
            sorted((int(row.year), row.songtitle) for row in rows.itertuples()),
            lambda songs: sorted(
                (int(song["year"]), song["songtitle"])
                for song in songs
                if song["artistname"].lower() == "janet jackson" and song["top10"] == "1"
            ),
        )
        titles = ", ".join(rows["songtitle"][:3])
        return f"{len(rows)}: {titles}, ..."

    def songs_of_2010_are_counted(self) -> str:
        counts = {int(row.top10): int(row.songs) for row in self._query("songs_in_2010").itertuples()}
        self._compare(
            counts, lambda songs: dict(Counter(int(song["top10"]) for song in songs if song["year"] == "2010"))
        )
        return f"{sum(counts.values())}: {counts[1]} in the Top 10, {counts[0]} not"

    def time_signatures_are_counted(self) -> str:
        counts = {int(row.timesignature): int(row.songs) for row in self._query("time_signatures").itertuples()}
        self._compare(counts, lambda songs: dict(Counter(int(song["timesignature"]) for song in songs)))
        return ", ".join(f"{signature}: {count:,}" for signature, count in counts.items())

    def fastest_song_is_queried(self) -> str:
        (fastest,) = self._query("fastest_song").itertuples()
        self._compare(fastest.tempo, lambda songs: max(float(song["tempo"]) for song in songs))
        return f"{fastest.artistname}: {fastest.songtitle} ({fastest.year}), {fastest.tempo}"

    def workgroup_overrides_client_settings(self) -> str:
        client, name = self.target.client("athena"), self.outputs["WorkGroupName"]
        settings = client.get_work_group(WorkGroup=name)["WorkGroup"]["Configuration"]["ResultConfiguration"]
        started = client.start_query_execution(
            QueryString="SELECT 1",
            WorkGroup=name,
            ResultConfiguration={"OutputLocation": f"s3://{self.outputs['DataBucketName']}/other/"},
        )
        execution = client.get_query_execution(QueryExecutionId=started["QueryExecutionId"])["QueryExecution"]
        location = execution["ResultConfiguration"]["OutputLocation"]
        assert location.startswith(settings["OutputLocation"]), f"Athena used the client's location: {location}"
        return "the result is stored in the workgroup's bucket"

    def parquet_scans_fewer_bytes(self) -> str:
        if "ParquetLocation" not in self.outputs:
            raise SkipStep("analytics_host:parquet is false")
        bucket, _, prefix = self.outputs["ParquetLocation"].removeprefix("s3://").partition("/")
        objects = self.target.session.resource("s3").Bucket(bucket).objects.filter(Prefix=prefix)
        if not list(objects.limit(1)):
            self.cleanup.callback(objects.delete)
        self.athena.convert()
        before, after = 0, 0
        for name, csv in self.query_results.items():
            parquet = self.athena.named(name, "billboard_parquet")
            assert parquet.rows.equals(csv.rows), f"{name}: different rows from Parquet:\n{parquet.rows}"
            before, after = before + csv.scanned_bytes, after + parquet.scanned_bytes
        assert after < before, f"{after:,} bytes instead of {before:,}"
        return f"the same rows from {after:,} scanned bytes instead of {before:,}"

    def catalog_is_explored(self) -> str:
        database = self.outputs["DatabaseName"]
        client = self.user.client("athena")
        pages = client.get_paginator("list_databases").paginate(CatalogName=CATALOG)
        databases = [entry["Name"] for page in pages for entry in page["DatabaseList"]]
        shown = self.athena.query("SHOW DATABASES").rows.iloc[:, 0]
        assert database in databases, f"ListDatabases returned {databases}"
        assert database in list(shown), f"SHOW DATABASES returned {list(shown)}"
        pages = client.get_paginator("list_table_metadata").paginate(CatalogName=CATALOG, DatabaseName=database)
        tables = {
            "ListTableMetadata": sorted(table["Name"] for page in pages for table in page["TableMetadataList"]),
            "SHOW TABLES": sorted(self.athena.query("SHOW TABLES").rows.iloc[:, 0]),
            "information_schema": sorted(self._describe("tables")["table_name"]),
        }
        assert all("billboard" in names for names in tables.values()), f"different tables: {tables}"
        columns = self._describe("columns", "AND table_name = 'billboard' ORDER BY ordinal_position")["column_name"]
        described = self.athena.query("DESCRIBE billboard").rows["col_name"]
        response = client.get_table_metadata(CatalogName=CATALOG, DatabaseName=database, TableName="billboard")
        expected = [column["Name"] for column in response["TableMetadata"]["Columns"]]
        assert list(columns) == list(described) == expected, f"different columns: {list(columns)}, {list(described)}"
        return f"{len(tables['SHOW TABLES'])} tables; {len(columns)} columns of billboard"

    def table_is_created_from_query(self) -> str:
        drop = f"DROP TABLE IF EXISTS {NEW_TABLE}"
        self.athena.query(drop)  # of an interrupted walkthrough
        self.cleanup.callback(self._delete_table, drop)
        self.athena.query(
            f"CREATE TABLE {NEW_TABLE} AS SELECT year - year % 10 AS decade, count(*) AS songs "  # noqa: S608
            "FROM billboard GROUP BY 1"
        )
        settings = self.target.client("athena").get_work_group(WorkGroup=self.outputs["WorkGroupName"])
        place = settings["WorkGroup"]["Configuration"]["ResultConfiguration"]["OutputLocation"]
        location = self._location()
        assert location.startswith(f"{place}tables/"), f"Athena stored the table at {location}"
        created = self.athena.query(f"SELECT decade, songs FROM {NEW_TABLE} ORDER BY decade").rows  # noqa: S608
        counts = {int(row.decade): int(row.songs) for row in created.itertuples()}
        self._compare(counts, lambda songs: dict(Counter(int(song["year"]) // 10 * 10 for song in songs)))
        self._delete_table(drop)
        left = list(self.athena.query("SHOW TABLES").rows.iloc[:, 0])
        assert NEW_TABLE not in left, f"the table is still listed: {left}"
        return f"{len(counts)} decades, stored in the workgroup's bucket; table and objects deleted"

    def table_of_the_stack_is_not_dropped(self) -> str:
        if not self.target.instance_session:
            raise SkipStep("would drop the table with your permissions instead of the host's")
        glue = self.user.client("glue")
        try:
            glue.delete_table(DatabaseName=self.outputs["DatabaseName"], Name="billboard")
        except ClientError as error:
            code = error.response["Error"]["Code"]
        else:
            raise AssertionError("the host's role can drop the table billboard")
        assert code == "AccessDeniedException", f"Glue returned {code}"
        return "denied by the host's role"

    steps: tuple[Step, ...] = (
        Step("Upload the songs if the location is empty", songs_are_uploaded),
        Step("Query Janet Jackson's Top 10 hits", janet_jackson_hits_are_queried),
        Step("Count the songs of 2010", songs_of_2010_are_counted),
        Step("Count songs by time signature", time_signatures_are_counted),
        Step("Query the fastest song", fastest_song_is_queried),
        Step("Request another result location from Athena", workgroup_overrides_client_settings),
        Step("Convert the songs to Parquet, and repeat the queries", parquet_scans_fewer_bytes),
        Step("List databases, tables and columns, with the API and with SQL", catalog_is_explored),
        Step("Create a table from a query, read it, and drop it", table_is_created_from_query),
        Step("Drop a table of the stack with the host's role, which Glue denies", table_of_the_stack_is_not_dropped),
    )

    def _describe(self, table: str, condition: str = "") -> Any:
        """Query the information schema for the database's tables or columns."""
        database = self.outputs["DatabaseName"]
        return self.athena.query(
            f"SELECT * FROM information_schema.{table} WHERE table_schema = '{database}' {condition}"  # noqa: S608
        ).rows

    def _location(self) -> str:
        response = self.user.client("glue").get_table(DatabaseName=self.outputs["DatabaseName"], Name=NEW_TABLE)
        location: str = response["Table"]["StorageDescriptor"]["Location"]
        return location.rstrip("/") + "/"

    def _delete_table(self, drop: str) -> None:
        """Drop the new table, if it exists, and delete its objects, which Athena keeps."""
        if NEW_TABLE not in self.athena.tables():
            return
        bucket, _, prefix = self._location().removeprefix("s3://").partition("/")
        self.athena.query(drop)
        self.user.resource("s3").Bucket(bucket).objects.filter(Prefix=prefix).delete()

    def _query(self, name: str) -> Any:
        self.query_results[name] = self.athena.named(name)
        return self.query_results[name].rows

    def _compare(self, actual: Any, expected: Any) -> None:
        """Compare Athena's result with the uploaded file, if this walkthrough uploaded it."""
        from assets.analytics_host.billboard import opencsv

        if self.file:
            names, rows = opencsv.read(self.file)
            songs = [dict(zip(names, row, strict=True)) for row in rows]
            assert actual == expected(songs), f"Athena returned {actual}, the file has {expected(songs)}"
