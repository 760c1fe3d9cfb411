"""Tests of the benchmark's reading of boot logs, and of its limit on the time to train."""

from typing import Any

import pytest

from bench import h2o_training
from bench.analytics_host import boot_steps
from bench.report import Row


def test_boot_steps_have_seconds_until_the_next_step() -> None:
    log = """2026-11-26T10:00:00Z == packages
Setting up nginx
2026-11-26T10:01:35Z == end
2026-11-26T10:02:00Z == python
2026-11-26T10:02:07Z == healthy
SUCCESS: healthy"""
    assert list(boot_steps(log.splitlines())) == [("packages", 95), ("python", 7)]


@pytest.mark.needs("h2o")
def test_slow_trainings_are_not_repeated_with_more_songs(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.progress import Progress

    peers: list[tuple[str, int]] = []

    def fit(pair: h2o_training.Pair, songs: Any) -> float:
        peers.append((pair.name, len(songs)))
        return 40 if (pair.name, len(songs)) == ("MLPClassifier", 100) else 1

    def train(models: Any, songs: Any, _test: Any) -> dict[str, float]:
        return {model.name: 40 if (model.name, len(songs)) == ("GBM", 10) else 2 for model in models}

    monkeypatch.setattr(h2o_training, "_repeat", lambda songs, scale: songs * scale)
    monkeypatch.setattr(h2o_training, "_fit", fit)
    monkeypatch.setattr(h2o_training, "_train", train)
    monkeypatch.setattr(h2o_training, "peak_kilobytes", lambda _process: 1)
    rows = list(h2o_training.compare(Progress(disable=True), ["song"] * 10, [], "1"))
    by_metric = {row.metric: row for row in rows}
    assert by_metric["Songs x1: deep learning"].ratio == 2
    assert by_metric["Songs x10: GBM"].value == "not run"
    assert by_metric["Songs x100: GBM"].value == "not run"
    assert "MLPClassifier: not run" in by_metric["Songs x100: deep learning"].compared_with
    assert by_metric["Songs x100: deep learning"].ratio is None
    assert ("MLPClassifier", 1000) not in peers


@pytest.mark.parametrize(
    ("ratio", "text"), [(None, ""), (68.951, "68.95"), (0.0973, "0.10"), (0.024, "2%"), (0.0008, "0.08%")]
)
def test_ratio_has_no_exponent(ratio: float | None, text: str) -> None:
    assert Row("metric", "value", ratio=ratio).cells()[3] == text
