"""Sections of docs/benchmarks.md, and the computer that they were measured on."""

import json
import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from sandbox.process import ROOT

from .timing import PATH, output_of

COLUMNS = ("Metric", "Value", "Goal", "Compared with", "Ratio", "Conditions")
PACKAGES = ("aws-cdk-lib", "boto3", "ministack")


@dataclass(frozen=True)
class Row:
    """A value with its unit, and what it is compared with.

    ratio: the value divided by the one that it is compared with. goal: see `at_most`.
    """

    metric: str
    value: str
    goal: str = ""
    compared_with: str = ""
    ratio: float | None = None
    conditions: str = ""

    def cells(self) -> tuple[str, ...]:
        """Texts in the order of `COLUMNS`."""
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}" if self.ratio >= 0.1 else f"{self.ratio:.1g}"
        return self.metric, self.value, self.goal, self.compared_with, ratio, self.conditions


@dataclass(frozen=True)
class Section:
    """Results of one module; `notes` explain what they include."""

    title: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def at_most(limit: float, value: float) -> str:
    """Describe a limit, and whether `value` meets it."""
    return f"at most {limit:g}: {'met' if value <= limit else 'missed'}"


def milliseconds(seconds: float) -> str:
    """Format seconds as milliseconds."""
    return f"{seconds * 1000:.0f} ms"


def markdown(sections: Iterable[Section]) -> str:
    """Return the text of docs/benchmarks.md."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`. Each row compares times on one computer, so its ratio applies to other computers",
        "better than its value. For interleaved runs, the ratio is the median of the ratios of all rounds.",
        "",
        *(f"- {condition}" for condition in _conditions()),
    ]
    for section in sections:
        lines += ["", f"## {section.title}", "", _line(COLUMNS), _line("---" for _ in COLUMNS)]
        lines += [_line(row.cells()) for row in section.rows]
        lines += ["", *(f"- {note}" for note in section.notes)] if section.notes else []
    return "\n".join(lines) + "\n"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _conditions() -> tuple[str, ...]:
    cli = json.loads((ROOT / "node_modules" / "aws-cdk" / "package.json").read_text())["version"]
    node = output_of(["node", "--version"], cwd=ROOT, environment={"PATH": PATH})
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"Computer: {os.cpu_count()} CPUs, {_cpu_model()}, {_system()}.",
        f"Python {platform.python_version()}, Node {node.strip().lstrip('v')}, CDK CLI {cli}, {packages}.",
        "The sandbox on this computer takes the place of AWS.",
    )


def _cpu_model() -> str:
    cpus = Path("/proc/cpuinfo")
    if cpus.exists():
        for line in cpus.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return f"{platform.system()} {platform.release()}"
