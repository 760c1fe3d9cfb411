"""Time to synthesize the application, compared with an application with one empty stack."""

import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rich.progress import Progress

from sandbox.process import ROOT

from .report import Row, Section, at_most
from .timing import Rounds, child_environment, in_turn, seconds_of

ROUNDS = 7
LIMIT = 2.0  # times the empty application, with all systems
ONE_LIMIT = 1.4  # with one
ONE = "SecurityGroupRevert"
# CloudFormation rejects a stack without resources, and so does CDK without an acknowledgment.
EMPTY_APP = """import aws_cdk as cdk

app = cdk.App()
stack = cdk.Stack(app, "Empty")
cdk.Validations.of(stack).acknowledge(
    cdk.Acknowledgment(id="CloudFormation-Validate::F0001", reason="Empty, for comparison.")
)
app.synth()
"""
START = "import aws_cdk; aws_cdk.App()"


def measure(progress: Progress) -> Section:
    """Time the application by itself and through the CDK CLI."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        empty = folder / "empty"
        empty.mkdir()
        (empty / "app.py").write_text(EMPTY_APP)
        shutil.copy(ROOT / "cdk.json", empty)  # the same feature flags
        seconds = in_turn(progress, "Synthesize", ROUNDS, _programs(folder, empty))
        return _section(seconds, folder / "app-alone")


def _programs(folder: Path, empty: Path) -> dict[str, Callable[[], float]]:
    environment = child_environment(folder / "bytecode")
    context = json.dumps(json.loads((ROOT / "cdk.json").read_text()).get("context", {}))
    cli = str(ROOT / "node_modules" / ".bin" / "cdk")
    start = partial(seconds_of, [sys.executable, "-O", "-c", START], cwd=ROOT, environment=environment)
    programs: dict[str, Callable[[], float]] = {"start": start}
    for app, cwd in (("app", ROOT), ("empty", empty)):
        variables = environment | {"CDK_OUTDIR": str(folder / f"{app}-alone"), "CDK_CONTEXT_JSON": context}
        programs[f"{app} alone"] = partial(seconds_of, [sys.executable, "-O", "app.py"], cwd=cwd, environment=variables)
    # Compared programs run next to each other.
    for kind, variables in (("quick", environment | {"CDK_VALIDATION": "false"}), ("validated", environment)):
        for app, cwd, more in (("app", ROOT, []), ("empty", empty, []), ("one", ROOT, ["--exclusively", ONE])):
            command = [cli, "synth", "--quiet", "--output", str(folder / f"{app}-{kind}"), *more]
            programs[f"{app} {kind}"] = partial(seconds_of, command, cwd=cwd, environment=variables)
    return programs


def _section(seconds: Rounds, assembly: Path) -> Section:
    templates = [json.loads(path.read_text()) for path in assembly.glob("*.template.json")]
    resources = sum(len(template["Resources"]) for template in templates)
    conditions = f"stacks: {len(templates)}, resources: {resources}; medians of {ROUNDS} interleaved runs"
    rows = []
    for app, kind, what, limit in (
        ("app", "quick", "`cdk synth --quiet`, all systems, without validation", LIMIT),
        ("one", "quick", f"`cdk synth --quiet --exclusively {ONE}`, without validation", ONE_LIMIT),
        ("app", "validated", "`cdk synth --quiet`, all systems", None),
        ("one", "validated", f"`cdk synth --quiet --exclusively {ONE}`", None),
        ("app", "alone", "`python -O app.py`, all systems", None),
    ):
        ratio = seconds.ratio(f"{app} {kind}", f"empty {kind}")
        rows.append(
            Row(
                what,
                f"{seconds.median(f'{app} {kind}'):.2f} s",
                f"an app with one empty stack: {seconds.median(f'empty {kind}'):.2f} s",
                ratio,
                f"{conditions}; {at_most(limit, ratio)}" if limit else conditions,
            )
        )
    start = Row(
        "Part of it: startup of Python, `aws_cdk` and jsii",
        f"{seconds.median('start'):.2f} s",
        compared_with=f"`python -O app.py`, all systems: {seconds.median('app alone'):.2f} s",
        ratio=seconds.ratio("start", "app alone"),
        conditions="`import aws_cdk; aws_cdk.App()`, interleaved with the others",
    )
    notes = (
        "Wall-clock time of the whole process, with compiled Python bytecode and unpacked jsii files; the first synth "
        "after `make setup` takes longer.",
        "The empty app has the same `cdk.json`. Without validation: `CDK_VALIDATION=false`. Validation starts a "
        "WebAssembly engine, which takes most of the empty app's time and therefore hides differences.",
    )
    return Section("synth", (*rows, start), notes)
