"""CPU time and memory that each function adds to Lambda's runtime client, compared with boto3 and cloud-custodian."""

import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import Progress

from sandbox.process import ACCOUNT, REGION, ROOT

from . import custodian
from .bar_chart import Bar
from .report import Row, Section, at_most
from .timing import child_environment, output_of

ROUNDS = 11
CPU_LIMIT = 8  # milliseconds, of functions that a visitor waits for
VISITED = ("static_site.handler", "multi_region_api.hello", "multi_region_api.healthcheck")
ARN = f"arn:aws:service:{REGION}:{ACCOUNT}:name"  # of environment variables that CloudFormation fills in
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "sandbox"}
# The standard modules that Lambda's runtime client (awslambdaric 4.2.2) imports, then the measured statements.
PROGRAM = """import decimal, importlib, json, logging, os, re, resource, sys, threading, time, traceback, warnings
def resident():
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before, started = resident(), time.process_time()
{statements}
print(json.dumps([1e3 * (time.process_time() - started), (resident() - before) / 2**20]))
"""
NOTES = (
    "CPU time and resident memory of a new process that imports the function's module, which creates its clients, in "
    "addition to Lambda's runtime client. boto3's bytecode is compiled, as in Lambda's runtime; the function's is not, "
    "because its package contains only sources. Lambda's CPUs are slower than most computers', and below 1,769 MB a "
    "function gets a part of one.",
    "cloud-custodian (PyPI: c7n): its handler, with a policy for security groups in mode `cloudtrail`, an event "
    "without a group, so that it does not call AWS, and the EC2 client, which it creates for a group. Its package also "
    "contains only sources.",
)


@dataclass(frozen=True)
class Function:
    """A module of a package in a cloud assembly, and its variables; `statements` import it."""

    package: Path
    variables: Mapping[str, str]
    statements: str
    python: str = sys.executable


@dataclass(frozen=True)
class Usage:
    """Medians."""

    milliseconds: float
    megabytes: float

    def __str__(self) -> str:
        return f"{self.milliseconds:.1f} ms, {self.megabytes:.1f} MB"


def measure(progress: Progress) -> Section:
    """Synthesize all stacks, and import the module of each function."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        functions = dict(functions_of(synthesized(folder)))
        functions["boto3"] = Function(folder, {}, "import boto3")
        if custodian.INSTALLED:
            custodian.package(folder / "custodian")
            functions["cloud-custodian"] = Function(
                folder / "custodian", {}, custodian.FIRST_EVENT, str(custodian.PYTHON)
            )
        usages = _usages(progress, functions, folder / "bytecode")
    return Section("Functions: cold start", tuple(_rows(usages)), NOTES, tuple(_bars(usages)))


def synthesized(folder: Path) -> Path:
    """Synthesize the app with default settings; return the cloud assembly."""
    context = json.dumps(json.loads((ROOT / "cdk.json").read_text())["context"])
    variables = {"CDK_OUTDIR": str(folder / "cdk.out"), "CDK_CONTEXT_JSON": context, "CDK_VALIDATION": "false"}
    output_of([sys.executable, "-O", "app.py"], cwd=ROOT, environment=child_environment(folder / "app") | variables)
    return folder / "cdk.out"


def functions_of(assembly: Path) -> Iterator[tuple[str, Function]]:
    """Yield the module of each of the project's functions, once."""
    for path in sorted(assembly.glob("*.template.json")):
        for resource in json.loads(path.read_text())["Resources"].values():
            properties: dict[str, Any] = resource.get("Properties", {})
            module = properties.get("Handler", "").rpartition(".")[0]
            if resource["Type"] != "AWS::Lambda::Function" or "." not in module:
                continue  # of aws-cdk-lib
            package = assembly / f"asset.{properties['Code']['S3Key'].removesuffix('.zip')}"
            configured = properties.get("Environment", {}).get("Variables", {})
            variables = {name: value if isinstance(value, str) else ARN for name, value in configured.items()}
            yield module, Function(package, variables, f"importlib.import_module({module!r})")


def _usages(progress: Progress, functions: Mapping[str, Function], bytecode: Path) -> dict[str, Usage]:
    """Measure the functions in turn. The first round, which compiles boto3, is not counted."""
    figures: dict[str, list[list[float]]] = {name: [] for name in functions}
    for number in progress.track(range(ROUNDS + 1), description="Cold starts"):
        for name, function in functions.items():
            region = {"AWS_DEFAULT_REGION": REGION, "AWS_REGION": REGION}
            environment = child_environment(bytecode) | CREDENTIALS | region | dict(function.variables)
            if number:
                environment["PYTHONDONTWRITEBYTECODE"] = "1"
            program = [function.python, "-c", PROGRAM.format(statements=function.statements)]
            figure = json.loads(output_of(program, cwd=function.package, environment=environment))
            if number:
                figures[name].append(figure)
        if not number:
            for package in {function.package for function in functions.values()}:
                shutil.rmtree(bytecode.joinpath(*package.resolve().parts[1:]), ignore_errors=True)
    return {
        name: Usage(*(statistics.median(values) for values in zip(*figure, strict=True)))
        for name, figure in figures.items()
    }


def _rows(usages: Mapping[str, Usage]) -> Iterator[Row]:
    others = {"boto3": "`import boto3`", "cloud-custodian": "cloud-custodian's first event"}
    for name in (name for name in usages if name not in others):
        usage, base = usages[name], "boto3"
        if name == "security_group_revert.handler" and "cloud-custodian" in usages:
            base = "cloud-custodian"
        goal = f"; {at_most(CPU_LIMIT, usage.milliseconds, ' ms')}" if name in VISITED else ""
        yield Row(
            f"`{name}`",
            str(usage),
            compared_with=f"{others[base]}: {usages[base]}",
            ratio=usage.milliseconds / usages[base].milliseconds,
            conditions=f"medians of {ROUNDS} interleaved processes{goal}",
        )
    if "cloud-custodian" not in usages:
        yield Row("cloud-custodian", "not measured", conditions=f"`make bench` installs it in {custodian.FOLDER.name}/")


def _bars(usages: Mapping[str, Usage]) -> Iterator[Bar]:
    for name, usage in sorted(usages.items(), key=lambda item: item[1].milliseconds):
        is_other = name in ("boto3", "cloud-custodian")
        label = {"boto3": "import boto3"}.get(name, name.removesuffix(".handler"))
        yield Bar(label, usage.milliseconds, f"{usage.milliseconds:.0f} ms, {usage.megabytes:.0f} MB", is_other)
