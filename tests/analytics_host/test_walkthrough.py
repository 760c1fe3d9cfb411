"""Tests of walkthrough steps that are skipped."""

from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from assets.analytics_host.billboard.home import KEPT_ARCHIVES, SavedFiles
from walkthroughs.analytics_host import AnalyticsHostWalkthrough
from walkthroughs.walkthrough import SkipStep


@pytest.mark.needs("h2o", "pandas")
@pytest.mark.parametrize(
    "step", ["metrics_are_compared", "hits_are_predicted", "report_is_written", "report_opens_in_browser"]
)
def test_step_without_trained_models_is_skipped(step: str) -> None:
    """Training needs the Session Manager plugin to reach H2O."""
    target: Any = SimpleNamespace(songs_file=None)
    walkthrough = AnalyticsHostWalkthrough(target)
    walkthrough.results = []
    with pytest.raises(SkipStep, match="no models were trained"):
        getattr(walkthrough, step)()


@pytest.mark.needs("h2o", "pandas")
def test_drop_of_a_table_is_skipped_without_the_hosts_role() -> None:
    """With the caller's permissions, it would drop the table."""
    target: Any = SimpleNamespace(instance_session=None)
    with pytest.raises(SkipStep, match="instead of the host's"):
        AnalyticsHostWalkthrough(target).table_of_the_stack_is_not_dropped()


def test_save_is_skipped_if_it_would_delete_an_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    """A data bucket keeps ten archives; those of the host's users stay."""
    walkthrough = AnalyticsHostWalkthrough(SimpleNamespace())  # type: ignore[arg-type]
    walkthrough.user, walkthrough.outputs = boto3.Session(), {"DataBucketName": "data"}
    monkeypatch.setattr(SavedFiles, "archives", lambda _files: ["saved/archive.tar.gz"] * KEPT_ARCHIVES)
    with pytest.raises(SkipStep, match="would delete the oldest archive"):
        walkthrough.home_is_saved_and_restored()
