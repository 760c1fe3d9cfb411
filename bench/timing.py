"""Run programs and time them, interleaved so that a busy moment of the computer affects all of them."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.progress import Progress

PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # `make setup` puts Node there


# Modules that Lambda's runtime client (awslambdaric 4.2.2) imports, so a function's import does not take time for them.
TIMED = """import decimal, importlib, json, logging, os, re, sys, threading, time, traceback, warnings
started = time.perf_counter()
{statements}
print(time.perf_counter() - started)
"""


class BenchError(Exception):
    """A measurement failed, or the measured program did."""


@dataclass(frozen=True)
class Rounds:
    """Seconds by measurement, one for each round."""

    figures: dict[str, list[float]]

    def median(self, name: str) -> float:
        return statistics.median(self.figures[name])

    def ratio(self, name: str, other: str) -> float:
        """Median of the rounds' ratios: a slow round slows both sides of its ratio."""
        pairs = zip(self.figures[name], self.figures[other], strict=True)
        return statistics.median(figure / compared for figure, compared in pairs)


def in_turn(
    progress: Progress,
    what: str,
    rounds: int,
    measurements: Mapping[str, Callable[[], float]],
    *,
    warm_up: bool = True,
) -> Rounds:
    """Run every measurement once in each round, in alternating order.

    warm_up: whether to run a first round that is not counted, and fills caches.
    """
    figures: dict[str, list[float]] = {name: [] for name in measurements}
    names = list(measurements)
    for number in progress.track(range(0 if warm_up else 1, rounds + 1), description=what):
        for name in names:
            figure = measurements[name]()
            if number:
                figures[name].append(figure)
        names.reverse()
    return Rounds(figures)


def seconds_of(arguments: list[str], *, cwd: Path, environment: dict[str, str]) -> float:
    """Run a program; return its wall-clock seconds."""
    return seconds_and_output(arguments, cwd=cwd, environment=environment)[0]


def seconds_and_output(arguments: list[str], *, cwd: Path, environment: dict[str, str]) -> tuple[float, str]:
    """Run a program; return its wall-clock seconds and standard output."""
    started = time.perf_counter()
    output = output_of(arguments, cwd=cwd, environment=environment)
    return time.perf_counter() - started, output


def seconds_inside(statements: str, *, cwd: Path, environment: dict[str, str]) -> float:
    """Run statements in a new Python process; return their seconds, without the start of Python and of Lambda."""
    program = [sys.executable, "-c", TIMED.format(statements=statements)]
    return float(output_of(program, cwd=cwd, environment=environment))


def megabytes_after(statements: str, *, cwd: Path, environment: dict[str, str]) -> float:
    """Run statements in a new Python process; return its peak resident memory on Linux."""
    memory = "import resource\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    return float(output_of([sys.executable, "-c", f"{statements}\n{memory}"], cwd=cwd, environment=environment))


def output_of(arguments: list[str], *, cwd: Path, environment: dict[str, str], stdin: str = "") -> str:
    """Run a program with the text `stdin`; return its standard output.

    Raises:
        BenchError: the program failed; the message contains its standard error.
    """
    done = subprocess.run(arguments, cwd=cwd, env=environment, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"{' '.join(arguments)} failed:\n{done.stderr}")
    return done.stdout


def child_environment(bytecode: Path) -> dict[str, str]:
    """Return the environment without AWS, CDK and Python variables; `bytecode` caches compiled modules.

    Compiling aws_cdk takes longer than anything measured here, so results must not depend on whether this
    computer caches compiled modules.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_", "PYTHON"))}
    return inherited | {
        "PATH": PATH,
        "PYTHONPYCACHEPREFIX": str(bytecode),
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        "CDK_DISABLE_VERSION_CHECK": "true",
    }
