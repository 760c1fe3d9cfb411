"""Deploy the systems to a sandbox on this computer, without an AWS account."""

import argparse
import re
import signal
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table
from rich.text import Text

from walkthroughs.catalog import WALKTHROUGHS
from walkthroughs.walkthrough import Result, Target, run

from ..process import Sandbox, SandboxError, remove_aws_variables
from ..target import SPEED, endpoints_of, regions_of, session, settings_for, target_of
from .usage import usage

EPILOG = """Both commands deploy all systems by default; the demo of all systems takes about three minutes.
analytics_host requires `make analysis`. `make demo` and `make sandbox` install everything first.

Examples:
  python -m sandbox demo static_site
  python -m sandbox up --port 4566 security_group_revert multi_region_api
"""
DEMO = """Deploy the stacks with the CDK CLI, run the walkthroughs, and print each step and what was observed.
The exit status is 1 if a step failed."""
UP = (
    "Deploy the stacks, print their outputs and sample commands, and keep running until Ctrl-C. "
    "Type a system's name to run its walkthrough."
)
LONG_LINK = re.compile(r"""(https://\S{44})\S*[^\s.,;:'")]""")  # without punctuation after it
HINT = "Type the name of a system to run its walkthrough. Press Ctrl-C to stop the sandbox."
console = Console(highlight=False, soft_wrap=True)


def main() -> int:
    """Run the command on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m sandbox",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="{demo,up}")
    demo = commands.add_parser("demo", help="run the walkthroughs, then stop", description=DEMO)
    up = commands.add_parser("up", help="keep running, to try the systems yourself", description=UP)
    for command in (demo, up):
        command.add_argument(
            "systems", nargs="*", metavar="system", help=f"{', '.join(WALKTHROUGHS)} (default: all of them)"
        )
        command.add_argument("--port", type=_port, default=0, help="port on 127.0.0.1 (default: a free port)")
    demo.add_argument("--songs", type=_file, metavar="FILE", help="analytics_host: train all models on this songs file")
    demo.add_argument("--pictures", type=Path, metavar="FOLDER", help="save the screenshots for docs/ to this folder")
    demo.add_argument("--record", type=Path, metavar="FILE", help="save the output to this file, as SVG")
    options = parser.parse_args()
    unknown = set(options.systems) - set(WALKTHROUGHS)
    if unknown:
        parser.error(f"unknown system: {', '.join(sorted(unknown))} (valid: {', '.join(WALKTHROUGHS)})")
    remove_aws_variables()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also when started in the background
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # terminals without Unicode
    try:
        if options.command == "up":
            return _up(options.port, options.systems or list(WALKTHROUGHS))
        console.record = options.record is not None
        code = _demo(options.port, options.systems or list(WALKTHROUGHS), options.pictures, options.songs)
        if options.record:
            _save_picture(options.record, f"make demo SYSTEM={' '.join(options.systems)}".removesuffix(" SYSTEM="))
        return code
    except SandboxError as error:
        console.print(str(error), style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("\nInterrupted. The sandbox has stopped.")
        return 130


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"invalid port {text}: must be from 0 to 65535")
    return int(text)


def _file(text: str) -> Path:
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"no such file: {text}")
    return Path(text)


def _demo(port: int, systems: list[str], pictures: Path | None, songs: Path | None) -> int:
    started = time.monotonic()
    with Sandbox(port=port, speed=SPEED) as sandbox:
        _deploy(sandbox, systems, started)
        target = replace(target_of(sandbox), pictures_folder=pictures, songs_file=songs)
        results = {}
        for system in systems:
            _print_progress(started, f"Running the walkthrough of {system}")
            results[system] = _run_walkthrough(system, target)
        failed = [result for steps in results.values() for result in steps if result.error]
        console.print()
        console.print(_table(results), soft_wrap=False)
        _print_pictures(results)
        if failed:
            console.print(f"\nEnd of the emulator's log:\n{sandbox.log.read_text()[-2000:]}", markup=False)
    _print_progress(started, "The sandbox has stopped")
    marks = [result.status for steps in results.values() for result in steps]
    skipped = f", {marks.count('skipped')} skipped (reasons above)" if "skipped" in marks else ""
    console.print(f"{marks.count('ok')} of {len(marks)} steps passed{skipped}.", style="red" if failed else "green")
    return 1 if failed else 0


def _up(port: int, systems: list[str]) -> int:
    started = time.monotonic()
    with Sandbox(port=port, speed=SPEED) as sandbox:
        _deploy(sandbox, systems, started)
        target = target_of(sandbox)
        _print_outputs(sandbox, systems)
        for line in usage(sandbox, target, endpoints_of(sandbox), systems):
            console.print(line if line.startswith(" ") else f"\n{line}\n", markup=False)
        console.print(f"\nSchedules run {SPEED} times faster than on AWS. {HINT}")
        try:
            _run_typed_walkthroughs(target, systems)
        except KeyboardInterrupt:
            console.print("\nStopping the sandbox; this takes a few seconds.")
    console.print("The sandbox has stopped.")
    return 0


def _run_typed_walkthroughs(target: Target, systems: list[str]) -> None:
    for system in filter(None, map(str.strip, sys.stdin)):
        if system in systems:
            console.print(_table({system: _run_walkthrough(system, target)}), soft_wrap=False)
            console.print(f"\n{HINT}")
        else:
            console.print(f"{system}: not a deployed system (valid: {', '.join(systems)})", markup=False)
    signal.pause()  # standard input has ended, as it does without a terminal


def _run_walkthrough(system: str, target: Target) -> list[Result]:
    with console.status("", spinner="line") as status:
        show = partial(_show_progress, status)
        with WALKTHROUGHS[system](replace(target, progress=show)) as walkthrough:
            return run(walkthrough, on_start=show, on_result=_print_result)


def _print_outputs(sandbox: Sandbox, systems: list[str]) -> None:
    for region in regions_of(systems):
        cloudformation = session(sandbox).client("cloudformation", region_name=region)
        for stack in cloudformation.describe_stacks()["Stacks"]:
            if stack["StackName"] != "CDKToolkit":
                console.print(f"\n{stack['StackName']}", style="bold")
                for output in stack.get("Outputs", []):
                    console.print(f"  {output['OutputKey']:<20} {output['OutputValue']}", markup=False)


def _deploy(sandbox: Sandbox, systems: list[str], started: float) -> None:
    stacks = [stack for system in systems for stack in WALKTHROUGHS[system].stacks]
    _print_progress(started, f"The sandbox is running at {sandbox.url}")
    _print_progress(started, "cdk bootstrap")
    with console.status("starting the CDK CLI", spinner="line") as status:
        sandbox.bootstrap(*regions_of(systems), progress=partial(_show_progress, status))
    _print_progress(started, f"cdk deploy {' '.join(stacks)}")
    with console.status("", spinner="line") as status:
        settings = settings_for(sandbox, systems)
        sandbox.deploy(*stacks, settings=settings, progress=partial(_show_progress, status))


def _show_progress(status: Status, line: str) -> None:
    """Print the CDK CLI's results; show its progress on a single status line."""
    for sign, mark in (("✅", "[green]ok[/]"), ("❌", "[red]FAILED[/]")):
        if line.lstrip().startswith(sign):
            console.print(f"          {mark} {escape(line.strip().removeprefix(sign).strip())}")
    status.update(Text(line.strip()[: console.width - 4], style="dim"))


