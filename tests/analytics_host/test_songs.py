"""Facts about the songs: what is accepted, how they are split, and the made-up file."""

import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from assets.analytics_host.billboard import synthetic
from assets.analytics_host.billboard.songs import COLUMNS, FEATURES, SongsError, checked, read, split, verify

from ..conftest import ROOT

MADE_UP = ROOT / "assets" / "analytics_host" / "songs.csv"


@pytest.fixture(scope="module")
def songs() -> pd.DataFrame:
    return read(MADE_UP)


def test_made_up_file_is_what_its_script_makes() -> None:
    text = io.StringIO()
    synthetic.write(text)
    assert text.getvalue() == MADE_UP.read_text(encoding="utf-8")
    other = io.StringIO()
    synthetic.write(other, seed=1)
    assert other.getvalue() != text.getvalue()


def test_made_up_file_has_the_real_ones_header_and_what_is_hard_to_read(songs: pd.DataFrame) -> None:
    header = MADE_UP.read_text(encoding="utf-8").split("\n")[0].split(",")
    assert len(header) == 39
    assert [name for name in header if name != name.lower()] == ["songID", "artistID", "Top10"]
    for piece in (",", '"', "í"):
        assert songs["songtitle"].str.contains(piece, regex=False).any(), f"no title with {piece}"
    assert 0.6 < songs["loudness"].corr(songs["energy"]) < 0.9


def test_models_see_33_features_and_neither_year_nor_names() -> None:
    assert len(FEATURES) == 33
    assert not {"year", "songtitle", "artistname", "songid", "artistid", "top10"} & set(FEATURES)


def test_order_of_rows_and_columns_does_not_depend_on_athenas(songs: pd.DataFrame) -> None:
    mixed = songs.sample(frac=1, random_state=1)[list(reversed(COLUMNS))]
    pd.testing.assert_frame_equal(checked(mixed), songs)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: f.drop(columns=["energy", "top10"]), "missing columns: energy, top10"),
        (lambda f: f.assign(loudness=f["loudness"].astype(str).replace("-9.", "loud")), "loudness: not numbers"),
        (lambda f: f.assign(tempo=["fast", *f["tempo"][1:]]), "tempo: not numbers, such as 'fast'"),
        (lambda f: f.assign(key=f["key"] + 0.5), "key: not whole numbers"),
        (lambda f: f.assign(pitch=[None, *f["pitch"][1:]]), "pitch: 1 of 1050 are empty"),
        (lambda f: f.assign(top10=f["top10"] * 2), "top10: not only 0 and 1"),
        (lambda f: f.assign(key=["c"] * len(f), tempo=["x"] * len(f)), "tempo: not numbers, .*; key: not whole"),
        (lambda f: f.assign(key=f["key"].astype(float)), "key: not whole numbers, such as"),
        (lambda f: f.assign(key=f["key"].astype(str)), "key: not whole numbers, such as"),
        (lambda f: f.assign(energy=["0.5", "much", *f["energy"][2:]]), "energy: not numbers, such as 'much'"),
        (lambda f: f.assign(energy=f["energy"].astype(str)), "energy: not numbers, such as '0"),
        (lambda f: f.assign(energy=[float("inf"), *f["energy"][1:]]), "energy: not numbers, such as inf"),
        (lambda f: pd.concat([f, f.head(2)]), "2 songs are there twice, such as .*: are there two files"),
    ],
)
def test_bad_songs_are_refused_with_what_is_wrong(songs: pd.DataFrame, spoil: Any, said: str) -> None:
    with pytest.raises(SongsError, match=said):
        checked(spoil(songs))


def test_song_may_be_called_none_and_an_empty_number_is_refused(tmp_path: Path) -> None:
    header, first, *_ = MADE_UP.read_text(encoding="utf-8").splitlines()
    year, rest = first.split(",", 1)[0], first.split(",SO", 1)[1]
    (tmp_path / "songs.csv").write_text(f"{header}\n{year},None,112,SO{rest}\n")
    (song,) = read(tmp_path / "songs.csv").itertuples()
    assert (song.songtitle, song.artistname) == ("None", "112")
    (tmp_path / "songs.csv").write_text(f"{header}\n,None,112,SO{rest}\n")
    with pytest.raises(SongsError, match="year: not whole numbers, such as ''"):
        read(tmp_path / "songs.csv")


def test_training_is_before_the_year_and_test_is_the_year(songs: pd.DataFrame) -> None:
    training, test = split(songs)
    assert training["year"].max() == 2009
    assert set(test["year"]) == {2010}
    assert len(training) + len(test) == len(songs)


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        (lambda f: f["year"] < 2010, "0 songs of 2010"),
        (lambda f: f["year"] == 2010, "0 songs before 2010"),
        (lambda f: (f["year"] < 2010) | (f["top10"] == 0), "0 of them hits"),
        (lambda f: (f["year"] < 2010) | (f["top10"] == 1), "songs of 2010, .*: nothing to learn or to test"),
    ],
)
def test_year_without_songs_or_hits_is_refused(songs: pd.DataFrame, kept: Any, said: str) -> None:
    with pytest.raises(SongsError, match=said):
        split(songs[kept(songs)])


def test_file_of_the_published_figures_is_known_by_its_checksum() -> None:
    with pytest.raises(SongsError, match="not the file of the published figures"):
        verify(MADE_UP)
    real = ROOT.parent / "shared" / "data" / "billboard" / "songs.csv"
    if real.exists():
        verify(real)
