"""Upload the songs, run the original post's queries with Athena, and predict Top 10 hits with H2O.

With the original songs file (`Target.songs_file`), the models are trained as in the original post. By default, small
models are trained with synthetic songs. Existing songs are used as they are.

In the sandbox, the queries and the notebook have the role of the host, where users run them. In an account, they have
the caller's permissions, because only programs on the host have its role.
"""

from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import cached_property
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import boto3
import urllib3

from assets.analytics_host.host.idle import PORTS

from .analytics_host_queries import ASSETS, QueriesWalkthrough
from .browser import browser
from .forwarding import forwarded_port
from .walkthrough import ROOT, SkipStep, Step

NOTEBOOK_SECONDS = 1800


class AnalyticsHostWalkthrough(QueriesWalkthrough):
    """Run the original post's analysis, from upload to report."""

    def _prepare(self) -> None:
        super()._prepare()
        self.results: list[Any] = []

    def boot_log_reports_healthy(self) -> str:
        paginator = self.target.client("logs").get_paginator("filter_log_events")
        pages = paginator.paginate(logGroupName=self.outputs["LogGroupName"])
        lines = [event["message"] for page in pages for event in page["events"]]
        if not lines:
            raise SkipStep("the boot log expired after 30 days")
        assert any(line.endswith("== healthy") for line in lines), f"the boot log does not report healthy: {lines[-3:]}"
        _, password = self._login()
        assert not any(password in line for line in lines), "the password is in the boot log"
        results = [line for line in lines if line.startswith(("H2O:", "Athena:"))]
        return f"{len(lines)} lines; {'; '.join(results)}"

    def no_port_is_open(self) -> str:
        ec2 = self.target.client("ec2")
        reservations = ec2.describe_instances(InstanceIds=[self.outputs["InstanceId"]])["Reservations"]
        (instance,) = reservations[0]["Instances"]
        groups = [group["GroupId"] for group in instance["SecurityGroups"]]
        rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": groups}])
        expected = {443} if "Url" in self.outputs else set()  # allowed_cidr
        inbound = [rule for rule in rules["SecurityGroupRules"] if not rule["IsEgress"]]
        assert {rule["FromPort"] for rule in inbound} == expected, f"unexpected inbound rules: {inbound}"
        status = self.target.wait_until(self._status_without_password, "H2O responds")
        assert status == 401, f"H2O returned {status} without the password, expected 401"
        return f"{len(inbound)} inbound rules; H2O returns 401 without the password"

    def models_are_trained(self) -> str:
        from assets.analytics_host.billboard import models, songs

        self.cleanup.enter_context(h2o_connection(self._h2o_port, self._login()))
        self.songs = self.athena.songs()
        self.training, self.test = songs.split(self.songs)
        selected = models.ALL if self.target.songs_file else models.SMALL
        self.results = models.train(
            selected,
            self.training,
            self.test,
            lambda name, progress: self.target.progress(f"{name}: {progress:.0%}"),
            self.target.reports / "models",
        )
        self.target.progress("")
        seconds = ", ".join(f"{trained.model.name.split(':')[0]} {trained.seconds:.1f} s" for trained in self.results)
        return f"{len(self.training):,} training songs, {len(self.test)} test songs; {seconds}"

    def metrics_are_compared(self) -> str:
        from assets.analytics_host.billboard import metrics

        table = metrics.table(self._trained(), published=bool(self.target.songs_file))
        if self.target.songs_file:
            different = table[table["matches published"] == "no"]
            assert different.empty, f"different from the published metrics:\n{different.to_string()}"
        assert (table["AUC"] > 0.5).all(), f"no better than random guesses:\n{table.to_string()}"
        suffix = "; all match the published metrics" if self.target.songs_file else ""
        aucs = (f"{name.split(':')[0]} {auc:.7f}" for name, auc in zip(table["model"], table["AUC"], strict=True))
        return f"AUC: {', '.join(aucs)}{suffix}"

    def hits_are_predicted(self) -> str:
        from assets.analytics_host.billboard import models

        best, validated = models.best_on_test(self._trained()), models.chosen(self._trained())
        assert validated.validation
        likely = models.most_likely_hits(best, self.test)
        assert likely["probability"].between(0, 1).all()
        lift = likely["hit"].mean() / self.test["top10"].mean()
        assert lift > 1, f"the ten most likely songs are hits no more often than average:\n{likely.to_string()}"
        optimistic = models.predicted_hits(best, self.test, best.threshold)
        expected = models.predicted_hits(validated, self.test, validated.validation.threshold)
        return (
            f"{best.model.name}: {len(optimistic)} predicted, {optimistic['hit'].sum()} right; chosen by "
            f"cross-validation, {validated.model.name}: {len(expected)} predicted, {expected['hit'].sum()} right"
        )

    def model_is_loaded_again(self) -> str:
        from assets.analytics_host.billboard import models

        best = models.best_on_test(self._trained())
        again = models.predict(best.file or Path(), self.test)
        largest = max(abs(first - second) for first, second in zip(best.probability, again, strict=True))
        assert largest < 1e-6, f"a probability differs by {largest}"
        return f"{short_path(best.file or Path())}: the same {len(again)} probabilities"

    def notebook_runs(self) -> str:
        import nbformat
        from jupyter_client.manager import AsyncKernelManager
        from nbclient import NotebookClient

        notebook = nbformat.read(ASSETS / "notebooks" / "billboard.ipynb", as_version=4)
        environment = {
            "BILLBOARD_WORK_GROUP": self.outputs["WorkGroupName"],
            "BILLBOARD_DATABASE": self.outputs["DatabaseName"],
            "BILLBOARD_SECRET": self.outputs["SecretArn"],
            "BILLBOARD_MODELS": "small",
            "H2O_URL": f"http://127.0.0.1:{self._h2o_port}",
            "PYTHONPATH": str(ASSETS),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        if self.target.instance_session:
            environment |= _as_environment(self.user)
        with TemporaryDirectory() as folder:  # for its files, and sockets instead of ports
            kernel = AsyncKernelManager(transport="ipc", ip=f"{folder}/kernel")
            cwd = {"metadata": {"path": folder}}
            client = NotebookClient(notebook, km=kernel, timeout=NOTEBOOK_SECONDS, resources=cwd)
            client.execute(cleanup_kc=True, env=dict(self.target.environment) | environment)
        outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
        plots = sum("image/png" in output.get("data", {}) for output in outputs)
        assert plots == 4, f"{plots} plots, expected 4"
        nbformat.write(notebook, self._reports() / "billboard.ipynb")
        return f"{len(notebook.cells)} cells, {plots} plots; {short_path(self._reports() / 'billboard.ipynb')}"

    def home_is_saved_and_restored(self) -> str:
        from assets.analytics_host.billboard.home import KEPT_ARCHIVES, SavedFiles

        saved_files = SavedFiles(self.user, self.outputs["DataBucketName"])
        if len(saved_files.archives()) >= KEPT_ARCHIVES:
            raise SkipStep("saving would delete the oldest archive in the data bucket")
        with TemporaryDirectory() as folder:  # in the place of the home directories of two hosts
            home, other_home = Path(folder, "home"), Path(folder, "other")
            for path in (home / "notebooks", other_home):
                path.mkdir(parents=True)
            (home / "notebooks/mine.txt").write_text("work")
            saved = saved_files.save(home)
            bucket, _, key = saved.location.removeprefix("s3://").partition("/")
            self.cleanup.callback(self.target.client("s3").delete_object, Bucket=bucket, Key=key)
            text = (saved_files.restore(other_home, saved.location) / "notebooks/mine.txt").read_text()
        assert text == "work", f"the restored file contains {text!r}"
        return f"{saved.files} file: {saved.location}"

    def report_is_written(self) -> str:
        from assets.analytics_host.billboard import report

        results = self._trained()
        questions = {name.replace("_", " ").capitalize(): result.rows for name, result in self.query_results.items()}
        path = self._reports() / "report.html"
        published = bool(self.target.songs_file)
        source = self.kind.capitalize() + ("" if published else "; not comparable with the published metrics")
        tables, statement = self.athena.tables(), self.athena.create_statement()
        analysis = report.Analysis(source, tables, statement, self.songs, self.test, questions, results, published)
        report.write(analysis, path)
        text = path.read_text()
        assert text.count("data:image/png") == 4
        assert "chosen by cross-validation" in text, "the predicted hits are not in the report"
        for trained in results:
            assert trained.model.name in text, f"{trained.model.name} is not in the report"
        return f"{path.stat().st_size:,} bytes: {short_path(path)}"

    def report_opens_in_browser(self) -> str:
        self._trained()  # otherwise the report could be from an earlier walkthrough
        with browser(self.target, width=1000, height=1460) as driver:
            driver.get((self._reports() / "report.html").as_uri())
            broken = driver.execute_script("return [...document.images].filter(image => !image.naturalWidth).length")
            assert broken == 0, f"{broken} plots are broken"
            rows = driver.find_elements("css selector", "tbody tr")
            if self.target.pictures_folder:
                heading = driver.find_element("xpath", "//h2[. = 'Model comparison']")
                driver.execute_script("arguments[0].scrollIntoView()", heading)
                driver.save_screenshot(str(self.target.pictures_folder / "analytics_host.png"))
            return f'"{driver.title}" with all plots and {len(rows)} table rows'

    steps = (
        Step("Read the boot log in CloudWatch Logs", boot_log_reports_healthy),
        Step("Check the security group, and call H2O without the password", no_port_is_open),
        *QueriesWalkthrough.steps,
        Step("Train GLM 1 to 3, GBM and deep learning", models_are_trained),
        Step(
            "Compare the models with each other, and with the published metrics if the songs are the original ones",
            metrics_are_compared,
        ),
        Step("Predict the hits of 2010 with the best model", hits_are_predicted),
        Step("Load the best model from its file, and predict again", model_is_loaded_again),
        Step("Run the Python notebook with small models", notebook_runs),
        Step("Save files to the data bucket, and restore them in another folder", home_is_saved_and_restored),
        Step("Write results and plots to an HTML report", report_is_written),
        Step("Open the report in a browser", report_opens_in_browser),
    )

    def _status_without_password(self) -> int | None:
        """Return H2O's status code without a password; None while H2O starts."""
        try:
            return (
                urllib3.PoolManager().request("GET", f"http://127.0.0.1:{self._h2o_port}/3/Cloud", retries=False).status
            )
        except urllib3.exceptions.HTTPError:
            return None

    @cached_property
    def _h2o_port(self) -> int:
        return self.cleanup.enter_context(forwarded_port(self.target, self.outputs["InstanceId"], PORTS["H2O"]))

    def _login(self) -> tuple[str, str]:
        from assets.analytics_host.billboard import models

        return models.login(self.outputs["SecretArn"], self.user)

    def _trained(self) -> list[Any]:
        if not self.results:
            raise SkipStep("no models were trained")
        return self.results

    def _reports(self) -> Path:
        self.target.reports.mkdir(parents=True, exist_ok=True)
        return self.target.reports


def short_path(path: Path) -> Path:
    """Return a path below the project's folder relative to it, because the table would break the whole path."""
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def _as_environment(session: boto3.Session) -> dict[str, str]:
    credentials = session.get_credentials()
    assert credentials
    return {
        "AWS_ACCESS_KEY_ID": credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
        "AWS_SESSION_TOKEN": credentials.token or "",
    }


@contextmanager
def h2o_connection(port: int, login: tuple[str, str]) -> Iterator[None]:
    """Connect H2O's client to `port` on 127.0.0.1 until the context ends."""
    import h2o

    from assets.analytics_host.billboard import models

    with redirect_stdout(StringIO()):  # hides the notice about newer versions of H2O
        models.connect_to_h2o(f"http://127.0.0.1:{port}", login)
    try:
        yield
    finally:
        with redirect_stdout(StringIO()):
            h2o.connection().close()
