"""AWS on this computer, for trying the systems without an account.

demo   start the sandbox, deploy every stack with the CDK CLI, play every walkthrough,
       print what was done and seen, stop the sandbox
up     start the sandbox, deploy every stack, print the addresses, play the walkthrough of each
       system whose name is typed, stay up until Ctrl-C

Both take the names of systems, to deploy no others.
"""

import argparse
import os
import re
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NoReturn

import boto3
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table
from rich.text import Text

from walkthroughs.catalog import WALKTHROUGHS
from walkthroughs.walkthrough import LocalEndpoints, Result, Target, play

from .guide import guide
from .process import REGION, Sandbox, SandboxError

SPEED = 60  # a sweep of every 5 minutes comes every 5 seconds
TIMEOUT_SECONDS = 60  # seconds
HINT = "Type a system's name to play its walkthrough; Ctrl-C stops."
console = Console(highlight=False, soft_wrap=True)


def main() -> int:
    """Run the command that the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m sandbox", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="deploy everything and play every walkthrough")
    demo.add_argument("--pictures", type=Path, help="folder for screenshots of the walkthroughs")
    demo.add_argument(
        "--songs", type=_file, help="the songs file of analytics_host's published figures: all its models"
    )
    demo.add_argument("--record", type=Path, help="file for a picture (SVG) of what is printed")
    up = commands.add_parser("up", help="deploy everything and stay up")
    for command in (demo, up):
        command.add_argument("--port", type=_port, default=0, help="port on 127.0.0.1; without, a free one")
        command.add_argument("systems", nargs="*", help=f"systems to deploy; all without: {', '.join(WALKTHROUGHS)}")
    options = parser.parse_args()
    unknown = set(options.systems) - set(WALKTHROUGHS)
    if unknown:
        parser.error(f"unknown system: {', '.join(sorted(unknown))} (valid: {', '.join(WALKTHROUGHS)})")
    signal.signal(signal.SIGTERM, _terminated)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also when started in the background
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # terminals without Unicode
    try:
        if options.command == "up":
            return _up(options.port, options.systems or list(WALKTHROUGHS))
        console.record = options.record is not None
        code = _demo(options.port, options.systems or list(WALKTHROUGHS), options.pictures, options.songs)
        if options.record:
            _save_picture(options.record, f"make demo SYSTEMS={' '.join(options.systems)}".removesuffix(" SYSTEMS="))
        return code
    except SandboxError as error:
        console.print(str(error), style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("\nInterrupted; the sandbox is stopped.")
        return 130


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return int(text)


def _file(text: str) -> Path:
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text}")
    return Path(text)


def _terminated(_number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(143)


def _demo(port: int, systems: list[str], pictures: Path | None, songs: Path | None) -> int:
    started = time.monotonic()
    with Sandbox(port=port, speed=SPEED) as sandbox:
        _deploy(sandbox, systems, started)
        target = replace(target_of(sandbox), pictures=pictures, songs=songs)
        results = {}
        for system in systems:
            _say(started, f"Playing the walkthrough of {system}")
            results[system] = _play(system, target)
        failed = [result for played in results.values() for result in played if result.error]
        console.print()
        console.print(_table(results), soft_wrap=False)
        _print_pictures(results)
        if failed:
            console.print(f"\nThe emulator's log ends:\n{sandbox.log.read_text()[-2000:]}", markup=False)
    _say(started, "The sandbox is stopped")
    marks = [result.mark for played in results.values() for result in played]
    skipped = f"; {marks.count('skipped')} skipped, see why above" if "skipped" in marks else ""
    console.print(f"{marks.count('ok')} of {len(marks)} steps went well{skipped}.", style="red" if failed else "green")
    return 1 if failed else 0


def _up(port: int, systems: list[str]) -> int:
    started = time.monotonic()
    with Sandbox(port=port, speed=SPEED) as sandbox:
        _deploy(sandbox, systems, started)
        target = target_of(sandbox)
        _print_outputs(sandbox, systems)
        for line in guide(sandbox, target, endpoints_of(sandbox), systems):
            console.print(line if line.startswith(" ") else f"\n{line}\n", markup=False)
        console.print(f"\nSchedules run {SPEED} times faster. {HINT}")
        try:
            _play_what_is_asked(target, systems)
        except KeyboardInterrupt:
            console.print("\nStopping the sandbox; this takes some seconds.")
    console.print("The sandbox is stopped.")
    return 0


def _play_what_is_asked(target: Target, systems: list[str]) -> None:
    for system in filter(None, map(str.strip, sys.stdin)):
        if system in systems:
            console.print(_table({system: _play(system, target)}), soft_wrap=False)
            console.print(f"\n{HINT}")
        else:
            console.print(f"{system}: unknown system, or not deployed (valid: {', '.join(systems)})", markup=False)
    signal.pause()  # without a terminal nothing can be typed


def _play(system: str, target: Target) -> list[Result]:
    with console.status("", spinner="line") as status:
        show = partial(_progress, status)
        with WALKTHROUGHS[system](replace(target, progress=show)) as walkthrough:
            return play(walkthrough, show, _tell)


def _print_outputs(sandbox: Sandbox, systems: list[str]) -> None:
    for region in regions_of(systems):
        cloudformation = session(sandbox).client("cloudformation", region_name=region)
        for stack in cloudformation.describe_stacks()["Stacks"]:
            if stack["StackName"] != "CDKToolkit":
                console.print(f"\n{stack['StackName']}", style="bold")
                for output in stack.get("Outputs", []):
                    console.print(f"  {output['OutputKey']:<20} {output['OutputValue']}", markup=False)


def target_of(sandbox: Sandbox) -> Target:
    """Where walkthroughs play in the sandbox."""

    def deploy(stack: str, settings: Mapping[str, str]) -> None:
        sandbox.deploy(stack, settings=settings)

    return Target(
        session(sandbox),
        TIMEOUT_SECONDS,
        propagation_seconds=0,
        endpoints=endpoints_of(sandbox),
        deploy=deploy,
        instances=sandbox.directory / "instances",
    )


def endpoints_of(sandbox: Sandbox) -> LocalEndpoints:
    """Where web addresses and names are found in the sandbox."""
    ports = sandbox.ports
    return LocalEndpoints(ports["http"], ports["https"], ports["dns"], sandbox.authority)


def regions_of(systems: Iterable[str]) -> list[str]:
    """The regions that the walkthroughs of `systems` play in."""
    return sorted({region for system in systems for region in WALKTHROUGHS[system].regions})


def settings_for(sandbox: Sandbox, systems: Iterable[str]) -> dict[str, str]:
    """Make what the walkthroughs of `systems` take for given; the settings to deploy their stacks with."""
    target = target_of(sandbox)
    return {key: value for system in systems for key, value in WALKTHROUGHS[system].settings(target).items()}


def session(sandbox: Sandbox) -> boto3.Session:
    """A boto3 session whose clients reach the sandbox, and nothing else.

    Endpoints come from the environment alone; so this process gets the sandbox's, until the session of another.
    """
    environment = sandbox.environment
    os.environ.clear()  # of what could lead elsewhere: profiles, endpoints
    os.environ.update(environment)
    return boto3.Session(
        aws_access_key_id=sandbox.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=sandbox.environment["AWS_SECRET_ACCESS_KEY"],
        region_name=REGION,
    )


def _deploy(sandbox: Sandbox, systems: list[str], started: float) -> None:
    stacks = [stack for system in systems for stack in WALKTHROUGHS[system].stacks]
    _say(started, f"The sandbox is up at {sandbox.url}")
    _say(started, "cdk bootstrap")
    with console.status("starting the CDK CLI", spinner="line") as status:
        sandbox.bootstrap(*regions_of(systems), progress=partial(_progress, status))
    _say(started, f"cdk deploy {' '.join(stacks)}")
    with console.status("", spinner="line") as status:
        settings = settings_for(sandbox, systems)
        sandbox.deploy(*stacks, settings=settings, progress=partial(_progress, status))


def _progress(status: Status, line: str) -> None:
    """Keep the CDK CLI's results; what it is doing shows on one line that changes."""
    for sign, mark in (("✅", "[green]ok[/]"), ("❌", "[red]FAILED[/]")):
        if line.lstrip().startswith(sign):
            console.print(f"          {mark} {escape(line.strip().removeprefix(sign).strip())}")
    status.update(Text(line.strip()[: console.width - 4], style="dim"))


