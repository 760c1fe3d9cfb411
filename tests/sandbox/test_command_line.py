"""The sandbox's command line: the table of `make demo`."""

from rich.console import Console

from sandbox.command_line import _table
from walkthroughs.walkthrough import Result


def test_table_shows_each_step_with_its_result_and_seconds() -> None:
    steps = [Result("Deploy", "3 [pages]", 1.25), Result("Redirect", "", 2.0, error="got [404]")]
    console = Console(width=100)
    with console.capture() as capture:
        console.print(_table({"static_site": steps}))
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capture.get().splitlines() if "│" in line]
    assert rows == [
        ["static_site", "", "3.2"],
        ["Deploy", "3 [pages]", "1.2"],
        ["Redirect", "FAILED got [404]", "2.0"],
    ]
