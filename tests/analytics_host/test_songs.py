"""Tests of validating and splitting songs, and of the synthetic file."""

import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from assets.analytics_host.billboard import synthetic
from assets.analytics_host.billboard.songs import COLUMNS, FEATURES, SongsError, read, split, validate, verify

from ..conftest import ROOT

SYNTHETIC = ROOT / "assets" / "analytics_host" / "songs.csv"


@pytest.fixture(scope="module")
def songs() -> pd.DataFrame:
    return read(SYNTHETIC)


def test_synthetic_file_matches_generator() -> None:
    text = io.StringIO()
    synthetic.write(text)
    assert text.getvalue() == SYNTHETIC.read_text(encoding="utf-8")
    other = io.StringIO()
    synthetic.write(other, seed=1)
    assert other.getvalue() != text.getvalue()


def test_synthetic_file_has_original_header_and_quoting(songs: pd.DataFrame) -> None:
    header = SYNTHETIC.read_text(encoding="utf-8").split("\n")[0].split(",")
    assert len(header) == 39
    assert [name for name in header if name != name.lower()] == ["songID", "artistID", "Top10"]
    for character in (",", '"', "í"):
        assert songs["songtitle"].str.contains(character, regex=False).any(), f"no title with {character}"
    assert 0.6 < songs["loudness"].corr(songs["energy"]) < 0.9


def test_features_exclude_year_names_and_label() -> None:
    assert len(FEATURES) == 33
    assert not {"year", "songtitle", "artistname", "songid", "artistid", "top10"} & set(FEATURES)


def test_validate_sorts_rows_and_columns(songs: pd.DataFrame) -> None:
    mixed = songs.sample(frac=1, random_state=1)[list(reversed(COLUMNS))]
    pd.testing.assert_frame_equal(validate(mixed), songs)


@pytest.mark.parametrize(
    ("corrupt", "message"),
    [
        (lambda f: f.drop(columns=["energy", "top10"]), "missing columns: energy, top10"),
        (lambda f: f.assign(loudness=f["loudness"].astype(str).replace("-9.", "loud")), "loudness: not numbers"),
        (lambda f: f.assign(tempo=["fast", *f["tempo"][1:]]), "tempo: not numbers, such as 'fast'"),
        (lambda f: f.assign(key=f["key"] + 0.5), "key: not integers"),
        (lambda f: f.assign(pitch=[None, *f["pitch"][1:]]), "pitch: 1 of 1050 values are empty"),
        (lambda f: f.assign(top10=f["top10"] * 2), "top10: values other than 0 and 1"),
        (lambda f: f.assign(key=["c"] * len(f), tempo=["x"] * len(f)), "tempo: not numbers, .*; key: not integers"),
        (lambda f: f.assign(key=f["key"].astype(float)), "key: not integers, such as"),
        (lambda f: f.assign(key=f["key"].astype(str)), "key: not integers, such as"),
        (lambda f: f.assign(energy=["0.5", "much", *f["energy"][2:]]), "energy: not numbers, such as 'much'"),
        (lambda f: f.assign(energy=f["energy"].astype(str)), "energy: not numbers, such as '0"),
        (lambda f: f.assign(energy=[float("inf"), *f["energy"][1:]]), "energy: not numbers, such as inf"),
        (lambda f: pd.concat([f, f.head(2)]), "2 duplicate songs, such as .*; keep only one songs file"),
    ],
)
@pytest.mark.reliability(
    "analytics_host",
    "Malformed input",
    fault="a songs file with wrong columns or types, short lines, or no hits",
    expected="rejected",
    observed="the message lists every problem",
)
def test_validate_invalid_songs_reports_problems(songs: pd.DataFrame, corrupt: Any, message: str) -> None:
    with pytest.raises(SongsError, match=message):
        validate(corrupt(songs))


def test_read_keeps_text_none_and_rejects_empty_number(tmp_path: Path) -> None:
    header, first, *_ = SYNTHETIC.read_text(encoding="utf-8").splitlines()
    year, rest = first.split(",", 1)[0], first.split(",SO", 1)[1]
    (tmp_path / "songs.csv").write_text(f"{header}\n{year},None,112,SO{rest}\n")
    (song,) = read(tmp_path / "songs.csv").itertuples()
    assert (song.songtitle, song.artistname) == ("None", "112")
    (tmp_path / "songs.csv").write_text(f"{header}\n,None,112,SO{rest}\n")
    with pytest.raises(SongsError, match="year: not integers, such as ''"):
        read(tmp_path / "songs.csv")


def test_split_separates_training_years_and_test_year(songs: pd.DataFrame) -> None:
    training, test = split(songs)
    assert training["year"].max() == 2009
    assert set(test["year"]) == {2010}
    assert len(training) + len(test) == len(songs)


@pytest.mark.parametrize(
    ("select", "message"),
    [
        (lambda f: f["year"] < 2010, "0 songs of 2010"),
        (lambda f: f["year"] == 2010, "0 songs before 2010"),
        (lambda f: (f["year"] < 2010) | (f["top10"] == 0), "0 of them hits"),
        (lambda f: (f["year"] < 2010) | (f["top10"] == 1), "songs of 2010, .*; training and testing need hits"),
    ],
)
@pytest.mark.reliability(
    "analytics_host",
    "Malformed input",
    fault="a songs file with wrong columns or types, short lines, or no hits",
)
def test_split_without_songs_or_hits_is_rejected(songs: pd.DataFrame, select: Any, message: str) -> None:
    with pytest.raises(SongsError, match=message):
        split(songs[select(songs)])


def test_verify_rejects_file_with_other_checksum() -> None:
    with pytest.raises(SongsError, match="not the original songs file"):
        verify(SYNTHETIC)
    original = ROOT.parent / "shared" / "data" / "billboard" / "songs.csv"
    if original.exists():
        verify(original)