def _print_progress(started: float, text: str) -> None:
    console.print(f"[cyan]{time.monotonic() - started:6.1f} s[/]  {text}")


def _print_result(result: Result) -> None:
    color = {"FAILED": "red", "skipped": "yellow", "ok": "green"}[result.status]
    console.print(f"          [{color}]{result.status}[/] {escape(result.title)}")


def _save_picture(path: Path, title: str) -> None:
    """Save the output as SVG, without embedded fonts."""
    without_fonts = re.sub(r"@font-face {{.*?}}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    console.save_svg(str(path), title=title, code_format=without_fonts)


def _table(results: dict[str, list[Result]]) -> Table:
    """Return a table of the results, with long links shortened."""
    table = Table(title="Walkthrough steps and results", title_style="bold", show_lines=True)
    table.add_column("Step", ratio=2, overflow="fold")
    table.add_column("Observed", ratio=3, overflow="fold")
    table.add_column("Seconds", justify="right")
    for system, steps in results.items():
        table.add_row(f"[bold]{system}[/]", "", f"[bold]{sum(result.seconds for result in steps):.1f}[/]")
        for result in steps:
            observed = result.error or LONG_LINK.sub(r"\1…", result.summary)
            text = f"[red]FAILED[/] {escape(observed)}" if result.error else escape(observed)
            table.add_row(escape(result.title), text, f"{result.seconds:.1f}")
    return table


def _print_pictures(results: dict[str, list[Result]]) -> None:
    """Print the pictures that steps return after an empty line, because the table is too narrow for them."""
    for steps in results.values():
        for result in steps:
            if result.picture:
                console.print(f"\n{result.title}: {result.summary}\n\n{result.picture}\n", markup=False)
