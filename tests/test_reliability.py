"""Facts about the fault matrix: what it names is there, and it leaves no kind of fault out."""

import re
import subprocess
import sys
from dataclasses import dataclass

import pytest

from walkthroughs.catalog import STORIES

from .conftest import ROOT

MATRIX = ROOT / "docs" / "reliability.md"
KINDS = {
    "Throttling", "Access denied", "Partial failure", "Duplicate", "Late", "Lost", "Timeout mid-way",
    "Deleted by somebody else", "Malformed input", "Hostile input", "Only here",
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One fault of a system; `tests` are its tests' names, perhaps with their parameters."""

    system: str
    kind: str
    cells: tuple[str, ...]  # fault, what must happen, what was seen
    tests: tuple[str, ...]


def rows() -> list[Row]:
    found, system = [], ""
    for line in MATRIX.read_text().splitlines():
        if line.startswith("## "):
            system = line.removeprefix("## ")
        elif line.startswith("| ") and not line.startswith("| kind |"):
            kind, *cells, tests = (cell.strip() for cell in line.strip("|").split(" | "))
            found.append(Row(system, kind, tuple(cells), tuple(re.findall(r"`(test_[^`]+)`", tests))))
    return found


def test_every_row_says_what_must_happen_what_was_seen_and_where() -> None:
    for row in rows():
        assert len(row.cells) == 3, row
        assert all(row.cells), f"an empty cell: {row}"
        assert row.tests, f"no test: {row}"


def test_every_system_has_every_kind_of_fault() -> None:
    kinds = {system: {row.kind for row in rows() if row.system == system} for system in STORIES}
    assert kinds == dict.fromkeys(STORIES, KINDS)
    assert {row.system for row in rows()} == set(STORIES)


def missing(nodes: list[str]) -> list[str]:
    """Tests that the matrix names and that are not among `nodes`: of the system, the sandbox or all systems."""
    names: dict[str, set[str]] = {}
    for node in nodes:
        file, _, name = node.partition("::")
        folder = file.split("/")[1] if file.count("/") > 1 else "all"
        names.setdefault(folder, set()).update((name, name.partition("[")[0]))
    return [
        f"{row.system}: {test}"
        for row in rows()
        for test in row.tests
        if not any(test in names.get(folder, ()) for folder in (row.system, "sandbox", "all"))
    ]


def test_every_test_of_the_matrix_is_collected(request: pytest.FixtureRequest) -> None:
    """By this run; and when that is not of all tests, by one of its own that runs none."""
    if missing([item.nodeid for item in request.session.items]):
        command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-o", "addopts=-p no:cacheprovider"]
        collected = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert collected.returncode == 0, collected.stdout + collected.stderr
        absent = missing([line for line in collected.stdout.splitlines() if "::" in line])
        assert not absent, "no such test: " + ", ".join(absent)
