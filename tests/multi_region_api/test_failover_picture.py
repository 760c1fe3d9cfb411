"""The picture of a failover, drawn from given calls."""

import re
from xml.etree import ElementTree

import pytest

from bench.failover import Call
from bench.failover_picture import AFTER, BEFORE, FAULT, REGIONS, picture

SVG = "{http://www.w3.org/2000/svg}"
HOME, OTHER = REGIONS
SWITCH, RETURN = 100, 270  # seconds since the fault


def call(at: int, seconds: float = 0.01) -> Call:
    """Return the call of a client without retries that started at a time since the fault."""
    away = SWITCH <= at < RETURN
    return Call(at, at + seconds, OTHER if away else HOME, failed=0 <= at < SWITCH)


@pytest.fixture(scope="module")
def charts() -> list[ElementTree.Element]:
    plain = [call(at) for at in range(-BEFORE, FAULT + AFTER)]
    sample = [Call(at, at + (1.2 if 0 <= at < SWITCH else 0.01), OTHER, failed=False) for at in range(-BEFORE, FAULT)]
    return ElementTree.fromstring(picture(plain, sample, fault=0)).findall(f"{SVG}svg")  # noqa: S314  # our own


def texts(chart: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in chart.findall(f"{SVG}text")]


def lines(chart: ElementTree.Element) -> list[list[tuple[float, float]]]:
    """Return the points of each series, in the chart's coordinates."""
    paths = [path.get("d", "") for path in chart.findall(f"{SVG}path") if path.get("fill") == "none"]
    return [[(float(x), float(y)) for x, y in re.findall(r"([\d.]+) ([\d.]+)", path)] for path in paths]


def test_charts_are_below_each_other(charts: list[ElementTree.Element]) -> None:
    assert [chart.get("y") for chart in charts] == ["0", "360"]


def test_latency_includes_retries_and_fits_the_axis(charts: list[ElementTree.Element]) -> None:
    assert {"p50", "p95", f"DNS: to {OTHER}", f"DNS: back to {HOME}"} <= set(texts(charts[0]))
    median, *_ = lines(charts[0])
    top = min(y for _, y in median)
    assert "1,500" in texts(charts[0])
    assert 56 <= top < max(y for _, y in median), "1.2 s is below the axis' 1.5 s"


def test_failed_calls_end_at_the_switch(charts: list[ElementTree.Element]) -> None:
    sample, plain, to_other, _ = lines(charts[1])
    assert len({y for _, y in sample}) == 1, "no call of the sample client failed"
    failed = [x for x, y in plain if y == min(y for _, y in plain)]
    assert len(failed) == SWITCH / 5
    assert max(failed) < to_other[0][0] < max(failed) + 10
