"""Songs go up, Athena answers the post's questions, H2O predicts the Top 10 hits.

With the songs file of the published figures (`Target.songs`) all models are trained as in the
post; without, made-up songs and small models. Songs that are there already are used as they are.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import cached_property
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import urllib3
from botocore.exceptions import ClientError

from assets.analytics_host.host.idle import PORTS

from .browser import browser
from .forwarding import forwarded
from .walkthrough import PreconditionError, RestoringWalkthrough, SkipStep, Target, step

SAMPLES = Path(__file__).parents[1] / "assets" / "analytics_host"
NOTEBOOK_SECONDS = 1800
AGENT_SECONDS = 120  # until the agent of a host that has just been started is connected


class AnalyticsHostWalkthrough(RestoringWalkthrough):
    """The post's walkthrough: upload, query, train, compare, predict, report."""

    stacks = ("AnalyticsHost",)

    def _prepare(self) -> None:
        from assets.analytics_host.billboard import songs
        from assets.analytics_host.billboard.athena import Athena

        if self.target.songs:
            songs.verify(self.target.songs)
        self.outputs = self.target.outputs("AnalyticsHost")
        preconditions(self.target, self.outputs)
        self.file: Path | None = self.target.songs or SAMPLES / "songs.csv"  # None when other songs are there
        self.kind = "the file of the published figures" if self.target.songs else "made-up songs"
        self.athena = Athena(self.target.session, self.outputs["WorkGroupName"], self.outputs["DatabaseName"])
        self.results: list[Any] = []
        self.answers: dict[str, Any] = {}

    @step
    def host_says_that_it_is_healthy(self) -> str:
        """Look at the boot log in CloudWatch Logs."""
        pages = self.target.client("logs").get_paginator("filter_log_events")
        found = pages.paginate(logGroupName=self.outputs["LogGroupName"])
        lines = [event["message"] for page in found for event in page["events"]]
        if not lines:
            raise SkipStep("the boot log has expired, after 30 days")
        assert any(line.endswith("== healthy") for line in lines), f"the boot log does not say so: {lines[-3:]}"
        _, password = self._login()
        assert not any(password in line for line in lines), "the password is in the boot log"
        said = [line for line in lines if line.startswith(("H2O:", "Athena:"))]
        return f"{len(lines)} lines; {'; '.join(said)}"

    @step
    def nothing_is_open(self) -> str:
        """Look for open ports, and ask H2O without the password."""
        ec2 = self.target.client("ec2")
        reservations = ec2.describe_instances(InstanceIds=[self.outputs["InstanceId"]])["Reservations"]
        (instance,) = (found for reservation in reservations for found in reservation["Instances"])
        groups = [group["GroupId"] for group in instance["SecurityGroups"]]
        rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": groups}])
        asked_for = {443} if "Url" in self.outputs else set()  # allowed_cidr
        inbound = [rule for rule in rules["SecurityGroupRules"] if not rule["IsEgress"]]
        assert {rule["FromPort"] for rule in inbound} == asked_for, f"open: {inbound}"
        status = self.target.wait_until(self._status_for_a_stranger, "H2O answers")
        assert status == 401, f"H2O answers {status} to a stranger"
        return f"{len(inbound)} inbound rules; H2O answers 401 without the password"

    @step
    def songs_are_uploaded(self) -> str:
        """Upload the songs, if none are there."""
        bucket, _, prefix = self.outputs["SongsLocation"].removeprefix("s3://").partition("/")
        s3 = self.target.client("s3")
        found = objects_at(self.target, self.outputs["SongsLocation"])
        if found:
            self.file = None
            self.kind = self.kind if self.target.songs else "songs that were there"
            return f"{found} objects are there already, and are used"
        assert self.file
        key = f"{prefix}songs.csv"
        self.cleanup.callback(s3.delete_object, Bucket=bucket, Key=key)
        s3.upload_file(str(self.file), bucket, key)
        return f"{self.file.stat().st_size:,} bytes, {self.kind}"

    @step
    def janet_jackson(self) -> str:
        """Which Top 10 hits has Janet Jackson."""
        rows = self._ask("top_10_of_janet_jackson")
        self._compare(
            sorted((int(row.year), row.songtitle) for row in rows.itertuples()),
            lambda songs: sorted(
                (int(song["year"]), song["songtitle"])
                for song in songs
                if song["artistname"].lower() == "janet jackson" and song["top10"] == "1"
            ),
        )
        titles = ", ".join(rows["songtitle"][:3])
        return f"{len(rows)}: {titles}, ..."

    @step
    def songs_in_2010(self) -> str:
        """How many songs are of 2010."""
        counted = {int(row.top10): int(row.songs) for row in self._ask("songs_in_2010").itertuples()}
        self._compare(
            counted, lambda songs: dict(Counter(int(song["top10"]) for song in songs if song["year"] == "2010"))
        )
        return f"{sum(counted.values())}: {counted[1]} in the Top 10, {counted[0]} not"

    @step
    def time_signatures(self) -> str:
        """How many songs have which time signature."""
        counted = {int(row.timesignature): int(row.songs) for row in self._ask("time_signatures").itertuples()}
        self._compare(counted, lambda songs: dict(Counter(int(song["timesignature"]) for song in songs)))
        return ", ".join(f"{signature}: {count:,}" for signature, count in counted.items())

    @step
    def fastest_song(self) -> str:
        """Which song is the fastest."""
        (fastest,) = self._ask("fastest_song").itertuples()
        self._compare(fastest.tempo, lambda songs: max(float(song["tempo"]) for song in songs))
        return f"{fastest.artistname}: {fastest.songtitle} ({fastest.year}), {fastest.tempo}"

    @step
    def workgroup_wins_over_the_client(self) -> str:
        """Ask Athena to write a result elsewhere."""
        client, name = self.target.client("athena"), self.outputs["WorkGroupName"]
        rules = client.get_work_group(WorkGroup=name)["WorkGroup"]["Configuration"]["ResultConfiguration"]
        started = client.start_query_execution(
            QueryString="SELECT 1",
            WorkGroup=name,
            ResultConfiguration={"OutputLocation": f"s3://{self.outputs['DataBucketName']}/elsewhere/"},
        )
        found = client.get_query_execution(QueryExecutionId=started["QueryExecutionId"])["QueryExecution"]
        location = found["ResultConfiguration"]["OutputLocation"]
        assert location.startswith(rules["OutputLocation"]), f"the client had its way: {location}"
        return "the result goes to the workgroup's bucket all the same"

    @step
    def parquet_reads_less(self) -> str:
        """Convert the songs to Parquet, and ask the same again."""
        if "ParquetLocation" not in self.outputs:
            raise SkipStep("analytics_host:parquet is false")
        bucket, _, prefix = self.outputs["ParquetLocation"].removeprefix("s3://").partition("/")
        objects = self.target.session.resource("s3").Bucket(bucket).objects.filter(Prefix=prefix)
        if not list(objects.limit(1)):
            self.cleanup.callback(objects.delete)
        self.athena.convert()
        before, after = 0, 0
        for name, answer in self.answers.items():
            again = self.athena.named(name, "billboard_parquet")
            assert again.rows.equals(answer.rows), f"{name}: other rows from Parquet:\n{again.rows}"
            before, after = before + answer.scanned_bytes, after + again.scanned_bytes
        assert after < before, f"{after:,} bytes instead of {before:,}"
        return f"the four questions read {after:,} bytes instead of {before:,}; the same rows"

    @step
    def models_are_trained(self) -> str:
        """Train GLM 1 to 3, GBM and deep learning."""
        from assets.analytics_host.billboard import models, songs

        self.cleanup.enter_context(connected_to_h2o(self._h2o_port, self._login()))
        self.songs = self.athena.songs()
        self.training, self.test = songs.split(self.songs)
        chosen = models.ALL if self.target.songs else models.SMALL
        self.results = models.train(
            chosen, self.training, self.test, lambda name, done: self.target.progress(f"{name}: {done:.0%}")
        )
        self.target.progress("")
        seconds = ", ".join(f"{trained.model.name.split(':')[0]} {trained.seconds:.1f} s" for trained in self.results)
        return f"{len(self.training):,} songs to train with, {len(self.test)} to test; {seconds}"

    @step
    def figures_are_compared(self) -> str:
        """Compare the models, with the published figures if these are about the same songs."""
        from assets.analytics_host.billboard import figures

        table = figures.table(self._trained(), published=bool(self.target.songs))
        if self.target.songs:
            others = table[table["as published"] == "no"]
            assert others.empty, f"not as published:\n{others.to_string()}"
        assert (table["AUC"] > 0.5).all(), f"no better than chance:\n{table.to_string()}"
        as_published = "; all as published" if self.target.songs else ""
        figures_of = (f"{name.split(':')[0]} {auc:.7f}" for name, auc in zip(table["model"], table["AUC"], strict=True))
        return f"AUC: {', '.join(figures_of)}{as_published}"

    @step
    def hits_are_predicted(self) -> str:
        """Ask the best model for the hits of 2010."""
        from assets.analytics_host.billboard import models

        best = max(self._trained(), key=lambda trained: trained.auc)
        likely = models.top(best, self.test)
        assert likely["probability"].between(0, 1).all()
        share = likely["hit"].mean() / (self.test["top10"].mean())
        assert share > 1, f"the ten likeliest songs are hits no more often than any:\n{likely.to_string()}"
        first = likely.iloc[0]
        return (
            f"{best.model.name}: {int(likely['hit'].sum())} of the ten likeliest are hits; "
            f"first {first['songtitle']} by {first['artistname']}"
        )

    @step
    def notebook_runs(self) -> str:
        """Run the Python notebook from end to end, with small models."""
        import nbformat
        from jupyter_client.manager import AsyncKernelManager
        from nbclient import NotebookClient

        notebook = nbformat.read(SAMPLES / "notebooks" / "billboard.ipynb", as_version=4)
        environment = {
            "BILLBOARD_WORK_GROUP": self.outputs["WorkGroupName"],
            "BILLBOARD_DATABASE": self.outputs["DatabaseName"],
            "BILLBOARD_SECRET": self.outputs["SecretArn"],
            "BILLBOARD_MODELS": "small",
            "H2O_URL": f"http://127.0.0.1:{self._h2o_port}",
            "PYTHONPATH": str(SAMPLES),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        with TemporaryDirectory() as folder:  # the kernel listens on sockets in it, not on ports
            kernel = AsyncKernelManager(transport="ipc", ip=f"{folder}/kernel")
            client = NotebookClient(notebook, km=kernel, timeout=NOTEBOOK_SECONDS)
            client.execute(cleanup_kc=True, env=dict(self.target.environment) | environment)
        outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
        pictures = sum("image/png" in output.get("data", {}) for output in outputs)
        assert pictures == 4, f"{pictures} plots, not 4"
        nbformat.write(notebook, self._reports() / "billboard.ipynb")
        return f"{len(notebook.cells)} cells, {pictures} plots; {self._reports() / 'billboard.ipynb'}"

    @step
    def report_is_written(self) -> str:
        """Write figures and plots to an HTML report."""
        from assets.analytics_host.billboard import report

        results = self._trained()
        questions = {name.replace("_", " ").capitalize(): answer.rows for name, answer in self.answers.items()}
        path = self._reports() / "report.html"
        published = bool(self.target.songs)
        source = self.kind.capitalize() + ("" if published else ", so the figures are not the published ones")
        report.write(report.Analysis(source, self.songs, self.test, questions, results, published), path)
        text = path.read_text()
        assert text.count("data:image/png") == 4
        for trained in results:
            assert trained.model.name in text, f"{trained.model.name} is not in the report"
        return f"{path.stat().st_size:,} bytes: {path}"

    @step
    def report_is_seen(self) -> str:
        """Open the report in a browser."""
        self._trained()  # or the report is not of this walkthrough
        with browser(self.target, width=1000, height=1400) as driver:
            driver.get((self._reports() / "report.html").as_uri())
            broken = driver.execute_script("return [...document.images].filter(image => !image.naturalWidth).length")
            assert broken == 0, f"{broken} plots do not show"
            rows = driver.find_elements("css selector", "tbody tr")
            if self.target.pictures:
                driver.execute_script("document.querySelectorAll('h2')[2].scrollIntoView()")
                driver.save_screenshot(str(self.target.pictures / "analytics_host.png"))
            return f'"{driver.title}", all plots show; {len(rows)} rows in its tables'

    def _status_for_a_stranger(self) -> int | None:
        """What H2O answers without a password; None while it starts, as after the start of its host."""
        try:
            return urllib3.request("GET", f"http://127.0.0.1:{self._h2o_port}/3/Cloud", retries=False).status
        except urllib3.exceptions.HTTPError:
            return None

    @cached_property
    def _h2o_port(self) -> int:
        return self.cleanup.enter_context(forwarded(self.target, self.outputs["InstanceId"], PORTS["H2O"]))

    def _login(self) -> tuple[str, str]:
        from assets.analytics_host.billboard import models

        return models.login(self.outputs["SecretArn"], self.target.session)

    def _trained(self) -> list[Any]:
        if not self.results:
            raise SkipStep("no models were trained")
        return self.results

    def _ask(self, name: str) -> Any:
        self.answers[name] = self.athena.named(name)
        return self.answers[name].rows

    def _compare(self, answered: Any, expected: Any) -> None:
        """Athena's answer against the file itself, where the file is known."""
        from assets.analytics_host.billboard import opencsv

        if self.file:
            names, rows = opencsv.read(self.file)
            songs = [dict(zip(names, row, strict=True)) for row in rows]
            assert answered == expected(songs), f"Athena says {answered}, the file {expected(songs)}"

    def _reports(self) -> Path:
        self.target.reports.mkdir(parents=True, exist_ok=True)
        return self.target.reports


def preconditions(target: Target, outputs: dict[str, str]) -> None:
    """Check everything that the steps need, and change nothing.

    Raises:
        PreconditionError: the host does not run or is not connected, the table is gone, or there are no songs where
            `data_location` says.
    """
    instance_id = outputs["InstanceId"]
    (reservation,) = target.client("ec2").describe_instances(InstanceIds=[instance_id])["Reservations"]
    state = reservation["Instances"][0]["State"]["Name"]
    if state != "running":
        raise PreconditionError(f"the host {instance_id} is {state}; start it: {outputs['StartCommand']}")
    if not target.instances:
        _connected_to_session_manager(target, instance_id)
    database = outputs["DatabaseName"]
    try:
        target.client("glue").get_table(DatabaseName=database, Name="billboard")
    except ClientError as error:
        if error.response["Error"]["Code"] != "EntityNotFoundException":
            raise
        raise PreconditionError(
            f"Glue has no table {database}.billboard; remove the stack, and deploy it again"
        ) from None
    location = outputs["SongsLocation"]
    if not location.startswith(f"s3://{outputs['DataBucketName']}/") and not objects_at(target, location):
        raise PreconditionError(
            f"there are no songs at {location} (analytics_host:data_location); upload them: the walkthrough writes to "
            "the stack's own bucket only"
        )


def _connected_to_session_manager(target: Target, instance_id: str) -> None:
    """Wait until the agent of a host, which may have been started just now, is connected."""
    filters = [{"Key": "InstanceIds", "Values": [instance_id]}]

    def online() -> bool:
        found = target.client("ssm").describe_instance_information(Filters=filters)["InstanceInformationList"]
        return any(instance["PingStatus"] == "Online" for instance in found)

    try:
        target.wait_until(online, "", seconds=min(target.timeout_seconds, AGENT_SECONDS))
    except AssertionError:
        raise PreconditionError(
            f"the agent of {instance_id} is not connected with Session Manager after {AGENT_SECONDS} s; "
            "does its subnet reach the internet?"
        ) from None


def objects_at(target: Target, location: str) -> int:
    """The number of objects at an S3 location; 1,000 at most."""
    bucket, _, prefix = location.removeprefix("s3://").partition("/")
    return len(target.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", []))


@contextmanager
def connected_to_h2o(port: int, login: tuple[str, str]) -> Iterator[None]:
    """H2O's client is connected to `port` on 127.0.0.1."""
    import h2o

    from assets.analytics_host.billboard import models

    with redirect_stdout(StringIO()):  # that a newer version of H2O may exist
        models.connect_to_h2o(f"http://127.0.0.1:{port}", login)
    try:
        yield
    finally:
        with redirect_stdout(StringIO()):
            h2o.connection().close()
