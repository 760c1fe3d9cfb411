"""Compare H2O's training with the closest scikit-learn models, and the bytes that Athena scans.

H2O runs with two threads, started from the host's unit file. Uses the synthetic songs, or the original file with
``SONGS=path``.
"""

import json
import os
import time
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from rich.progress import Progress

from assets.analytics_host.host.idle import PORTS
from sandbox import Sandbox
from sandbox.process import ROOT
from sandbox.target import session, target_of
from walkthroughs.analytics_host import h2o_connection
from walkthroughs.forwarding import forwarded_port

from .report import Row, Section
from .timing import in_turn

ASSETS = ROOT / "assets" / "analytics_host"
ROUNDS = 3
STACK = "AnalyticsHost"
TREES, RATE, LAYERS, EPOCHS = 50, 0.1, (50, 50), 10


def measure(progress: Progress) -> Section:
    """Deploy the stack to a sandbox, train models and run queries."""
    from assets.analytics_host.billboard import models

    songs = Path(os.environ.get("SONGS") or ASSETS / "songs.csv")
    with Sandbox() as sandbox:
        task = progress.add_task("deploying to the sandbox", total=1)
        sandbox.bootstrap()
        outputs = sandbox.deploy(STACK)[STACK]
        progress.update(task, completed=1)
        clients = session(sandbox)
        bucket, _, prefix = outputs["SongsLocation"].removeprefix("s3://").partition("/")
        clients.client("s3").upload_file(str(songs), bucket, f"{prefix}songs.csv")
        login = models.login(outputs["SecretArn"], clients)
        with (
            forwarded_port(target_of(sandbox), outputs["InstanceId"], PORTS["H2O"]) as port,
            h2o_connection(port, login),
        ):
            rows = [*_training(progress, songs), _memory(sandbox, outputs)]
        rows += _scanned(progress, clients, outputs)
    notes = (
        "Training: the songs are in memory, as a frame in H2O and as an array in scikit-learn. Both can use two "
        "threads. H2O's time includes REST calls and polling every 0.2 s, which dominate for training of less than a "
        "second. Parameters are as similar as possible; the models are not identical.",
        "Bytes scanned are counted by the sandbox's Athena: whole objects of a CSV table, and the compressed chunks of "
        "the queried columns of a Parquet table. Athena bills at least 10 MB per query, so Parquet is not cheaper with "
        "this few songs; the ratio applies to larger tables.",
    )
    return Section("analytics_host", tuple(rows), notes)


def _training(progress: Progress, path: Path) -> Iterator[Row]:
    from assets.analytics_host.billboard import songs

    training, test = songs.split(songs.read(path))
    for model, peer in _pairs():
        name = type(peer).__name__
        measurements = {
            "H2O": partial(_train, model, training, test),
            name: partial(_fit, peer, training[model.features].to_numpy(), training[songs.LABEL].to_numpy()),
        }
        rounds = in_turn(progress, f"{model.kind}, {name}", ROUNDS, measurements)
        yield Row(
            f"Training: {model.kind}",
            f"{rounds.median('H2O'):.2f} s",
            f"scikit-learn's {name}: {rounds.median(name):.2f} s",
            rounds.ratio("H2O", name),
            f"{len(training):,} songs, {len(model.features)} features; {_parameters(model)}; {ROUNDS} rounds",
        )


def _pairs() -> Iterator[tuple[Any, Any]]:
    """Yield H2O models with the closest scikit-learn model."""
    from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    from assets.analytics_host.billboard.models import LINEAR, Model

    excluded, seed, options = ("energy",), 1122, {"max_depth": 4, "learning_rate": RATE, "random_state": 1122}
    boosted = {"ntrees": TREES, "max_depth": 4, "learn_rate": RATE, "seed": seed}
    deep = {"hidden": list(LAYERS), "epochs": EPOCHS, "seed": seed}
    network = MLPClassifier(LAYERS, max_iter=EPOCHS, n_iter_no_change=EPOCHS, random_state=seed)
    yield LINEAR[0], LogisticRegression(max_iter=1000)
    yield Model("GBM", "GBM", excluded, boosted), GradientBoostingClassifier(n_estimators=TREES, **options)
    yield Model("GBM", "GBM", excluded, boosted), HistGradientBoostingClassifier(max_iter=TREES, **options)
    yield Model("deep learning", "deep learning", excluded, deep), network


def _train(model: Any, training: Any, test: Any) -> float:
    from assets.analytics_host.billboard import models

    (trained,) = models.train([model], training, test)
    return trained.seconds


def _fit(peer: Any, values: Any, labels: Any) -> float:
    """Return the seconds to fit scikit-learn's model, including the scaling that H2O does itself."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    started = time.monotonic()
    with warnings.catch_warnings(action="ignore"):  # hides warnings that so few epochs do not converge
        make_pipeline(StandardScaler(), peer).fit(values, labels)
    return time.monotonic() - started


def _parameters(model: Any) -> str:
    return json.dumps({name: value for name, value in model.parameters.items() if name != "seed"}).strip("{}")


def _memory(sandbox: Sandbox, outputs: dict[str, str]) -> Row:
    """Measure the peak memory of H2O's process, which includes the JVM."""
    process_id = (sandbox.directory / "instances" / outputs["InstanceId"] / "run/h2o.service.pid").read_text()
    kilobytes, own = _peak_kilobytes(process_id), _peak_kilobytes("self")
    return Row(
        "Peak resident memory of H2O",
        f"{kilobytes / 1024:.0f} MB",
        f"the process with pandas and scikit-learn: {own / 1024:.0f} MB",
        kilobytes / own,
        "after all training runs; Linux only",
    )


def _peak_kilobytes(process_id: str) -> int:
    lines = Path("/proc", process_id, "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def _scanned(progress: Progress, clients: Any, outputs: dict[str, str]) -> Iterator[Row]:
    from assets.analytics_host.billboard import PARQUET_TABLE
    from assets.analytics_host.billboard.athena import Athena

    athena = Athena(clients, outputs["WorkGroupName"], outputs["DatabaseName"])
    athena.convert()
    for name in progress.track(sorted(athena.statements()), description="bytes scanned"):
        before, after = athena.named(name).scanned_bytes, athena.named(name, PARQUET_TABLE).scanned_bytes
        query = name.replace("_", " ")
        yield Row(
            f"Bytes scanned: {query}",
            f"{after:,}",
            f"same query on CSV: {before:,}",
            after / before,
            "Parquet, gzip",
        )
