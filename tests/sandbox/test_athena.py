"""Facts about the query layer, with songs as they should not be; and about the sandbox's Athena."""

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
MADE_UP = ROOT / "assets" / "analytics_host" / "songs.csv"
STACK = "AnalyticsHost"


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return MADE_UP.read_text(encoding="utf-8").splitlines(keepends=True)


Ask = Callable[..., billboard.Athena]


@pytest.fixture
def ask(sandbox_with_options: Sandbox) -> Iterator[Ask]:
    """Gives the query layer on a table of its own, with the columns and the text that it is given."""
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


def test_songs_come_back_as_they_are_in_the_file(ask: Ask, lines: list[str]) -> None:
    songs = ask("".join(lines)).songs()
    expected = pd.read_csv(MADE_UP)
    assert len(songs) == len(expected) > 1000, "more than a page of Athena's results"
    assert set(songs["songtitle"]) == set(expected["songtitle"]), "commas and quotes in titles did not survive"
    assert songs["energy"].sum() == pytest.approx(expected["energy"].sum(), abs=1e-9)


@pytest.mark.reliability(
    "analytics_host",
    "Deleted by somebody else",
    fault="the songs file",
    expected="the analysis stops, and says why; the stack's removal leaves the user's file",
    observed='"has the songs file been uploaded?"',
)
def test_table_with_no_file_is_refused(ask: Ask) -> None:
    with pytest.raises(SongsError, match="has the songs file been uploaded"):
        ask("").songs()


def test_missing_columns_are_refused(ask: Ask, lines: list[str]) -> None:
    columns = {name: kind for name, kind in COLUMNS.items() if name not in ("energy", "top10")}
    cut = "".join(",".join(line.split(",")[:10]) + "\n" for line in lines[:1])
    with pytest.raises(SongsError, match="missing columns: energy, top10"):
        ask(cut + "2010,a,b,c,d,4,1,1.0,1.0,1.0\n", columns).songs()


def test_wrong_types_are_refused_by_athena_itself(ask: Ask, lines: list[str]) -> None:
    with pytest.raises(OperationalError, match="HIVE_BAD_DATA"):
        ask(lines[0] + lines[1] + lines[2].replace("20", "twenty", 1)).songs()


@pytest.mark.reliability(
    "analytics_host",
    "Malformed input",
    fault="a songs file with wrong columns or types, short lines, or no hits",
)
def test_short_lines_are_refused(ask: Ask, lines: list[str]) -> None:
    with pytest.raises(SongsError, match="top10: 1 of 2 are empty"):
        ask(lines[0] + lines[1] + lines[2].rsplit(",", 1)[0] + "\n").songs()


def test_backslashes_are_read_as_the_serde_reads_them(ask: Ask) -> None:
    athena = ask('name,n\nAC\\DC,1\n\\N,2\n"say \\"hi\\"",3\n', {"name": "string", "n": "int"})
    rows = athena.query("SELECT name, n FROM billboard ORDER BY n").rows
    assert list(rows["name"]) == ["ACDC", "N", 'say "hi"']


def test_year_without_songs_is_refused(ask: Ask, lines: list[str]) -> None:
    songs = ask("".join(line for line in lines if not line.startswith("2010"))).songs()
    with pytest.raises(SongsError, match="0 songs of 2010"):
        split(songs)


@pytest.fixture
def small_workgroup(sandbox_with_options: Sandbox) -> Iterator[str]:
    """A workgroup with the smallest limit there is."""
    client = session(sandbox_with_options).client("athena")
    configuration = client.get_work_group(WorkGroup=STACK)["WorkGroup"]["Configuration"]
    client.create_work_group(Name="small", Configuration=configuration | {"BytesScannedCutoffPerQuery": 10_000_000})
    yield "small"
    client.delete_work_group(WorkGroup="small")


@pytest.mark.reliability(
    "analytics_host",
    "Hostile input",
    fault="a query that reads too much",
    expected="cancelled by the workgroup, whatever the client asks for",
    observed='"Bytes scanned limit"',
)
def test_query_that_would_read_too_much_is_cancelled(ask: Ask, lines: list[str], small_workgroup: str) -> None:
    limited = ask(lines[0] + "".join(lines[1:]) * 31)
    limited.work_group = small_workgroup
    with pytest.raises(OperationalError, match="Bytes scanned limit"):
        limited.query("SELECT count(*) FROM billboard")


def test_unknown_workgroup_is_refused(sandbox_with_options: Sandbox) -> None:
    client = session(sandbox_with_options).client("athena")
    with pytest.raises(client.exceptions.InvalidRequestException, match="not found"):
        client.start_query_execution(QueryString="SELECT 1", WorkGroup="nobody's")