def _say(started: float, what: str) -> None:
    console.print(f"[cyan]{time.monotonic() - started:6.1f} s[/]  {what}")


def _tell(result: Result) -> None:
    color = {"FAILED": "red", "skipped": "yellow", "ok": "green"}[result.mark]
    console.print(f"          [{color}]{result.mark}[/] {escape(result.title)}")


def _save_picture(path: Path, title: str) -> None:
    """Save what was printed, with the fonts of whoever looks at it."""
    without_fonts = re.sub(r"@font-face {{.*?}}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    console.save_svg(str(path), title=title, code_format=without_fonts)


def _table(results: dict[str, list[Result]]) -> Table:
    table = Table(title="What was done, and what was seen", title_style="bold", show_lines=True)
    table.add_column("Done", ratio=2, overflow="fold")
    table.add_column("Seen", ratio=3, overflow="fold")
    table.add_column("Seconds", justify="right")
    for system, played in results.items():
        table.add_row(f"[bold]{system}[/]", "", f"[bold]{sum(result.seconds for result in played):.1f}[/]")
        for result in played:
            seen = f"[red]FAILED[/] {escape(result.error)}" if result.error else escape(result.seen.split("\n\n")[0])
            table.add_row(escape(result.title), seen, f"{result.seconds:.1f}")
    return table


def _print_pictures(results: dict[str, list[Result]]) -> None:
    """Print what steps give after an empty line: text that a column of the table is too narrow for."""
    for played in results.values():
        for result in played:
            seen, _, picture = result.seen.partition("\n\n")
            if picture:
                console.print(f"\n{result.title}: {seen}\n\n{picture}\n", markup=False)


if __name__ == "__main__":
    sys.exit(main())
