"""Run the benchmarks and write docs/benchmarks.md.

Each time is a median, compared with a baseline. Nothing calls AWS. It takes a few minutes; don't
use the computer while it runs.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from sandbox.process import ROOT, SandboxError

from . import (
    analytics_host,
    cost_control,
    deploy_pipeline,
    functions,
    lambda_canary,
    multi_region_api,
    project,
    security_group_revert,
    static_site,
    synth,
)
from .report import COLUMNS, PICTURE, Section, markdown, picture
from .timing import BenchError

OUTPUT = ROOT / "docs" / "benchmarks.md"
SECTIONS: dict[str, Callable[[Progress], Section]] = {
    "project": project.measure,
    "synth": synth.measure,
    "functions": functions.measure,
    "static_site": static_site.measure,
    "deploy_pipeline": deploy_pipeline.measure,
    "multi_region_api": multi_region_api.measure,
    "security_group_revert": security_group_revert.measure,
    "analytics_host": analytics_host.measure,
    "cost_control": cost_control.measure,
    "lambda_canary": lambda_canary.measure,
}
EMULATED = ("multi_region_api", "security_group_revert", "cost_control", "project")
PICTURES = ROOT / "docs" / "pictures"
console = Console(highlight=False)


def main() -> int:
    """Measure the sections on the command line, by default all."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "sections",
        nargs="*",
        metavar="section",
        help=f"{', '.join(SECTIONS)} (default: all). With section names, results are only printed.",
    )
    parser.add_argument("--tests", action="store_true", help="also run all tests for the section project")
    arguments = parser.parse_args()
    names = arguments.sections
    unknown = set(names) - set(SECTIONS)
    if unknown:
        parser.error(f"unknown section: {', '.join(sorted(unknown))} (valid: {', '.join(SECTIONS)})")
    try:
        return _measure(names, tests=arguments.tests)
    except (BenchError, SandboxError) as error:
        console.print(str(error), style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("\nInterrupted; nothing was written.")
        return 130


def _measure(names: list[str], *, tests: bool) -> int:
    started = time.monotonic()
    sections = []
    measurements = SECTIONS | {"project": partial(project.measure, tests=tests)}
    for name in names or measurements:
        console.print(f"[bold]{name}[/]")
        with _progress() as progress:
            section = measurements[name](progress)
        if name in EMULATED:
            section = replace(section, title=f"{section.title} (in the emulator)")
        console.print(_table(section))
        sections.append(section)
    load, cpus = os.getloadavg()[0], os.cpu_count() or 1
    if load > cpus:  # the measurements alone cannot cause that
        console.print(f"[red]The computer is busy[/] (load {load:.1f}, {cpus} CPUs): measure again later.")
    if not names:
        OUTPUT.write_text(markdown(sections))
        (PICTURES / PICTURE).write_text(picture(sections))
        console.print(f"Wrote {OUTPUT.relative_to(ROOT)} after {time.monotonic() - started:.0f} s.")
    return 0


def _progress() -> Progress:
    return Progress(
        SpinnerColumn("line"),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


def _table(section: Section) -> Table:
    table = Table(show_lines=True)
    for column in COLUMNS[:-1]:  # conditions are only in the file
        table.add_column(column)
    for row in section.rows:
        table.add_row(*map(escape, row.cells()[:-1]))
    return table


if __name__ == "__main__":
    sys.exit(main())
