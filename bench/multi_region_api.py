"""Measure how long clients are still routed to an unhealthy Region, and cold imports of both handlers."""

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

from .report import Row, Section, at_most
from .timing import BenchError, Rounds, child_environment, in_turn, seconds_inside

SYSTEM, REGION = "multi_region_api", "us-east-1"  # local clients are near this Region
SWITCHES = 10
CALL_INTERVAL = 0.005  # seconds
TIMEOUT_SECONDS = 30
PROCESSES = 21
IMPORT_LIMIT = 8  # milliseconds
NOTES = (
    "Failover: one client repeatedly resolves and calls the domain name. The health check's status reports the time of "
    "the first failed request, and changes on the last one, interval x (threshold - 1) later. The sandbox runs "
    f"intervals {SPEED} times faster; the table shows the corresponding times on AWS.",
    "**Not included, but part of a failover on AWS**: an endpoint is unhealthy when 82% or more of the health "
    "checkers report it, and clients cache the address for its TTL of 60 s or keep their connection for longer.",
    "With a table dependency, the health function also imports boto3.",
)


def measure(progress: Progress) -> Section:
    """Fail over to another Region and back, several times; then import the handlers."""
    with Sandbox(speed=SPEED) as sandbox:
        task = progress.add_task("Deploying", total=SWITCHES)
        sandbox.bootstrap(*regions_of([SYSTEM]))
        sandbox.deploy("MultiRegionApi-*", settings=settings_for(sandbox, [SYSTEM]))
        test = FailoverTest(target_of(sandbox))
        progress.update(task, description="Switches")
        seconds = []
        for _ in range(SWITCHES):
            seconds.append(test.switch())
            progress.advance(task)
        minimum = test.interval * test.threshold
        conditions = f"{SWITCHES} failovers; every {test.interval} s, threshold {test.threshold}; sandbox"
    return Section(SYSTEM, (*_switch_rows(seconds, minimum, conditions), *_import_rows(_imports(progress))), NOTES)


def _switch_rows(seconds: list[tuple[float, float]], minimum: float, conditions: str) -> Iterator[Row]:
    titles = (
        "Failover time, from the first failed health check",
        "Failover time, from setting STATUS",
    )
    for title, values in zip(titles, zip(*seconds, strict=True), strict=True):
        for statistic, value in (("median", sorted(values)[len(values) // 2]), ("maximum", max(values))):
            yield Row(
                f"{title}, {statistic}",
                f"{value * SPEED:.0f} s",
                compared_with=f"interval x threshold: {minimum} s",
                ratio=value * SPEED / minimum,
                conditions=conditions,
            )


class FailoverTest:
    """The deployed Regions, one of which becomes unhealthy."""

    def __init__(self, target: Target) -> None:
        self.target = target
        outputs = target.outputs(f"MultiRegionApi-{REGION}", REGION)
        self.url, self.check_id = f"{outputs['Url']}helloworld", outputs["HealthCheckId"]
        self.function = outputs["HealthFunctionName"]
        self.route53, self.lambda_ = target.client("route53"), target.client("lambda", REGION)
        config = self.route53.get_health_check(HealthCheckId=self.check_id)["HealthCheck"]["HealthCheckConfig"]
        self.interval, self.threshold = config["RequestInterval"], config["FailureThreshold"]

    def switch(self) -> tuple[float, float]:
        """Return the seconds to the last response of the Region, from the first failed check and from STATUS."""
        with poll_in_background(self._call, CALL_INTERVAL) as calls:
            self.target.wait_until(
                lambda: calls and calls[-1][1] == REGION, f"a response from {REGION}", TIMEOUT_SECONDS
            )
            started = time.time()
            self._set("fail")
            first_failed = self.target.wait_until(self._failed_at, "a failed health check", TIMEOUT_SECONDS)
            self.target.wait_until(lambda: calls[-1][1] != REGION, "a response from another Region", TIMEOUT_SECONDS)
            last = max(at for at, region in calls if region == REGION)
            self._set("check")
            self.target.wait_until(lambda: calls[-1][1] == REGION, f"a response from {REGION} again", TIMEOUT_SECONDS)
        if any(region == "none" for _, region in calls):
            raise BenchError("a call failed")
        return last - first_failed, last - started

    def _set(self, status: str) -> None:
        variables = {"Variables": {"STATUS": status}}
        self.lambda_.update_function_configuration(FunctionName=self.function, Environment=variables)

    def _failed_at(self) -> float | None:
        (observation,) = self.route53.get_health_check_status(HealthCheckId=self.check_id)["HealthCheckObservations"]
        report = observation["StatusReport"]
        at: datetime = report["CheckedTime"]
        return at.astimezone(UTC).timestamp() if report["Status"].startswith("Failure") else None

    def _call(self) -> tuple[float, str]:
        """Return when a response arrived, and from which Region."""
        response: Any = self.target.get(self.url)
        return time.time(), response.json()["region"] if response.status == 200 else "none"


def _imports(progress: Progress) -> Rounds:
    table = {"name": "orders", "table": "Orders", "partition_key": "id", "timeout_seconds": 1}
    modules = {"hello": [], "healthcheck": [], "with a table": [table]}
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        environment = child_environment(folder / "bytecode") | {"AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}

        def seconds(cwd: Path, module: str) -> float:
            return seconds_inside(f"from {module} import handler", cwd=cwd, environment=environment)

        measurements = {}
        for kind, dependencies in modules.items():
            package = folder / kind.replace(" ", "_") / SYSTEM
            shutil.copytree(ROOT / "lambdas" / SYSTEM, package, ignore=shutil.ignore_patterns("__pycache__"))
            settings = {"allowed_origins": ["*"], "dependencies": dependencies, "drain_urls": {}}
            (package / "settings.json").write_text(json.dumps(settings))
            handler = "hello" if kind == "hello" else "healthcheck"
            measurements[kind] = partial(seconds, package.parent, f"{SYSTEM}.{handler}")
        return in_turn(progress, "Cold imports", PROCESSES, measurements)


def _import_rows(seconds: Rounds) -> Iterator[Row]:
    titles = {
        "hello": "Cold import of GET /helloworld",
        "healthcheck": "Cold import of GET /healthcheck",
        "with a table": "Cold import of GET /healthcheck with a table dependency",
    }
    for kind, title in titles.items():
        milliseconds = seconds.median(kind) * 1000
        goal = "" if kind == "with a table" else f"; {at_most(IMPORT_LIMIT, milliseconds)} ms"
        conditions = f"median of {PROCESSES} interleaved processes{goal}"
        yield Row(title, f"{milliseconds:.1f} ms", conditions=conditions)
