"""Time to synthesize the application, compared with applications with one empty stack in Python and JavaScript."""

import importlib
import json
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from rich.progress import Progress

from sandbox.process import ROOT

from .report import Row, Section, at_most
from .timing import Rounds, child_environment, in_turn, seconds_of

ROUNDS = 5
LIMIT = 2.3  # times the empty application, with all seven systems: 2.0 for five, and 0.15 for each further one
ONE_LIMIT = 1.4  # with one
ONE = "SecurityGroupRevert"
CLI = str(ROOT / "node_modules" / ".bin" / "cdk")
# CloudFormation rejects a stack without resources, and so does CDK without an acknowledgment.
EMPTY_APP = """import aws_cdk as cdk

app = cdk.App()
stack = cdk.Stack(app, "Empty")
cdk.Validations.of(stack).acknowledge(
    cdk.Acknowledgment(id="CloudFormation-Validate::F0001", reason="Empty, for comparison.")
)
app.synth()
"""
EMPTY_JAVASCRIPT_APP = """const cdk = require("aws-cdk-lib");
const app = new cdk.App();
const stack = new cdk.Stack(app, "Empty");
cdk.Validations.of(stack).acknowledge({ id: "CloudFormation-Validate::F0001", reason: "Empty, for comparison." });
app.synth();
"""
# Python packages that contain the npm packages of the same name.
NPM_PACKAGES = {
    "aws_cdk": "aws-cdk-lib",
    "aws_cdk.cloud_assembly_schema": "@aws-cdk/cloud-assembly-schema",
    "constructs": "constructs",
}
START = "import aws_cdk; aws_cdk.App()"
SYSTEMS = sorted(path.stem for path in (ROOT / "settings").glob("*.py") if (ROOT / "stacks" / path.stem).is_dir())
IMPORTS = f"import gc; gc.disable(); import app, {', '.join(f'stacks.{system}' for system in SYSTEMS)}; app.cdk.App()"
NOTES = (
    "Wall-clock time of the whole process, with compiled Python bytecode and unpacked jsii files. The first run, as "
    "after `make setup`, has neither.",
    "The empty apps have the same `cdk.json`. Without validation: `make synth ARGS=--no-validation`. Validation starts "
    "a WebAssembly engine, which takes most of the empty app's time and therefore hides differences.",
    "Where a goal is missed, the parts show what is left: startup and the imports, which are mostly modules of "
    "`aws_cdk`, and then the creation of the constructs in jsii's Node.js process, one call at a time, with "
    "aws-cdk-lib's modules and the templates.",
)


def measure(progress: Progress) -> Section:
    """Time the application by itself and through the CDK CLI."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        for app, file, text in (("empty", "app.py", EMPTY_APP), ("javascript", "app.js", EMPTY_JAVASCRIPT_APP)):
            (folder / app).mkdir()
            (folder / app / file).write_text(text)
            shutil.copy(ROOT / "cdk.json", folder / app)  # the same feature flags
        unpack_npm_packages(folder / "javascript" / "node_modules")
        first = in_turn(progress, "First synthesis", 1, _first(folder), warm_up=False)
        seconds = in_turn(progress, "Synthesize", ROUNDS, _programs(folder))
        return Section("Synthesis", (*_rows(seconds, folder / "app-alone"), *_first_rows(first)), NOTES)


def unpack_npm_packages(target: Path) -> None:
    """Unpack CDK's npm packages from its Python packages to the folder node_modules."""
    for module, name in NPM_PACKAGES.items():
        (archive,) = Path(importlib.import_module(f"{module}._jsii").__path__[0]).glob(f"{name.split('/')[-1]}@*.tgz")
        with tarfile.open(archive) as tar:
            tar.extraction_filter = getattr(tarfile, "data_filter", None)  # Debian 12's Python 3.11.2 has none
            tar.extractall(target / "unpacked")  # noqa: S202  # of a package with a verified hash
        (target / name).parent.mkdir(exist_ok=True)
        (target / "unpacked" / "package").rename(target / name)


