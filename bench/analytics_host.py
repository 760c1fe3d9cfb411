"""What a user of the analytics host waits for: boot steps, queries, training; and the bytes that Athena scans.

H2O runs with two threads, started from the host's unit file. Uses the synthetic songs, or the original file with
``SONGS=path``. Boot steps are those of the sandbox's host, or of the boot log in ``BOOT_LOG=path``.
"""

import os
import re
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.progress import Progress

from assets.analytics_host.host.idle import PORTS
from sandbox import Sandbox
from sandbox.process import ROOT
from sandbox.target import session, target_of
from walkthroughs.analytics_host import h2o_connection
from walkthroughs.forwarding import forwarded_port

from . import h2o_training
from .report import Row, Section
from .timing import in_turn

ASSETS = ROOT / "assets" / "analytics_host"
ROUNDS = 3
STACK = "AnalyticsHost"
BOOT_STEP = re.compile(r"(?P<time>\S+Z) == (?P<step>\w+)")
NOTES = (
    "Boot: seconds between the lines of the boot log. On AWS, an instance also needs time to start, and the steps `r` "
    "and `rstudio` download from CRAN and Posit.",
    "Queries: from the call until the rows are a data frame. Athena's own time is not included: the sandbox runs "
    "queries with DuckDB, and polls every 0.2 s. PyAthena's default cursor calls GetQueryResults for every 1,000 rows; "
    "`PandasCursor` reads the result file from S3.",
    "Training: H2O has two threads; scikit-learn uses as many as it supports. Songs x10, x100: copies with noise. "
    "H2O's time includes REST calls and polling every 0.2 s, which dominate for training of less than a second. "
    "Parameters are as similar as possible; the models are not identical, and not cross-validated. **A ratio below 1 "
    f"means that H2O is faster.** A model whose training took more than {h2o_training.LIMIT_SECONDS} s with a tenth "
    "of the songs is not trained.",
    "Bytes scanned are counted by the sandbox's Athena: whole objects of a CSV table, and the compressed chunks of "
    "the queried columns of a Parquet table. Athena bills at least 10 MB per query, so Parquet is not cheaper with "
    "this few songs; the ratio applies to larger tables.",
)


def measure(progress: Progress) -> Section:
    """Deploy the stack to a sandbox, run queries and train models."""
    from assets.analytics_host.billboard import models, songs

    original = os.environ.get("SONGS")
    path = Path(original or ASSETS / "songs.csv")
    with Sandbox() as sandbox:
        task = progress.add_task("deploying to the sandbox", total=1)
        sandbox.bootstrap()
        outputs = sandbox.deploy(STACK)[STACK]
        progress.update(task, completed=1)
        clients = session(sandbox)
        bucket, _, prefix = outputs["SongsLocation"].removeprefix("s3://").partition("/")
        clients.client("s3").upload_file(str(path), bucket, f"{prefix}songs.csv")
        rows = [*_boot(clients, outputs["LogGroupName"]), *_queries(progress, clients, outputs)]
        login = models.login(outputs["SecretArn"], clients)
        with (
            forwarded_port(target_of(sandbox), outputs["InstanceId"], PORTS["H2O"]) as port,
            h2o_connection(port, login),
        ):
            training, test = songs.split(songs.read(path))
            process = (sandbox.directory / "instances" / outputs["InstanceId"] / "run/h2o.service.pid").read_text()
            rows += h2o_training.compare(progress, training, test, process)
            if original:
                rows += h2o_training.original_models(progress, training, test)
        rows += _scanned(progress, clients, outputs)
    return Section("analytics_host", tuple(rows), NOTES)


def _boot(clients: Any, log_group: str) -> Iterator[Row]:
    file = os.environ.get("BOOT_LOG")
    if file:
        lines, conditions = Path(file).read_text().splitlines(), f"boot log {Path(file).name}"
    else:
        pages = clients.client("logs").get_paginator("filter_log_events").paginate(logGroupName=log_group)
        lines = [event["message"] for page in pages for event in page["events"]]
        conditions = "the sandbox's host, which has no packages to install"
    for step, seconds in boot_steps(lines):
        yield Row(f"Boot: {step}", f"{seconds:.0f} s", "", None, conditions)


def boot_steps(lines: Iterable[str]) -> Iterator[tuple[str, float]]:
    """Yield the steps of a boot log, with the seconds until the next step starts."""
    starts = [
        (match["step"], datetime.fromisoformat(match["time"])) for line in lines if (match := BOOT_STEP.fullmatch(line))
    ]
    for (step, started), (_, ended) in pairwise(starts):
        if step != "end":  # between the steps of a log that was written step by step
            yield step, (ended - started).total_seconds()


def _queries(progress: Progress, clients: Any, outputs: dict[str, str]) -> Iterator[Row]:
    """Measure a query that returns every song, with each of PyAthena's cursors that the host has."""
    from pyathena.pandas.cursor import PandasCursor

    from assets.analytics_host.billboard.athena import POLL_SECONDS, Athena

    athena = Athena(clients, outputs["WorkGroupName"], outputs["DatabaseName"])
    statement = athena.statements()["all_songs"]
    sizes: list[int] = []

    def run(read: Any) -> float:
        started = time.perf_counter()
        sizes.append(len(read()))
        return time.perf_counter() - started

    def with_pandas() -> Any:
        from pyathena import connect

        options = {"work_group": athena.work_group, "schema_name": athena.database, "session": clients}
        with connect(**options, poll_interval=POLL_SECONDS, cursor_class=PandasCursor) as connection:
            return connection.cursor().execute(statement).as_pandas()

    reads = {"Cursor": lambda: athena.query(statement).rows, "PandasCursor": with_pandas}
    rounds = in_turn(
        progress, "query to data frame", ROUNDS, {name: partial(run, read) for name, read in reads.items()}
    )
    (songs,) = set(sizes)
    yield Row(
        "Query to data frame: all songs, PandasCursor",
        f"{rounds.median('PandasCursor'):.2f} s",
        f"PyAthena's default cursor, as in the notebook: {rounds.median('Cursor'):.2f} s",
        rounds.ratio("PandasCursor", "Cursor"),
        f"{songs:,} rows, 39 columns; {ROUNDS} rounds; sandbox",
    )


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
