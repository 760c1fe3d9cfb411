"""Tests of the query layer with valid and invalid songs, and of the sandbox's Athena."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyathena.error import OperationalError

from assets.analytics_host.billboard import athena as billboard
from assets.analytics_host.billboard.__main__ import main as billboard_command
from assets.analytics_host.billboard.songs import COLUMNS, SongsError, split
from sandbox import Sandbox
from sandbox.target import session, target_of

from ..conftest import ROOT

pytestmark = pytest.mark.enable_socket
SYNTHETIC = ROOT / "assets" / "analytics_host" / "songs.csv"
STACK = "AnalyticsHost"


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return SYNTHETIC.read_text(encoding="utf-8").splitlines(keepends=True)


CreateTable = Callable[..., billboard.Athena]


@pytest.fixture
def create_table(sandbox_with_options: Sandbox) -> Iterator[CreateTable]:
    """Create a table with the given text and columns, and return the query layer for it."""
    clients = session(sandbox_with_options)
    s3, glue = clients.client("s3"), clients.client("glue")
    s3.create_bucket(Bucket="test-songs")
    glue.create_database(DatabaseInput={"Name": "test"})
    described = glue.get_table(DatabaseName="analytics_host", Name="billboard")["Table"]

    def athena(text: str, columns: dict[str, str] = COLUMNS) -> billboard.Athena:
        if text:
            s3.put_object(Bucket="test-songs", Key="songs/any-name", Body=text.encode())
        descriptor = described["StorageDescriptor"] | {
            "Location": "s3://test-songs/songs/",
            "Columns": [{"Name": name, "Type": kind} for name, kind in columns.items()],
        }
        table = {"Name": "billboard", "StorageDescriptor": descriptor, "Parameters": described["Parameters"]}
        glue.create_table(DatabaseName="test", TableInput=table)
        return billboard.Athena(clients, STACK, "test")

    yield athena
    glue.delete_table(DatabaseName="test", Name="billboard")
    glue.delete_database(Name="test")
    clients.resource("s3").Bucket("test-songs").objects.delete()
    s3.delete_bucket(Bucket="test-songs")


def test_songs_match_the_file(create_table: CreateTable, lines: list[str]) -> None:
    songs = create_table("".join(lines)).songs()
    expected = pd.read_csv(SYNTHETIC)
    assert len(songs) == len(expected) > 1000, "the songs must not fit on one page of results"
    assert set(songs["songtitle"]) == set(expected["songtitle"]), "titles with commas or quotes differ"
    assert songs["energy"].sum() == pytest.approx(expected["energy"].sum(), abs=1e-9)


@pytest.mark.reliability(
    "analytics_host",
    "Deleted externally",
    fault="the songs file",
    expected="the analysis stops with a clear error; stack deletion retains the file",
    observed="`upload the songs file`",
)
def test_songs_of_empty_table_are_rejected(create_table: CreateTable) -> None:
    with pytest.raises(SongsError, match="is empty; upload the songs file"):
        create_table("").songs()


def test_songs_with_missing_columns_are_rejected(create_table: CreateTable, lines: list[str]) -> None:
    columns = {name: kind for name, kind in COLUMNS.items() if name not in ("energy", "top10")}
    cut = "".join(",".join(line.split(",")[:10]) + "\n" for line in lines[:1])
    with pytest.raises(SongsError, match="missing columns: energy, top10"):
        create_table(cut + "2010,a,b,c,d,4,1,1.0,1.0,1.0\n", columns).songs()


def test_songs_with_wrong_types_are_rejected_by_athena(create_table: CreateTable, lines: list[str]) -> None:
    with pytest.raises(OperationalError, match="HIVE_BAD_DATA"):
        create_table(lines[0] + lines[1] + lines[2].replace("20", "twenty", 1)).songs()


@pytest.mark.reliability(
    "analytics_host",
    "Malformed input",
    fault="a songs file with wrong columns or types, short lines, or no hits",
)
def test_songs_with_short_lines_are_rejected(create_table: CreateTable, lines: list[str]) -> None:
    with pytest.raises(SongsError, match="top10: 1 of 2 values are empty"):
        create_table(lines[0] + lines[1] + lines[2].rsplit(",", 1)[0] + "\n").songs()


def test_query_reads_backslashes_like_opencsv_serde(create_table: CreateTable) -> None:
    athena = create_table('name,n\nAC\\DC,1\n\\N,2\n"say \\"hi\\"",3\n', {"name": "string", "n": "int"})
    rows = athena.query("SELECT name, n FROM billboard ORDER BY n").rows
    assert list(rows["name"]) == ["ACDC", "N", 'say "hi"']


def test_split_of_songs_without_test_year_is_rejected(create_table: CreateTable, lines: list[str]) -> None:
    songs = create_table("".join(line for line in lines if not line.startswith("2010"))).songs()
    with pytest.raises(SongsError, match="0 songs of 2010"):
        split(songs)


@pytest.fixture
def small_workgroup(sandbox_with_options: Sandbox) -> Iterator[str]:
    """A workgroup with the lowest possible limit on scanned bytes."""
    client = session(sandbox_with_options).client("athena")
    configuration = client.get_work_group(WorkGroup=STACK)["WorkGroup"]["Configuration"]
    client.create_work_group(Name="small", Configuration=configuration | {"BytesScannedCutoffPerQuery": 10_000_000})
    yield "small"
    client.delete_work_group(WorkGroup="small")


@pytest.mark.reliability(
    "analytics_host",
    "Hostile input",
    fault="a query over the limit on scanned bytes",
    expected="canceled by the workgroup, regardless of client settings",
    observed="`Bytes scanned limit was exceeded`",
)
def test_query_over_bytes_scanned_cutoff_is_canceled(
    create_table: CreateTable, lines: list[str], small_workgroup: str
) -> None:
    limited = create_table(lines[0] + "".join(lines[1:]) * 31)
    limited.work_group = small_workgroup
    with pytest.raises(OperationalError, match="Bytes scanned limit"):
        limited.query("SELECT count(*) FROM billboard")


def test_unknown_workgroup_is_rejected(sandbox_with_options: Sandbox) -> None:
    client = session(sandbox_with_options).client("athena")
    with pytest.raises(client.exceptions.InvalidRequestException, match="not found"):
        client.start_query_execution(QueryString="SELECT 1", WorkGroup="unknown")


def test_query_result_is_stored_in_workgroup_bucket(
    create_table: CreateTable, lines: list[str], sandbox_with_options: Sandbox
) -> None:
    clients = session(sandbox_with_options)
    client: Any = clients.client("athena")
    create_table("".join(lines[:3]))
    started = client.start_query_execution(
        QueryString="SELECT year, NULL AS nothing FROM billboard LIMIT 1",
        WorkGroup=STACK,
        QueryExecutionContext={"Database": "test"},
    )

    def succeeded() -> Any:
        execution = client.get_query_execution(QueryExecutionId=started["QueryExecutionId"])["QueryExecution"]
        return execution if execution["Status"]["State"] == "SUCCEEDED" else None

    execution = target_of(sandbox_with_options).wait_until(succeeded, "the query succeeds", seconds=120)
    settings = client.get_work_group(WorkGroup=STACK)["WorkGroup"]["Configuration"]["ResultConfiguration"]
    location = execution["ResultConfiguration"]["OutputLocation"]
    assert location.startswith(settings["OutputLocation"])
    bucket, key = location.removeprefix("s3://").split("/", 1)
    body = clients.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    assert body == '"year","nothing"\n"2010",\n'
    assert Path(key).name == f"{started['QueryExecutionId']}.csv"


Parquet = tuple[Callable[[str], billboard.Athena], Any]


@pytest.fixture
def parquet(create_table: CreateTable, sandbox_with_options: Sandbox) -> Iterator[Parquet]:
    """Yield a function that creates a CSV and a Parquet table from a text, and the bucket of both tables."""
    clients = session(sandbox_with_options)
    glue = clients.client("glue")
    described = glue.get_table(DatabaseName="analytics_host", Name="billboard_parquet")["Table"]
    descriptor = described["StorageDescriptor"] | {"Location": "s3://test-songs/parquet/"}
    table = {"Name": "billboard_parquet", "StorageDescriptor": descriptor, "Parameters": described["Parameters"]}

    def create_tables(text: str) -> billboard.Athena:
        athena = create_table(text)
        glue.create_table(DatabaseName="test", TableInput=table)
        return athena

    yield create_tables, clients.resource("s3").Bucket("test-songs")
    glue.delete_table(DatabaseName="test", Name="billboard_parquet")


@pytest.mark.reliability(
    "analytics_host",
    "Partial failure",
    fault="the conversion to Parquet fails or is repeated",
)
def test_convert_twice_replaces_parquet_files(parquet: Parquet, lines: list[str]) -> None:
    create_tables, _ = parquet
    athena = create_tables("".join(lines[:40]))
    for _ in range(2):
        athena.convert()
    assert len(athena.songs("billboard_parquet")) == 39
    assert athena.songs("billboard_parquet").equals(athena.songs())


def test_convert_command_writes_parquet(
    parquet: Parquet, lines: list[str], sandbox_with_options: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_tables, _ = parquet
    athena = create_tables("".join(lines[:40]))
    for name, value in sandbox_with_options.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("BILLBOARD_WORK_GROUP", STACK)
    monkeypatch.setenv("BILLBOARD_DATABASE", "test")
    monkeypatch.setattr(sys, "argv", ["billboard", "convert"])
    billboard_command()
    assert len(athena.songs("billboard_parquet")) == 39


@pytest.mark.reliability(
    "analytics_host",
    "Partial failure",
    fault="the conversion to Parquet fails or is repeated",
    expected="previous files are kept until the new ones are written",
    observed="the table is unchanged; no duplicates after a second conversion",
)
def test_failed_convert_keeps_parquet_files(
    parquet: Parquet, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    create_tables, bucket = parquet
    athena = create_tables("".join(lines[:40]))
    athena.convert()
    with monkeypatch.context() as patched:
        patched.setattr(billboard, "TABLE", "missing")
        patched.setattr(athena, "songs", lambda: None)
        with pytest.raises(OperationalError):
            athena.convert()
    assert len(athena.songs("billboard_parquet")) == 39, "after a failed query"
    bucket.put_object(Key="songs/any-name", Body=(lines[0] + lines[1].rsplit(",", 1)[0] + "\n").encode())
    with pytest.raises(SongsError, match="top10"):
        athena.convert()
    assert len(athena.songs("billboard_parquet")) == 39, "after invalid songs"


@pytest.mark.reliability(
    "analytics_host",
    "Partial failure",
    fault="previous Parquet files cannot be deleted",
    expected="the error names the objects; duplicate songs are rejected",
    observed="`billboard_parquet has duplicate songs until you delete`",
)
def test_convert_reports_files_it_cannot_delete(parquet: Parquet, lines: list[str]) -> None:
    create_tables, _ = parquet
    athena = create_tables("".join(lines[:40]))
    athena.convert()

    def deny(parsed: dict[str, Any], **_named: Any) -> None:
        parsed["Errors"] = [{"Key": "parquet/part-0", "Code": "AccessDenied", "Message": "no"}]

    athena.session.events.register("after-call.s3.DeleteObjects", deny)
    with pytest.raises(SongsError, match=r"duplicate songs until you delete: parquet/part-0 \(AccessDenied\)"):
        athena.convert()


@pytest.mark.reliability("analytics_host", "Partial failure", fault="previous Parquet files cannot be deleted")
def test_duplicate_songs_are_rejected(create_table: CreateTable, lines: list[str]) -> None:
    with pytest.raises(SongsError, match="39 duplicate songs"):
        create_table("".join(lines[:40] + lines[1:40])).songs()


def test_tables_fields_and_create_statement_are_listed(sandbox_with_options: Sandbox) -> None:
    athena = billboard.Athena(session(sandbox_with_options), STACK, "analytics_host")
    assert athena.tables()[0] == "billboard"
    fields = athena.fields()
    assert fields["field"].tolist() == list(COLUMNS)
    assert fields["comment"].str.len().min() > 0
    statement = athena.create_statement()
    assert statement.startswith("CREATE EXTERNAL TABLE `analytics_host.billboard`(\n  `year` int COMMENT 'Year")
    assert "'org.apache.hadoop.hive.serde2.OpenCSVSerde'" in statement
    assert athena.query("SHOW TABLES").rows["tab_name"].tolist() == sorted(athena.tables())


def test_create_table_statement_creates_table_of_the_catalog() -> None:
    statement = "CREATE EXTERNAL TABLE test.songs (title string, year int) LOCATION 's3://songs/'"
    with Sandbox() as sandbox:
        clients = session(sandbox)
        clients.client("s3").create_bucket(Bucket="results")
        clients.client("glue").create_database(DatabaseInput={"Name": "test"})
        athena = clients.client("athena")
        query = athena.start_query_execution(
            QueryString=statement, ResultConfiguration={"OutputLocation": "s3://results/"}
        )["QueryExecutionId"]
        status = target_of(sandbox).wait_until(
            lambda: (
                (s := athena.get_query_execution(QueryExecutionId=query)["QueryExecution"]["Status"])["State"]
                not in ("QUEUED", "RUNNING")
                and s
            ),
            "the statement has been executed",
        )
        assert status["State"] == "SUCCEEDED", status
        table = clients.client("glue").get_table(DatabaseName="test", Name="songs")["Table"]
    columns = [(column["Name"], column["Type"]) for column in table["StorageDescriptor"]["Columns"]]
    assert columns == [("title", "string"), ("year", "int")]
