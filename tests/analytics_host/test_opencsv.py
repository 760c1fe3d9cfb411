"""Facts about CSV as Athena reads it: what the project reads, the sandbox's Athena, and that both agree."""

import csv
import io

import pytest
from hypothesis import given, strategies as st

from assets.analytics_host.billboard.opencsv import fields, read
from sandbox.opencsv import OpenCsv

from ..conftest import ROOT

LINES = [
    (r"AC\DC,1,2.5", ["ACDC", "1", "2.5"]),
    (r"\N,1", ["N", "1"]),
    (r'"AC\DC",1', ["ACDC", "1"]),
    (r'"AC\\DC",1', [r"AC\DC", "1"]),
    (r"AC\\DC,1", [r"AC\DC", "1"]),
    (r"\\DC,1", ["DC", "1"]),
    (r'"The \"Best\"",1', ['The "Best"', "1"]),
    ('"The ""Best""",1', ['The "Best"', "1"]),
    ('"Tune, Slow",1', ["Tune, Slow", "1"]),
    (r"back\,slash,1", ["back", "slash", "1"]),
    ("a,,", ["a", "", ""]),
    ('a,"never closed,b', ["a"]),
]


@pytest.mark.parametrize(("line", "expected"), LINES)
def test_line_is_read_as_opencsv_serde_reads_it(line: str, expected: list[str]) -> None:
    assert fields(line) == expected
    assert OpenCsv({}).row(line, len(expected)) == expected


def test_quote_in_the_middle_of_a_field_takes_the_rest_of_the_line() -> None:
    assert fields('one,12" mix,3') == OpenCsv({}).row('one,12" mix,3', 1) == ["one"]


@given(st.text(st.sampled_from('a ,"\\é'), max_size=12))
def test_project_and_sandbox_agree_on_any_line(line: str) -> None:
    expected = fields(line)
    assert OpenCsv({}).row(line, len(expected)) == (expected if line else [None])


@given(st.lists(st.text(st.characters(exclude_characters="\\\r\n", codec="utf-8")), min_size=2))
def test_what_python_writes_without_backslashes_is_read_back(row: list[str]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="", quoting=csv.QUOTE_ALL).writerow(row)
    assert fields(text.getvalue()) == row


def test_made_up_songs_are_read_alike_by_athena_and_by_python() -> None:
    path = ROOT / "assets" / "analytics_host" / "songs.csv"
    with path.open(encoding="utf-8", newline="") as file:
        _, *rows = csv.reader(file)
    assert read(path)[1] == rows


def test_missing_values_are_null_and_further_ones_ignored() -> None:
    assert OpenCsv({}).row("a", 3) == ["a", None, None]
    assert OpenCsv({}).row("a,b,c", 2) == ["a", "b"]
    assert OpenCsv({}).row("", 2) == [None, None]


def test_characters_are_those_of_the_table() -> None:
    assert OpenCsv({"separatorChar": "|", "quoteChar": "'", "escapeChar": "^"}).row("'a|^'b'|c", 2) == ["a|'b", "c"]
    assert OpenCsv({"escapeChar": '"'}).row(r"AC\DC", 1) == ["ACDC"], "Hive's default is read as a backslash"
