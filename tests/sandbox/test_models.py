"""Facts about the models, trained with the H2O that runs on the sandbox's host."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assets.analytics_host.billboard import figures, models, report, songs
from assets.analytics_host.host.idle import PORTS
from sandbox import Sandbox
from sandbox.target import target_of
from walkthroughs.analytics_host import connected_to_h2o
from walkthroughs.forwarding import forwarded

from ..conftest import ROOT

pytestmark = pytest.mark.enable_socket
MADE_UP = ROOT / "assets" / "analytics_host" / "songs.csv"
REAL = Path(os.environ.get("SONGS") or ROOT.parent / "shared" / "data" / "billboard" / "songs.csv")
WITH_REAL = pytest.mark.skipif(
    not REAL.is_file(), reason="no songs file: SONGS=path, or ../shared/data/billboard/songs.csv"
)
BY_HAND = pytest.mark.skipif("SONGS" not in os.environ, reason="takes ten minutes: SONGS=path make test")


@pytest.fixture(scope="module", autouse=True)
def h2o_of_the_host(sandbox_with_options: Sandbox) -> Iterator[None]:
    target = target_of(sandbox_with_options)
    outputs = target.outputs("AnalyticsHost")
    login = models.login(outputs["SecretArn"], target.session)
    with forwarded(target, outputs["InstanceId"], PORTS["H2O"]) as port, connected_to_h2o(port, login):
        yield


@pytest.fixture(scope="module")
def small() -> dict[str, models.Trained]:
    training, test = songs.split(songs.read(MADE_UP))
    return {trained.model.name: trained for trained in models.train(models.SMALL, training, test)}


def test_models_are_those_of_the_post() -> None:
    assert [model.name for model in models.ALL] == list(figures.PUBLISHED)
    assert [model.name for model in models.SMALL] == list(figures.PUBLISHED)
    assert [len(model.features) for model in models.LINEAR] == [33, 32, 32]
    assert "loudness" not in models.LINEAR[1].features
    assert "energy" not in models.LINEAR[2].features


def test_every_song_of_the_test_year_gets_a_probability_and_is_counted_once(small: dict[str, models.Trained]) -> None:
    _, test = songs.split(songs.read(MADE_UP))
    for trained in small.values():
        assert len(trained.probability) == len(test)
        assert sum(map(sum, trained.confusion)) == len(test)
        assert sum(trained.confusion[1]) == test["top10"].sum(), "the second row is not of the hits"
        assert 0.5 < trained.auc <= 1
        assert set(trained.importance) <= set(trained.model.features)


def test_linear_models_find_what_the_made_up_songs_have(small: dict[str, models.Trained]) -> None:
    """Loudness is what makes them hits; scikit-learn finds the same."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    training, test = songs.split(songs.read(MADE_UP))
    peer = make_pipeline(StandardScaler(), LogisticRegression(C=10, max_iter=1000))
    peer.fit(training[songs.FEATURES], training["top10"])
    expected = roc_auc_score(test["top10"], peer.predict_proba(test[songs.FEATURES])[:, 1])
    first = small["GLM 1: all features"]
    assert first.auc == pytest.approx(expected, abs=0.03)
    assert max(first.importance, key=lambda name: first.importance[name]) == "loudness"


def test_reproducible_deep_learning_is_the_same_twice(small: dict[str, models.Trained]) -> None:
    training, test = songs.split(songs.read(MADE_UP))
    (again,) = models.train(models.SMALL[-1:], training, test)
    first = small["deep learning"]
    assert again.model.parameters["reproducible"] is True
    assert (again.auc, again.confusion, again.probability) == (first.auc, first.confusion, first.probability)


def test_progress_is_told_from_nothing_to_all() -> None:
    training, test = songs.split(songs.read(MADE_UP))
    told: list[tuple[str, float]] = []
    models.train(models.SMALL[:1], training, test, lambda name, done: told.append((name, done)))
    assert {name for name, _ in told} == {"GLM 1: all features"}
    assert [done for _, done in told] == sorted(done for _, done in told)
    assert told[-1][1] == 1


def test_nothing_is_left_in_h2o(small: dict[str, models.Trained]) -> None:
    import h2o

    assert small
    assert h2o.api("GET /3/Models")["models"] == []
    assert h2o.api("GET /3/Frames")["frames"] == []


@pytest.mark.reliability(
    "analytics_host",
    "Hostile input",
    fault="songs with markup in their names",
    expected="shown as text",
    observed="escaped",
)
def test_report_escapes_what_songs_are_called(small: dict[str, models.Trained], tmp_path: Path) -> None:
    found = songs.read(MADE_UP)
    training, test = songs.split(found.assign(songtitle="<script>alert(1)</script>"))
    assert len(training)
    analysis = report.Analysis("<b>", found, test, {"Is 1 < 2?": test.head(1)}, list(small.values()), published=False)
    report.write(analysis, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert text.count('<img alt="') == 4


@pytest.fixture(scope="module")
def published() -> dict[str, models.Trained]:
    songs.verify(REAL)
    training, test = songs.split(songs.read(REAL))
    return {trained.model.name: trained for trained in models.train((*models.LINEAR, models.BOOSTED), training, test)}


@WITH_REAL
@pytest.mark.parametrize("name", [model.name for model in (*models.LINEAR, models.BOOSTED)])
def test_published_figures_come_out_to_the_digits(published: dict[str, models.Trained], name: str) -> None:
    known, trained = figures.PUBLISHED[name], published[name]
    assert (round(trained.auc, 7), trained.confusion) == (known.auc, known.confusion)
    assert known.agrees(trained)


@WITH_REAL
def test_known_facts_of_the_real_songs() -> None:
    training, test = songs.split(songs.read(REAL))
    assert (len(training), len(test), int(test["top10"].sum())) == (7201, 373, 59)
    assert round(training["loudness"].corr(training["energy"]), 7) == 0.7399067


@WITH_REAL
@BY_HAND
def test_deep_learning_is_in_the_published_range() -> None:
    training, test = songs.split(songs.read(REAL))
    (trained,) = models.train([models.DEEP], training, test)
    assert figures.PUBLISHED["deep learning"].agrees(trained), trained.auc


def test_other_figures_do_not_count_as_published(small: dict[str, models.Trained]) -> None:
    table: Any = figures.table(list(small.values()), published=True)
    assert list(table["as published"][:4]) == ["no"] * 4
