"""Draw a failover with AWS's times, as clients see it: ``python -m bench.failover_picture`` writes `FILE`.

It takes about eight minutes: with the default settings, one Region of two breaks and is repaired in the sandbox, whose
health checks are not accelerated. The clients keep addresses for the TTL of the records, 60 s.
"""

import statistics
import time
from collections.abc import Callable, Sequence

from sandbox.process import ROOT, Sandbox
from sandbox.target import settings_for, target_of
from walkthroughs.line_chart import Axis, Point, Series, line_chart, stack_charts

from .failover import REGION, SYSTEM, Call, Deployment

FILE = ROOT / "docs" / "pictures" / "multi_region_api_failover.svg"
REGIONS = (REGION, "us-west-2")
TTL_SECONDS = 60  # of API Gateway's alias records
BEFORE, FAULT, AFTER = 30, 210, 150  # seconds
BIN = 5  # seconds
SAMPLE_CLIENTS, CALL_INTERVAL = 4, 0.25  # seconds


def measure() -> tuple[list[Call], list[Call], float]:
    """Return the calls of the plain and of the sample client, and the time of the fault."""
    with Sandbox() as sandbox:
        sandbox.bootstrap(*REGIONS)
        sandbox.deploy("MultiRegionApi-*", settings=settings_for(sandbox, [SYSTEM]))
        deployment = Deployment(target_of(sandbox), REGIONS, TTL_SECONDS)
        # New health checks for drains count as drained until they have data.
        deployment.target.wait_until(lambda: deployment.call().region == REGION or None, REGION, 4 * TTL_SECONDS)
        with deployment.calls(CALL_INTERVAL, SAMPLE_CLIENTS) as (plain, sample):
            time.sleep(BEFORE)
            with deployment.broken_region():
                fault = time.time()
                time.sleep(FAULT)
            time.sleep(AFTER)
    return plain, [call for client in sample for call in client], fault


def picture(plain: Sequence[Call], sample: Sequence[Call], fault: float) -> str:
    """Return the chart: latencies of the sample client above failed calls of both."""
    seconds = Axis("seconds since the Region broke", [(at, str(at)) for at in range(-BEFORE, FAULT + AFTER + 1, 30)])
    median = _bins(sample, fault, lambda calls: 1000 * statistics.median(call.seconds for call in calls))
    p95 = _bins(sample, fault, lambda calls: 1000 * _percentile([call.seconds for call in calls], 95))
    highest = max(500, 500 * -(-max(value for _, value in p95) // 500))
    latencies = line_chart(
        "Latency of the sample client, retries included",
        seconds,
        Axis("milliseconds", [(highest * step / 5, f"{highest * step / 5:,.0f}") for step in range(6)]),
        [Series("p50", median), Series("p95", p95), *_moments(plain, fault, highest)],
    )
    failed = line_chart(
        "Failed calls",
        seconds,
        Axis("share", [(quarter / 4, f"{quarter * 25} %") for quarter in range(5)]),
        [
            Series("sample client", _bins(sample, fault, _failed_share)),
            Series("client without retries", _bins(plain, fault, _failed_share)),
            *_moments(plain, fault, 1),
        ],
    )
    return stack_charts("A Region breaks, and is repaired after 210 s", [latencies, failed])


def _bins(calls: Sequence[Call], fault: float, value: Callable[[Sequence[Call]], float]) -> list[Point]:
    """Return the value of the calls that started in each bin, in the middle of it."""
    points = []
    for start in range(-BEFORE, FAULT + AFTER, BIN):
        inside = [call for call in calls if start <= call.started - fault < start + BIN]
        if inside:
            points.append((start + BIN / 2, value(inside)))
    return points


def _failed_share(calls: Sequence[Call]) -> float:
    return sum(call.failed for call in calls) / len(calls)


def _percentile(values: Sequence[float], percent: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def _moments(plain: Sequence[Call], fault: float, top: float) -> list[Series]:
    """Return a vertical line where the client without retries is routed to another Region, and back."""
    away = next(call.started for call in plain if call.started > fault and call.region not in (REGION, "none"))
    back = next((call.started for call in plain if call.started > away and call.region == REGION), None)
    moments = {f"DNS: to {REGIONS[1]}": away, f"DNS: back to {REGION}": back}
    return [Series(label, [(at - fault, 0), (at - fault, top)]) for label, at in moments.items() if at]


if __name__ == "__main__":
    FILE.write_text(picture(*measure()))
