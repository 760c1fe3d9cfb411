"""deploy_pipeline: inspection of change sets, next to the CDK CLI's diff, and templates in large artifacts."""

import io
import json
import sys
import tempfile
import time
import tracemalloc
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from rich.progress import Progress

from lambdas.deploy_pipeline.artifact import MAX_DIRECTORY_BYTES, read_template
from lambdas.deploy_pipeline.errors import InvalidArtifactError
from lambdas.deploy_pipeline.inspection import Policy, findings
from sandbox.process import ROOT

from .report import Row, Section
from .timing import BenchError, child_environment, in_turn, seconds_of

ROUNDS = 5
CHANGES = (50, 150, 500)  # 500 is CloudFormation's quota of resources in a stack
FILES = (1_000, 10_000, 100_000)  # in an artifact
TOO_MANY_FILES = 150_000
INSPECT = """import json
from pathlib import Path
from lambdas.deploy_pipeline.inspection import Policy, findings
changes = json.loads(Path({path!r}).read_text())
if any(finding.violation for finding in findings(changes, Policy())):
    raise SystemExit("a change is not safe")"""
STACK = """import aws_cdk as cdk, sys
app = cdk.App(outdir=sys.argv[1], tree_metadata=False)
stack = cdk.Stack(app, "Many")
for number in range(int(sys.argv[2])):
    properties = {"VisibilityTimeout": int(sys.argv[3])}
    cdk.CfnResource(stack, f"Queue{number}", type="AWS::SQS::Queue", properties=properties)
app.synth()"""
NOTES = (
    f"Both are new processes without AWS: the inspection reads {CHANGES[-1]} changes from a file, and `cdk diff "
    "--template` compares two templates of as many resources, all of which change. The diff shows what changes; it "
    "does not show which data is lost.",
    "Half of the changes are of subscriptions to the queues, whose effect CloudFormation cannot predict. Artifacts: a "
    "zip file in memory, in place of S3; the memory is the peak of Python's objects.",
)


class Archive:
    """A client for S3 with one object, a zip file of many files."""

    def __init__(self, files: int) -> None:
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr("template.json", '{"Resources": {}}')
            for number in range(files - 1):
                archive.writestr(f"site/{number % 100}/{number:06}.html", "")
        self.content = content.getvalue()

    def head_object(self, **_: str) -> dict[str, int]:
        return {"ContentLength": len(self.content)}

    def get_object(self, Range: str, **_: str) -> dict[str, io.BytesIO]:
        first, last = Range.removeprefix("bytes=").split("-")
        return {"Body": io.BytesIO(self.content[int(first) : int(last) + 1])}


def measure(progress: Progress) -> Section:
    """Inspect changes, compare templates, and read a template from artifacts."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        rows = [*_inspection_rows(progress, Path(name))]
    rows += [_artifact_row(files) for files in progress.track(FILES, description="Artifacts")]
    return Section("deploy_pipeline", (*rows, _limit_row()), NOTES)


def _inspection_rows(progress: Progress, folder: Path) -> Iterator[Row]:
    environment = child_environment(folder / "bytecode") | {"CDK_VALIDATION": "false"}
    path = folder / "changes.json"
    path.write_text(json.dumps(changes(CHANGES[-1])))
    command = [sys.executable, "-c", INSPECT.format(path=str(path))]
    measurements = {"process": partial(seconds_of, command, cwd=ROOT, environment=environment)}
    measurements |= {str(count): partial(_seconds, changes(count)) for count in CHANGES}
    for timeout in (30, 60):
        program = [sys.executable, "-O", "-c", STACK, str(folder / str(timeout)), str(CHANGES[-1]), str(timeout)]
        seconds_of(program, cwd=ROOT, environment=environment)
    cli, old = str(ROOT / "node_modules" / ".bin" / "cdk"), str(folder / "30" / "Many.template.json")
    command = [cli, "diff", "--no-notices", "--app", str(folder / "60"), "--template", old, "Many"]
    measurements["diff"] = partial(seconds_of, command, cwd=folder, environment=environment)
    seconds = in_turn(progress, "Inspections", ROUNDS, measurements)
    conditions = f"medians of {ROUNDS} interleaved runs"
    yield Row(
        f"Inspection of {CHANGES[-1]} changes, as a process",
        f"{seconds.median('process'):.2f} s",
        compared_with=f"`cdk diff` of as many changes: {seconds.median('diff'):.2f} s",
        ratio=seconds.ratio("process", "diff"),
        conditions=conditions,
    )
    for count in CHANGES:
        yield Row(
            f"Inspection of {count} changes", f"{seconds.median(str(count)) * 1000:.0f} ms", conditions=conditions
        )


def _seconds(many: list[Any]) -> float:
    started = time.perf_counter()
    if any(finding.violation for finding in findings(many, Policy())):
        raise BenchError("a change is not safe")
    return time.perf_counter() - started


def changes(count: int) -> list[dict[str, Any]]:
    """Return changes of queues and of as many subscriptions, whose effect CloudFormation cannot predict."""
    return [change for number in range(count // 2) for change in _queue_and_subscription(number)]


def _queue_and_subscription(number: int) -> Iterator[dict[str, Any]]:
    queue = f"Queue{number}"
    own = {"Attribute": "Properties", "Name": "VisibilityTimeout", "RequiresRecreation": "Never"}
    endpoint = {"Attribute": "Properties", "Name": "Endpoint", "RequiresRecreation": "Always"}
    for logical_id, kind, replacement, details in (
        (
            queue,
            "AWS::SQS::Queue",
            "False",
            {"Target": own, "Evaluation": "Static", "ChangeSource": "DirectModification"},
        ),
        (
            f"Subscription{number}",
            "AWS::SNS::Subscription",
            "Conditional",
            {
                "Target": endpoint,
                "Evaluation": "Dynamic",
                "ChangeSource": "ResourceAttribute",
                "CausingEntity": f"{queue}.Arn",
            },
        ),
    ):
        resource = {
            "Action": "Modify",
            "LogicalResourceId": logical_id,
            "ResourceType": kind,
            "Replacement": replacement,
        }
        yield {"Type": "Resource", "ResourceChange": resource | {"Details": [details]}}


def _artifact_row(files: int) -> Row:
    archive: Any = Archive(files)
    started = time.perf_counter()
    read_template(archive, "artifacts", "source.zip", "template.json")
    seconds = time.perf_counter() - started
    tracemalloc.start()
    read_template(archive, "artifacts", "source.zip", "template.json")
    megabytes = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return Row(f"A template from an artifact of {files:,} files", f"{seconds:.2f} s, {megabytes:.0f} MB")


def _limit_row() -> Row:
    try:
        archive: Any = Archive(TOO_MANY_FILES)
        read_template(archive, "artifacts", "source.zip", "template.json")
    except InvalidArtifactError as error:
        limit = f"limit: {MAX_DIRECTORY_BYTES // 2**20} MiB for the list of files"
        return Row(f"An artifact of {TOO_MANY_FILES:,} files", "rejected", conditions=f"{limit}; {error}")
    raise BenchError(f"an artifact of {TOO_MANY_FILES:,} files was accepted")
