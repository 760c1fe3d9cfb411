"""The sandbox's command line: the table of `make demo`, and the systems that `make e2e` selects."""

import pytest
from rich.console import Console

from sandbox.command_line import _table
from walkthroughs.walkthrough import Result

from .conftest import deployable


def rows_of(*steps: Result) -> list[list[str]]:
    """Return the cells of the table of one system, without its heading."""
    console = Console(width=160)
    with console.capture() as capture:
        console.print(_table({"static_site": list(steps)}))
    lines = [line for line in capture.get().splitlines() if "│" in line]
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines]


def test_table_shows_each_step_with_its_result_and_seconds() -> None:
    rows = rows_of(Result("Deploy", "3 [pages]", 1.25), Result("Redirect", "", 2.0, error="got [404]"))
    assert rows == [
        ["static_site", "", "3.2"],
        ["Deploy", "3 [pages]", "1.2"],
        ["Redirect", "FAILED got [404]", "2.0"],
    ]


def test_table_shortens_long_links() -> None:
    link = "https://us-east-1.console.aws.amazon.com/s3/object/bucket?prefix=reports/deploy.md"
    (_, (_, observed, _)) = rows_of(Result("Deploy", f'updated, see "{link}"; and https://example.com/', 1.0))
    assert observed == f'updated, see "{link[:52]}…"; and https://example.com/'


def test_several_systems_can_be_selected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONLY", "lambda_canary static_site")
    assert deployable() == ["static_site", "lambda_canary"]
