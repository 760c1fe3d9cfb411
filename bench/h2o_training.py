"""Train H2O's models and the closest scikit-learn models with more and more songs."""

import json
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.progress import Progress

from .report import Row

SCALES = (1, 10, 100)
LIMIT_SECONDS = 30  # of a training; with ten times as many songs, it is not run
TREES, RATE, LAYERS, EPOCHS = 50, 0.1, (50, 50), 10


@dataclass(frozen=True)
class Pair:
    """An H2O model, and the closest scikit-learn model."""

    model: Any
    peer: Any

    @property
    def name(self) -> str:
        return type(self.peer).__name__


def pairs() -> list[Pair]:
    """Return the pairs to compare, without cross-validation, which scikit-learn's models do not include."""
    from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    from assets.analytics_host.billboard.models import LINEAR, Model

    excluded, seed, options = ("energy",), 1122, {"max_depth": 4, "learning_rate": RATE, "random_state": 1122}
    boosted = {"ntrees": TREES, "max_depth": 4, "learn_rate": RATE, "seed": seed}
    deep = {"hidden": list(LAYERS), "epochs": EPOCHS, "seed": seed}
    network = MLPClassifier(LAYERS, max_iter=EPOCHS, n_iter_no_change=EPOCHS, random_state=seed)
    trees = Model("GBM", "GBM", excluded, boosted, folds=0)
    return [
        Pair(replace(LINEAR[0], folds=0), LogisticRegression(max_iter=1000)),
        Pair(trees, GradientBoostingClassifier(n_estimators=TREES, **options)),
        Pair(trees, HistGradientBoostingClassifier(max_iter=TREES, **options)),
        Pair(Model("deep learning", "deep learning", excluded, deep, folds=0), network),
    ]


def compare(progress: Progress, training: Any, test: Any, h2o_process: str) -> Iterator[Row]:
    """Yield the rows of each scale: every pair, the time to send the songs to H2O, and the memory."""
    _train([pair.model for pair in pairs()], training, test)  # first runs compile code and start threads
    for pair in pairs():
        _fit(pair, training)
    previous: dict[str, float] = {}
    for scale in progress.track(SCALES, description="songs x1, x10, x100"):
        songs = _repeat(training, scale)
        selected = [pair.model for pair in pairs() if previous.get(pair.model.name, 0) <= LIMIT_SECONDS]
        started = time.monotonic()
        trained = _train(selected, songs, test)
        sending = time.monotonic() - started - sum(trained.values())
        for pair in pairs():
            h2o = trained.get(pair.model.name)
            peer = _fit(pair, songs) if previous.get(pair.name, 0) <= LIMIT_SECONDS else None
            yield _row(pair, scale, len(songs), h2o, peer)
            previous[pair.name] = peer or float("inf")
        previous |= dict.fromkeys((pair.model.name for pair in pairs()), float("inf")) | trained
        yield Row(f"Songs x{scale}: sent to H2O, and test songs predicted", f"{sending:.1f} s", "", None, _size(songs))
        yield _memory(scale, h2o_process)


def original_models(progress: Progress, training: Any, test: Any) -> Iterator[Row]:
    """Yield the time to train each model of the original post, with its parameters."""
    from assets.analytics_host.billboard import models

    for model in progress.track(models.ALL, description="the original post's models"):
        (trained,) = models.train([model], training, test)
        folds = f"{model.folds}-fold cross-validation, " if model.folds else ""
        conditions = f"{folds}{_size(training)}; {_parameters(model)}; one run"
        yield Row(f"Training for the notebook: {model.name}", f"{trained.seconds:.1f} s", "", None, conditions)


def _repeat(songs: Any, scale: int) -> Any:
    """Return every song `scale` times, with noise in the copies' features, so that their values differ."""
    import numpy as np
    import pandas as pd

    from assets.analytics_host.billboard.songs import FEATURES

    if scale == 1:
        return songs
    larger = pd.concat([songs] * scale, ignore_index=True)
    noise = np.random.default_rng(1122).normal(0, 0.01, (len(larger), len(FEATURES)))
    larger[FEATURES] = larger[FEATURES] + noise * songs[FEATURES].std().to_numpy()
    return larger


def _train(models_to_train: Sequence[Any], songs: Any, test: Any) -> dict[str, float]:
    from assets.analytics_host.billboard import models

    unique = {model.name: model for model in models_to_train}
    return {trained.model.name: trained.seconds for trained in models.train(unique.values(), songs, test)}


def _fit(pair: Pair, songs: Any) -> float:
    """Return the seconds to fit scikit-learn's model, including the scaling that H2O does itself."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from assets.analytics_host.billboard.songs import LABEL

    values, labels = songs[pair.model.features].to_numpy(), songs[LABEL].to_numpy()
    started = time.monotonic()
    with warnings.catch_warnings(action="ignore"):  # hides warnings that so few epochs do not converge
        make_pipeline(StandardScaler(), pair.peer).fit(values, labels)
    return time.monotonic() - started


def _row(pair: Pair, scale: int, songs: int, h2o: float | None, peer: float | None) -> Row:
    def seconds(value: float | None) -> str:
        return f"{value:.2f} s" if value else "not run"

    ratio = h2o / peer if h2o and peer else None
    features = len(pair.model.features)
    conditions = f"{songs:,} songs, {features} features; {_parameters(pair.model)}; one run"
    return Row(
        f"Songs x{scale}: {pair.model.kind}",
        seconds(h2o),
        f"scikit-learn's {pair.name}: {seconds(peer)}",
        ratio,
        conditions,
    )


def _size(songs: Any) -> str:
    return f"{len(songs):,} songs"


def _parameters(model: Any) -> str:
    return json.dumps({name: value for name, value in model.parameters.items() if name != "seed"}).strip("{}")


def _memory(scale: int, h2o_process: str) -> Row:
    """Compare the peak memory of H2O's process, which includes the JVM, with that of this process."""
    kilobytes, own = peak_kilobytes(h2o_process), peak_kilobytes("self")
    return Row(
        f"Songs x{scale}: peak resident memory of H2O",
        f"{kilobytes / 1024:.0f} MB",
        f"this process with pandas and scikit-learn: {own / 1024:.0f} MB",
        kilobytes / own,
        "since the start; Linux only",
    )


def peak_kilobytes(process_id: str) -> int:
    """Return the peak resident memory of a process since its start."""
    lines = Path("/proc", process_id, "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