def _first(folder: Path) -> dict[str, Callable[[], float]]:
    """Return programs that start without caches."""
    programs: dict[str, Callable[[], float]] = {}
    for app, cwd in (("app", ROOT), ("empty", folder / "empty")):
        caches = folder / f"{app}-first"
        environment = child_environment(caches / "bytecode") | {"JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(caches / "jsii")}
        command = [CLI, "synth", "--quiet", "--output", str(caches / "cdk.out")]
        programs[app] = partial(seconds_of, command, cwd=cwd, environment=environment)
    return programs


def _programs(folder: Path) -> dict[str, Callable[[], float]]:
    environment = child_environment(folder / "bytecode")
    context = json.dumps(json.loads((ROOT / "cdk.json").read_text()).get("context", {}))
    python = [sys.executable, "-O"]
    variables = environment | {"CDK_OUTDIR": str(folder / "app-alone"), "CDK_CONTEXT_JSON": context}
    programs: dict[str, Callable[[], float]] = {
        "start": partial(seconds_of, [*python, "-c", START], cwd=ROOT, environment=environment),
        "imports": partial(seconds_of, [*python, "-c", IMPORTS], cwd=ROOT, environment=environment),
        "app alone": partial(
            seconds_of, [*python, "app.py"], cwd=ROOT, environment=variables | {"CDK_VALIDATION": "false"}
        ),
    }
    apps: tuple[tuple[str, Path, list[str]], ...] = (
        ("javascript", folder / "javascript", ["--app", "node app.js"]),
        ("app", ROOT, []),
        ("empty", folder / "empty", []),
        ("one", ROOT, ["--exclusively", ONE]),
    )
    # Compared programs run next to each other.
    for kind, options in (("quick", ["--no-validation"]), ("validated", [])):
        for app, cwd, more in apps:
            command = [CLI, "synth", "--quiet", "--output", str(folder / f"{app}-{kind}"), *options, *more]
            programs[f"{app} {kind}"] = partial(seconds_of, command, cwd=cwd, environment=environment)
    return programs


def _rows(seconds: Rounds, assembly: Path) -> Iterator[Row]:
    templates = [json.loads(path.read_text()) for path in assembly.glob("*.template.json")]
    resources = sum(len(template["Resources"]) for template in templates)
    conditions = f"stacks: {len(templates)}, resources: {resources}; medians of {ROUNDS} interleaved runs"
    for app, kind, what, limit in (
        ("app", "quick", "`cdk synth`, all systems, without validation", LIMIT),
        ("one", "quick", f"`cdk synth --exclusively {ONE}`, without validation", ONE_LIMIT),
        ("app", "validated", "`cdk synth`, all systems", None),
        ("one", "validated", f"`cdk synth --exclusively {ONE}`", None),
    ):
        ratio = seconds.ratio(f"{app} {kind}", f"empty {kind}")
        yield Row(
            what,
            f"{seconds.median(f'{app} {kind}'):.2f} s",
            f"an app with one empty stack: {seconds.median(f'empty {kind}'):.2f} s; "
            f"in JavaScript: {seconds.median(f'javascript {kind}'):.2f} s",
            ratio,
            f"{conditions}; {at_most(limit, ratio)}" if limit else conditions,
        )
    parts = {
        "start": "startup of Python, `aws_cdk` and jsii",
        "imports": "the same, and imports of all systems' modules",
    }
    for name, what in parts.items():
        yield Row(
            f"Part of the first row: {what}",
            f"{seconds.median(name):.2f} s",
            f"`python -O app.py`, without the CLI: {seconds.median('app alone'):.2f} s",
            seconds.ratio(name, "app alone"),
            "interleaved with the others",
        )


def _first_rows(seconds: Rounds) -> Iterator[Row]:
    yield Row(
        "First `cdk synth`, all systems",
        f"{seconds.median('app'):.0f} s",
        f"an app with one empty stack: {seconds.median('empty'):.0f} s",
        seconds.ratio("app", "empty"),
        "one run, without caches of Python and jsii",
    )