def test_result_is_a_file_in_the_workgroups_bucket(ask: Ask, lines: list[str], sandbox_with_options: Sandbox) -> None:
    clients = session(sandbox_with_options)
    client: Any = clients.client("athena")
    ask("".join(lines[:3]))
    started = client.start_query_execution(
        QueryString="SELECT year, NULL AS nothing FROM billboard LIMIT 1",
        WorkGroup=STACK,
        QueryExecutionContext={"Database": "test"},
    )

    def succeeded() -> Any:
        found = client.get_query_execution(QueryExecutionId=started["QueryExecutionId"])["QueryExecution"]
        return found if found["Status"]["State"] == "SUCCEEDED" else None

    execution = target_of(sandbox_with_options).wait_until(succeeded, "the query succeeds", seconds=120)
    rules = client.get_work_group(WorkGroup=STACK)["WorkGroup"]["Configuration"]["ResultConfiguration"]
    location = execution["ResultConfiguration"]["OutputLocation"]
    assert location.startswith(rules["OutputLocation"])
    bucket, key = location.removeprefix("s3://").split("/", 1)
    body = clients.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    assert body == '"year","nothing"\n"2010",\n'
    assert Path(key).name == f"{started['QueryExecutionId']}.csv"


Parquet = tuple[Callable[[str], billboard.Athena], Any]


@pytest.fixture
def parquet(ask: Ask, sandbox_with_options: Sandbox) -> Iterator[Parquet]:
    """Gives the query layer on songs of a text and a Parquet table beside them, and the bucket of both."""
    clients = session(sandbox_with_options)
    glue = clients.client("glue")
    described = glue.get_table(DatabaseName="analytics_host", Name="billboard_parquet")["Table"]
    descriptor = described["StorageDescriptor"] | {"Location": "s3://test-songs/parquet/"}
    table = {"Name": "billboard_parquet", "StorageDescriptor": descriptor, "Parameters": described["Parameters"]}

    def of(text: str) -> billboard.Athena:
        athena = ask(text)
        glue.create_table(DatabaseName="test", TableInput=table)
        return athena

    yield of, clients.resource("s3").Bucket("test-songs")
    glue.delete_table(DatabaseName="test", Name="billboard_parquet")


@pytest.mark.reliability(
    "analytics_host",
    "Partial failure",
    fault="the conversion to Parquet fails, or is done twice",
)
def test_conversion_can_be_run_again(parquet: Parquet, lines: list[str]) -> None:
    of, _ = parquet
    athena = of("".join(lines[:40]))
    for _ in range(2):
        athena.convert()
    assert len(athena.songs("billboard_parquet")) == 39
    assert athena.songs("billboard_parquet").equals(athena.songs())


def test_conversion_is_a_command_of_the_hosts_terminal(
    parquet: Parquet, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    of, _ = parquet
    athena = of("".join(lines[:40]))
    monkeypatch.setenv("BILLBOARD_WORK_GROUP", STACK)
    monkeypatch.setenv("BILLBOARD_DATABASE", "test")
    monkeypatch.setattr(sys, "argv", ["billboard", "convert"])
    billboard_command()
    assert len(athena.songs("billboard_parquet")) == 39


@pytest.mark.reliability(
    "analytics_host",
    "Partial failure",
    fault="the conversion to Parquet fails, or is done twice",
    expected="what was there stays until the new is written",
    observed="the table as before; the same after a second time",
)
def test_what_is_there_stays_when_a_conversion_fails(
    parquet: Parquet, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    of, bucket = parquet
    athena = of("".join(lines[:40]))
    athena.convert()
    with monkeypatch.context() as patched:
        patched.setattr(billboard, "TABLE", "nowhere")
        patched.setattr(athena, "songs", lambda: None)
        with pytest.raises(OperationalError):
            athena.convert()
    assert len(athena.songs("billboard_parquet")) == 39, "a query that failed"
    bucket.put_object(Key="songs/any-name", Body=(lines[0] + lines[1].rsplit(",", 1)[0] + "\n").encode())
    with pytest.raises(SongsError, match="top10"):
        athena.convert()
    assert len(athena.songs("billboard_parquet")) == 39, "songs that are not fit"


@pytest.mark.reliability(
    "analytics_host",
    "Partial failure",
    fault="what was there cannot be deleted",
    expected="the error names the objects; songs that are there twice are refused",
    observed="`songs are in billboard_parquet twice until these are deleted`",
)
def test_conversion_that_cannot_delete_what_was_there_says_so(parquet: Parquet, lines: list[str]) -> None:
    of, _ = parquet
    athena = of("".join(lines[:40]))
    athena.convert()

    def refused(parsed: dict[str, Any], **_named: Any) -> None:
        parsed["Errors"] = [{"Key": "parquet/part-0", "Code": "AccessDenied", "Message": "no"}]

    athena.session.events.register("after-call.s3.DeleteObjects", refused)
    with pytest.raises(SongsError, match=r"twice until these are deleted: parquet/part-0 \(AccessDenied\)"):
        athena.convert()


@pytest.mark.reliability("analytics_host", "Partial failure", fault="what was there cannot be deleted")
def test_songs_that_are_there_twice_are_refused(ask: Ask, lines: list[str]) -> None:
    with pytest.raises(SongsError, match="39 songs are there twice"):
        ask("".join(lines[:40] + lines[1:40])).songs()
