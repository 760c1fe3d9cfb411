"""Measure failovers and drains with two, three and five Regions."""

import json
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.progress import Progress

from sandbox.process import Sandbox
from sandbox.target import settings_for, target_of

from .failover import REGION, SYSTEM, Call, Deployment
from .report import Row, Section, at_most

REGIONS = (REGION, "us-west-2", "eu-west-1", "ap-northeast-1", "sa-east-1")
SIZES = (2, 3, 5)
ROUNDS = 5
SPEED = 20  # a busy computer would distort shorter intervals
CALL_INTERVAL = 0.05  # seconds
SAMPLE_CLIENTS = 2
SETTLE_SECONDS = 2  # calls after a switch, of which none may fail
NOTES = (
    "Drain: the drain function of another Region is invoked. Fault: the functions of the Region get a reserved "
    "concurrency of 0, so each call gets a 429 until Route 53 routes clients to another Region. The health check "
    "reports the time of the first failed request. The values in *Compared with* follow from the settings: the next "
    "health check request, at most one interval later, detects a drain; the health check fails "
    "interval x (threshold - 1) after the first failed request.",
    f"The sandbox runs intervals {SPEED} times faster; the table shows the corresponding times on AWS. "
    f"Cold starts are not accelerated, so they count {SPEED} times; the maximum drain time includes one. Clients "
    "resolve the name for each call.",
    "The plain client sends each call once. The sample client (`assets/multi_region_api/client/client.py`) retries at "
    "the Regions' own names; its delays are not accelerated.",
    "**Not included, but part of a failover on AWS**: an endpoint is unhealthy when 82% or more of the health "
    "checkers report it, and clients cache the address for its TTL of 60 s or keep their connection for longer. "
    "[The picture](multi_region_api.md#clients) includes the TTL.",
)


@dataclass(frozen=True)
class Switch:
    """A switch to another Region: seconds to the last response of the first one, and the calls of both clients.

    seconds: by the event from which they are measured.
    """

    seconds: dict[str, float]
    plain: list[Call]
    sample: list[Call]
    last: float  # when the last response of the Region arrived


def measure(progress: Progress) -> Section:
    """Drain and break a Region several times, with each number of Regions."""
    rows: list[Row] = []
    with Sandbox(speed=SPEED) as sandbox:
        task = progress.add_task("Deploying", total=len(SIZES) * ROUNDS)
        sandbox.bootstrap(*REGIONS)
        settings = settings_for(sandbox, [SYSTEM])
        for size in SIZES:
            progress.update(task, description=f"Deploying {size} Regions")
            names = REGIONS[:size]
            sandbox.deploy("MultiRegionApi-*", settings=settings | {f"{SYSTEM}:regions": json.dumps(names)})
            deployment = Deployment(target_of(sandbox), names)
            progress.update(task, description=f"Switches, {size} Regions")
            drains, faults = [], []
            for _ in range(ROUNDS):
                drains.append(drain(deployment))
                faults.append(break_region(deployment))
                progress.advance(task)
            rows += _switch_rows(size, deployment, drains, faults)
    return Section(SYSTEM, tuple(rows), NOTES)


def drain(deployment: Deployment) -> Switch:
    """Drain the Region from another one, and undrain it."""
    with deployment.calls(CALL_INTERVAL, SAMPLE_CLIENTS) as (plain, sample):
        deployment.wait_for(plain, _from_region, f"a response from {REGION}")
        started = time.time()
        deployment.drain("drain")
        deployment.wait_for(plain, _from_other_region, "a response from another Region")
        time.sleep(SETTLE_SECONDS)
        switch = _switch(plain, sample, {"command": started})
        deployment.drain("undrain")
        deployment.wait_for(plain, _from_region, f"a response from {REGION} again")
    return switch


def break_region(deployment: Deployment) -> Switch:
    """Break the Region, and repair it."""
    with deployment.calls(CALL_INTERVAL, SAMPLE_CLIENTS) as (plain, sample):
        deployment.wait_for(plain, _from_region, f"a response from {REGION}")
        started = time.time()
        with deployment.broken_region():
            first_failed = deployment.first_failure()
            deployment.wait_for(plain, _from_other_region, "a response from another Region")
            time.sleep(SETTLE_SECONDS)
            switch = _switch(plain, sample, {"first failed check": first_failed, "fault": started})
        deployment.wait_for(plain, _from_region, f"a response from {REGION} again")
    return switch


def _from_region(call: Call) -> bool:
    return call.region == REGION and not call.failed


def _from_other_region(call: Call) -> bool:
    return call.region not in (REGION, "none") and not call.failed


def _switch(plain: Sequence[Call], sample: Sequence[list[Call]], started: dict[str, float]) -> Switch:
    calls = list(plain)
    last = max(call.ended for call in calls if call.region == REGION)
    seconds = {event: last - at for event, at in started.items()}
    return Switch(seconds, calls, [call for client in sample for call in client], last)


def _switch_rows(
    size: int, deployment: Deployment, drains: Sequence[Switch], faults: Sequence[Switch]
) -> Iterator[Row]:
    interval, threshold = deployment.interval, deployment.threshold
    floors = {
        "command": (drains, interval, f"interval: {interval} s"),
        "first failed check": (faults, interval * (threshold - 1), f"interval x (threshold - 1): {interval} s"),
        "fault": (faults, interval * threshold, f"interval x threshold: {interval * threshold} s"),
    }
    conditions = f"{ROUNDS} times; every {interval} s, threshold {threshold}; sandbox"
    for event, (switches, floor, text) in floors.items():
        values = [switch.seconds[event] * SPEED for switch in switches]
        kind = "Drain" if switches is drains else "Fault"
        yield Row(
            f"{kind}, {size} Regions: from the {event} to the last response, median (maximum)",
            f"{statistics.median(values):.0f} s ({max(values):.0f} s)",
            compared_with=text,
            ratio=statistics.median(values) / floor,
            conditions=conditions,
        )
    yield Row(
        f"Drain, {size} Regions: failed calls",
        _failed([call for switch in drains for call in switch.plain + switch.sample]),
        conditions="both clients",
    )
    after = [call for switch in faults for call in switch.plain if call.started > switch.last]
    before = [call for switch in faults for call in switch.plain if call.started <= switch.last]
    yield Row(
        f"Fault, {size} Regions: failed calls of the plain client after the last response of the Region",
        _failed(after),
        compared_with=f"before: {sum(call.failed for call in before)}",
        conditions="one client",
    )
    yield Row(
        f"Fault, {size} Regions: failed calls of the sample client",
        _failed([call for switch in faults for call in switch.sample]),
        conditions=f"{SAMPLE_CLIENTS} clients at the same time",
    )


def _failed(calls: Sequence[Call]) -> str:
    failed = sum(call.failed for call in calls)
    return f"{failed} of {len(calls):,}; {at_most(0, failed)}"
