"""Tests of the report that need no trained models."""

from assets.analytics_host.billboard import plots, report
from assets.analytics_host.billboard.songs import read, split

from ..conftest import ROOT

SYNTHETIC = ROOT / "assets" / "analytics_host" / "songs.csv"


def test_report_correlation_uses_training_years() -> None:
    songs = read(SYNTHETIC)
    training, _ = split(songs)
    text = report.correlation(training)
    assert f"{training['loudness'].corr(training['energy']):.4f} over the 900 songs of 1990 to 2009" in text
    assert f"{songs['loudness'].corr(songs['energy']):.4f}" not in text, "the test year is included"
    assert plots.correlation(training).axes[0].get_title() == "Correlation of features, songs of 1990 to 2009"
