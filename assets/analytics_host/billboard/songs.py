"""What a table of songs has to be, and how it is split."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path

import pandas as pd

from . import opencsv

COLUMNS: dict[str, str] = json.loads(Path(__file__).with_name("columns.json").read_text())
LABEL = "top10"
FEATURES = [name for name, kind in COLUMNS.items() if kind != "string" and name not in ("year", LABEL)]
TEST_YEAR = 2010
ORIGINAL_SHA256 = "b3c7cfbbd6e02d4de4048fed67ce3d65ac90e3f6e26ee2cef57c53e19ef35a41"


class SongsError(Exception):
    """The songs are not what they must be; says everything that is wrong."""


def read(path: Path) -> pd.DataFrame:
    """Read a songs file, as Athena gives it: names of columns in lower case.

    Raises:
        SongsError: it has not the columns and types of the songs.
    """
    names, rows = opencsv.read(path)
    frame = pd.DataFrame(rows, columns=names, dtype=object)
    for name, kind in COLUMNS.items():
        if kind != "string" and name in frame:
            with suppress(TypeError, ValueError):  # `checked` reports the value
                frame[name] = frame[name].map(int if kind == "int" else float)
    return checked(frame)


def verify(path: Path) -> None:
    """Make sure that the file is the one of the published figures.

    Raises:
        SongsError: it is another.
    """
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != ORIGINAL_SHA256:
        raise SongsError(f"{path} is not the file of the published figures: SHA-256 {digest}, not {ORIGINAL_SHA256}")


def checked(frame: pd.DataFrame) -> pd.DataFrame:
    """Give the songs in a fixed order of rows and columns, for Athena promises none.

    Raises:
        SongsError: columns are missing, values are not of their type, or songs are there twice.
    """
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise SongsError(f"missing columns: {', '.join(missing)}")
    mistakes = [mistake for name, kind in COLUMNS.items() if (mistake := _mistake(frame[name], kind))]
    if not mistakes and not set(frame[LABEL]) <= {0, 1}:
        mistakes.append(f"{LABEL}: not only 0 and 1")
    if mistakes:
        raise SongsError("; ".join(mistakes))
    twice = frame.duplicated(list(COLUMNS))
    if twice.any():
        title = frame.loc[twice, "songtitle"].iloc[0]
        raise SongsError(f"{twice.sum()} songs are there twice, such as {title!r}: are there two files of them?")
    order = ["year", "songid", *(name for name in COLUMNS if name not in ("year", "songid"))]
    return frame[list(COLUMNS)].sort_values(order, kind="stable", ignore_index=True)


def _mistake(values: pd.Series, kind: str) -> str:
    empty = int(values.isna().sum())
    if empty:
        return f"{values.name}: {empty} of {len(values)} are empty"
    if len(values) == 0 or kind == "string":
        return ""
    numbers = pd.to_numeric(values, errors="coerce")
    if kind == "int" and not pd.api.types.is_integer_dtype(values):
        return f"{values.name}: not whole numbers, such as {_first(values, numbers % 1 != 0)!r}"
    odd = numbers.isna() | numbers.isin((float("inf"), float("-inf")))
    if odd.any() or not pd.api.types.is_numeric_dtype(values):
        return f"{values.name}: not numbers, such as {_first(values, odd)!r}"
    return ""


def _first(values: pd.Series, odd: pd.Series) -> object:
    """The first odd value; where all look well, and are of a wrong type, the first one."""
    return (values[odd] if odd.any() else values).tolist()[0]


def split(songs: pd.DataFrame, year: int = TEST_YEAR) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split into songs before `year`, to train with, and those of `year`, to test with.

    Raises:
        SongsError: one of the two is empty, or has no hit, or nothing but hits.
    """
    train, test = songs[songs["year"] < year], songs[songs["year"] == year]
    for name, part in ((f"before {year}", train), (f"of {year}", test)):
        hits = int(part[LABEL].sum())
        if len(part) == 0 or hits in (0, len(part)):
            raise SongsError(f"{len(part)} songs {name}, {hits} of them hits: nothing to learn or to test")
    return train.reset_index(drop=True), test.reset_index(drop=True)
