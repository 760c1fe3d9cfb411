"""How long a sick region is still asked, beside what the settings allow; cold imports of both handlers."""

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from rich.progress import Progress

from sandbox.process import ROOT, Sandbox
from sandbox.target import SPEED, regions_of, settings_for, target_of
from walkthroughs.polling import poll_in_background
from walkthroughs.walkthrough import Target

from .report import Row, Section
from .timing import BenchError, Rounds, child_environment, in_turn, seconds_inside

SYSTEM, SICK = "multi_region_api", "us-east-1"  # callers here are near that one
SWITCHES = 10
PAUSE = 0.005  # seconds between two calls by name
TIMEOUT_SECONDS = 30  # seconds
PROCESSES = 21
EMPTY = "def handler(event, context):\n    return None\n"
NOTES = (
    "Switch: one caller calls the name again and again, and finds its address anew each time; the health check's "
    "own report says when the first request failed. A checker's mind changes with the request that fills the "
    "threshold, so from the first failed request on it takes one interval less than interval x threshold, and what "
    f"the requests take. The sandbox runs intervals {SPEED} times faster; the figures are told in the time of the "
    "settings.",
    "**On AWS comes what is not in the figure**: some twenty checkers, of which more than 82% must have changed their "
    "mind, and clients that keep the name's address for its TTL of 60 s, or their connection for longer.",
    "Cold import: fresh Python processes, timed inside, without the start of Python itself; modules are compiled "
    "beforehand. The empty handler imports nothing; json and pathlib are most of what ours take. With a DynamoDB table "
    "to check, the health function imports boto3 as well.",
)


def measure(progress: Progress) -> Section:
    """Make a region sick and healthy again, several times; then import the handlers."""
    with Sandbox(speed=SPEED) as sandbox:
        task = progress.add_task("Deploying", total=SWITCHES)
        sandbox.bootstrap(*regions_of([SYSTEM]))
        sandbox.deploy("MultiRegionApi-*", settings=settings_for(sandbox, [SYSTEM]))
        drill = Drill(target_of(sandbox))
        progress.update(task, description="Switches")
        seconds = []
        for _ in range(SWITCHES):
            seconds.append(drill.switch())
            progress.advance(task)
        least = drill.interval * drill.threshold
        conditions = f"{SWITCHES} switches; every {drill.interval} s, threshold {drill.threshold}; sandbox"
    return Section(SYSTEM, (*_switch_rows(seconds, least, conditions), *_import_rows(_imports(progress))), NOTES)


def _switch_rows(seconds: list[tuple[float, float]], least: float, conditions: str) -> Iterator[Row]:
    titles = (
        "From the first failed check to the last answer of the sick region",
        "From STATUS being set to the last answer of the sick region",
    )
    for title, figures in zip(titles, zip(*seconds, strict=True), strict=True):
        for kind, figure in (("median", sorted(figures)[len(figures) // 2]), ("worst", max(figures))):
            yield Row(
                f"{title}, {kind}",
                f"{figure * SPEED:.0f} s",
                compared_with=f"interval x threshold: {least} s",
                ratio=figure * SPEED / least,
                conditions=conditions,
            )


class Drill:
    """The deployed regions, of which one is made sick."""

    def __init__(self, target: Target) -> None:
        self.target = target
        outputs = target.outputs(f"MultiRegionApi-{SICK}", SICK)
        self.url, self.check_id = f"{outputs['Url']}helloworld", outputs["HealthCheckId"]
        self.function = outputs["HealthFunctionName"]
        self.route53, self.lambda_ = target.client("route53"), target.client("lambda", SICK)
        config = self.route53.get_health_check(HealthCheckId=self.check_id)["HealthCheck"]["HealthCheckConfig"]
        self.interval, self.threshold = config["RequestInterval"], config["FailureThreshold"]

    def switch(self) -> tuple[float, float]:
        """Seconds until the sick region answered last: since the first failed check, since STATUS was set."""
        with poll_in_background(self._call, PAUSE) as calls:
            self.target.wait_until(lambda: calls and calls[-1][1] == SICK, f"an answer of {SICK}", TIMEOUT_SECONDS)
            started = time.time()
            self._set("fail")
            first_failed = self.target.wait_until(self._failed_at, "a failed check", TIMEOUT_SECONDS)
            self.target.wait_until(lambda: calls[-1][1] != SICK, "an answer of another region", TIMEOUT_SECONDS)
            last = max(at for at, region in calls if region == SICK)
            self._set("check")
            self.target.wait_until(lambda: calls[-1][1] == SICK, f"an answer of {SICK} again", TIMEOUT_SECONDS)
        if any(region == "nobody" for _, region in calls):
            raise BenchError("a call failed")
        return last - first_failed, last - started

    def _set(self, status: str) -> None:
        variables = {"Variables": {"STATUS": status}}
        self.lambda_.update_function_configuration(FunctionName=self.function, Environment=variables)

    def _failed_at(self) -> float | None:
        (seen,) = self.route53.get_health_check_status(HealthCheckId=self.check_id)["HealthCheckObservations"]
        report = seen["StatusReport"]
        at: datetime = report["CheckedTime"]
        return at.astimezone(UTC).timestamp() if report["Status"].startswith("Failure") else None

    def _call(self) -> tuple[float, str]:
        """When an answer came, and from which region."""
        answer: Any = self.target.get(self.url)
        return time.time(), answer.json()["region"] if answer.status == 200 else "nobody"


def _imports(progress: Progress) -> Rounds:
    table = {"name": "orders", "table": "Orders", "partition_key": "id", "url": None, "seconds": 1}
    modules = {"hello": [], "healthcheck": [], "with a table": [table]}
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        (folder / "empty.py").write_text(EMPTY)
        environment = child_environment(folder / "bytecode") | {"AWS_REGION": SICK, "AWS_DEFAULT_REGION": SICK}

        def seconds(cwd: Path, module: str) -> float:
            return seconds_inside(f"from {module} import handler", cwd=cwd, environment=environment)

        measurements = {"empty": partial(seconds, folder, "empty")}
        for kind, checks in modules.items():
            package = folder / kind.replace(" ", "_") / SYSTEM
            shutil.copytree(ROOT / "lambdas" / SYSTEM, package, ignore=shutil.ignore_patterns("__pycache__"))
            (package / "settings.json").write_text(json.dumps({"allowed_origin": "*", "checks": checks}))
            handler = "hello" if kind == "hello" else "healthcheck"
            measurements[kind] = partial(seconds, package.parent, f"{SYSTEM}.{handler}")
        return in_turn(progress, "Cold imports", PROCESSES, measurements)


def _import_rows(seconds: Rounds) -> Iterator[Row]:
    titles = {
        "hello": "Cold import of GET /helloworld",
        "healthcheck": "Cold import of GET /healthcheck",
        "with a table": "The same, with a DynamoDB table to check",
    }
    for kind, title in titles.items():
        yield Row(
            title,
            f"{seconds.median(kind) * 1000:.1f} ms",
            compared_with=f"an empty handler: {seconds.median('empty') * 1000:.2f} ms",
            ratio=seconds.ratio(kind, "empty"),
            conditions=f"medians of {PROCESSES} processes in turn",
        )
