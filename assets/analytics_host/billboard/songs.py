"""Read, validate and split the songs."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path

import pandas as pd

from . import opencsv

FIELDS: dict[str, dict[str, str]] = json.loads(Path(__file__).with_name("columns.json").read_text())
COLUMNS = {name: field["type"] for name, field in FIELDS.items()}
LABEL = "top10"
FEATURES = [name for name, kind in COLUMNS.items() if kind != "string" and name not in ("year", LABEL)]
TEST_YEAR = 2010
ORIGINAL_SHA256 = "b3c7cfbbd6e02d4de4048fed67ce3d65ac90e3f6e26ee2cef57c53e19ef35a41"


class SongsError(Exception):
    """The songs are invalid; the message lists every problem."""


def read(path: Path) -> pd.DataFrame:
    """Read a songs file as Athena does, with lowercase column names.

    Raises:
        SongsError: columns are missing, or values are invalid.
    """
    names, rows = opencsv.read(path)
    frame = pd.DataFrame(rows, columns=names, dtype=object)
    for name, kind in COLUMNS.items():
        if kind != "string" and name in frame:
            with suppress(TypeError, ValueError):  # `validate` reports the value
                frame[name] = frame[name].map(int if kind == "int" else float)
    return validate(frame)


def verify(path: Path) -> None:
    """Check that the file is the one behind the published metrics.

    Raises:
        SongsError: it is a different file.
    """
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != ORIGINAL_SHA256:
        raise SongsError(f"{path} is not the original songs file: SHA-256 is {digest}, expected {ORIGINAL_SHA256}")


def validate(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the songs with sorted rows and columns, because Athena guarantees no order.

    Raises:
        SongsError: columns are missing, values have the wrong type, or songs are duplicated.
    """
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise SongsError(f"missing columns: {', '.join(missing)}")
    problems = [problem for name, kind in COLUMNS.items() if (problem := _find_problem(frame[name], kind))]
    if not problems and not set(frame[LABEL]) <= {0, 1}:
        problems.append(f"{LABEL}: values other than 0 and 1")
    if problems:
        raise SongsError("; ".join(problems))
    duplicates = frame.duplicated(list(COLUMNS))
    if duplicates.any():
        title = frame.loc[duplicates, "songtitle"].iloc[0]
        raise SongsError(f"{duplicates.sum()} duplicate songs, such as {title!r}; keep only one songs file")
    order = ["year", "songid", *(name for name in COLUMNS if name not in ("year", "songid"))]
    return frame[list(COLUMNS)].sort_values(order, kind="stable", ignore_index=True)


def _find_problem(values: pd.Series, kind: str) -> str:
    empty = int(values.isna().sum())
    if empty:
        return f"{values.name}: {empty} of {len(values)} values are empty"
    if len(values) == 0 or kind == "string":
        return ""
    numbers = pd.to_numeric(values, errors="coerce")
    if kind == "int" and not pd.api.types.is_integer_dtype(values):
        return f"{values.name}: not integers, such as {_first(values, numbers % 1 != 0)!r}"
    invalid = numbers.isna() | numbers.isin((float("inf"), float("-inf")))
    if invalid.any() or not pd.api.types.is_numeric_dtype(values):
        return f"{values.name}: not numbers, such as {_first(values, invalid)!r}"
    return ""


def _first(values: pd.Series, invalid: pd.Series) -> object:
    """Return the first invalid value, or the first value if only the type of the column is wrong."""
    return (values[invalid] if invalid.any() else values).tolist()[0]


def split(songs: pd.DataFrame, year: int = TEST_YEAR) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split into a training set, the songs before `year`, and a test set, the songs of `year`.

    Raises:
        SongsError: a set is empty, or has only hits or no hits.
    """
    train, test = songs[songs["year"] < year], songs[songs["year"] == year]
    for name, part in ((f"before {year}", train), (f"of {year}", test)):
        hits = int(part[LABEL].sum())
        if len(part) == 0 or hits in (0, len(part)):
            raise SongsError(
                f"{len(part)} songs {name}, {hits} of them hits; training and testing need hits and non-hits"
            )
    return train.reset_index(drop=True), test.reset_index(drop=True)
