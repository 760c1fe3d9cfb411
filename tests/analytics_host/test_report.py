"""Facts about the report's claims, which need no trained models."""

from assets.analytics_host.billboard import plots, report
from assets.analytics_host.billboard.songs import read, split

from ..conftest import ROOT

MADE_UP = ROOT / "assets" / "analytics_host" / "songs.csv"


def test_correlation_is_of_the_training_years_and_names_them() -> None:
    songs = read(MADE_UP)
    training, _ = split(songs)
    said = report.correlation(training)
    assert f"{training['loudness'].corr(training['energy']):.4f} over the 900 songs of 1990 to 2009" in said
    assert f"{songs['loudness'].corr(songs['energy']):.4f}" not in said, "the test year would make no difference here"
    assert plots.correlation(training).axes[0].get_title() == "Correlation of features, songs of 1990 to 2009"
