"""Duration of the demo and, on request, of all tests."""

import os
import re
import sys

from rich.progress import Progress

from sandbox.process import ROOT

from .report import Row, Section
from .timing import child_environment, seconds_and_output

NOTES = (
    "The demo starts the emulator, deploys all stacks with the CDK CLI, runs all walkthroughs and stops. Packages are "
    "installed and layers are unpacked. The tests run with three workers, without `make lint`.",
)


def measure(progress: Progress, *, tests: bool = False) -> Section:
    """Run `make demo`, and with `tests` also pytest, once each."""
    environment = child_environment(ROOT)
    del environment["PYTHONPYCACHEPREFIX"]  # bytecode is compiled where it always is
    programs = {"make demo": [sys.executable, "-m", "sandbox", "demo"]}
    if tests:
        programs["make test"] = [sys.executable, "-m", "pytest", "-n", "3"]
    rows = []
    for name, program in progress.track(list(programs.items()), description="Demo and tests"):
        seconds, output = seconds_and_output(program, cwd=ROOT, environment=environment)
        summary = re.findall(r"^.*(?:steps passed|\d+ passed).*$", output, re.MULTILINE)[-1]
        rows.append(
            Row(f"`{name}`", f"{seconds:.0f} s", conditions=f"one run, {os.cpu_count()} CPUs; {summary.strip()}")
        )
    if not tests:
        rows.append(Row("`make test`", "not measured", conditions="`python -m bench --tests` does"))
    return Section("Demo and tests", tuple(rows), NOTES)
