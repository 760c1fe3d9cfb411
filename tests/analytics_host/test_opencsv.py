"""Tests of CSV as Athena reads it. The sandbox's Athena uses the same module."""

import csv
import io

import pytest
from hypothesis import given, strategies as st

from assets.analytics_host.billboard.opencsv import fields, read

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
@pytest.mark.reliability(
    "analytics_host",
    "Malformed input",
    fault="backslashes in the songs file",
    expected="Athena and the project read them like OpenCSVSerDe",
    observed="`AC\\DC` becomes `ACDC`",
)
def test_fields_of_line_match_opencsv_serde(line: str, expected: list[str]) -> None:
    assert fields(line) == expected


def test_unclosed_quote_in_field_drops_rest_of_line() -> None:
    assert fields('one,12" mix,3') == ["one"]


@given(st.lists(st.text(st.characters(exclude_characters="\\\r\n", codec="utf-8")), min_size=2))
def test_fields_read_rows_written_by_python(row: list[str]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="", quoting=csv.QUOTE_ALL).writerow(row)
    assert fields(text.getvalue()) == row


def test_synthetic_songs_read_the_same_with_csv_module() -> None:
    path = ROOT / "assets" / "analytics_host" / "songs.csv"
    with path.open(encoding="utf-8", newline="") as file:
        _, *rows = csv.reader(file)
    assert read(path)[1] == rows
