"""Tests of the models, trained with H2O on the sandbox's host."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assets.analytics_host.billboard import evaluation, metrics, models, report, songs
from assets.analytics_host.host.idle import PORTS
from sandbox import Sandbox
from sandbox.target import target_of
from walkthroughs.analytics_host import h2o_connection
from walkthroughs.forwarding import forwarded_port

from ..conftest import ROOT

pytestmark = pytest.mark.enable_socket
SYNTHETIC = ROOT / "assets" / "analytics_host" / "songs.csv"
ORIGINAL = Path(os.environ.get("SONGS") or ROOT.parent / "shared" / "data" / "billboard" / "songs.csv")
NEEDS_ORIGINAL = pytest.mark.skipif(
    not ORIGINAL.is_file(), reason="no songs file: SONGS=path, or ../shared/data/billboard/songs.csv"
)
SLOW = pytest.mark.skipif("SONGS" not in os.environ, reason="takes ten minutes: SONGS=path make test")


@pytest.fixture(scope="module", autouse=True)
def h2o_of_the_host(sandbox_with_options: Sandbox) -> Iterator[None]:
    target = target_of(sandbox_with_options)
    outputs = target.outputs("AnalyticsHost")
    login = models.login(outputs["SecretArn"], target.session)
    with forwarded_port(target, outputs["InstanceId"], PORTS["H2O"]) as port, h2o_connection(port, login):
        yield


@pytest.fixture(scope="module")
def small_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, models.TrainedModel]:
    training, test = songs.split(songs.read(SYNTHETIC))
    folder = tmp_path_factory.mktemp("models") / "new"
    return {trained.model.name: trained for trained in models.train(models.SMALL, training, test, folder=folder)}


def test_models_match_the_post() -> None:
    assert [model.name for model in models.ALL] == list(metrics.PUBLISHED)
    assert [model.name for model in models.SMALL] == list(metrics.PUBLISHED)
    assert [len(model.features) for model in models.LINEAR] == [33, 32, 32]
    assert "loudness" not in models.LINEAR[1].features
    assert "energy" not in models.LINEAR[2].features


def test_trained_model_rates_every_test_song_once(small_models: dict[str, models.TrainedModel]) -> None:
    _, test = songs.split(songs.read(SYNTHETIC))
    for trained in small_models.values():
        assert len(trained.probability) == len(test)
        assert sum(map(sum, trained.confusion)) == len(test)
        assert sum(trained.confusion[1]) == test["top10"].sum(), "the second row must have the hits"
        assert 0.5 < trained.auc <= 1
        assert set(trained.importance) <= set(trained.model.features)


def test_measures_are_numbers(small_models: dict[str, models.TrainedModel]) -> None:
    """H2O returns the AIC of models without deviance as the text NaN."""
    for trained in small_models.values():
        assert all(type(value) is float for value in trained.measures.values()), trained.measures


def test_songs_from_the_threshold_match_confusion_matrix(small_models: dict[str, models.TrainedModel]) -> None:
    """A difference in the last digit of a probability would lose the song at the threshold."""
    _, test = songs.split(songs.read(SYNTHETIC))
    for trained in small_models.values():
        assert evaluation.confusion_at(trained, test, trained.threshold) == trained.confusion, trained.model.name


def test_kept_model_predicts_the_same(small_models: dict[str, models.TrainedModel]) -> None:
    _, test = songs.split(songs.read(SYNTHETIC))
    for trained in small_models.values():
        assert trained.file
        assert models.predict(trained.file, test) == pytest.approx(trained.probability, abs=1e-6), trained.file


def test_linear_model_matches_scikit_learn(small_models: dict[str, models.TrainedModel]) -> None:
    """Loudness is the most important feature of the synthetic songs; scikit-learn has a similar AUC."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    training, test = songs.split(songs.read(SYNTHETIC))
    peer = make_pipeline(StandardScaler(), LogisticRegression(C=10, max_iter=1000))
    peer.fit(training[songs.FEATURES], training["top10"])
    expected = roc_auc_score(test["top10"], peer.predict_proba(test[songs.FEATURES])[:, 1])
    first = small_models["GLM 1: all features"]
    assert first.auc == pytest.approx(expected, abs=0.03)
    assert max(first.importance, key=lambda name: first.importance[name]) == "loudness"


def test_reproducible_deep_learning_repeats_its_result(small_models: dict[str, models.TrainedModel]) -> None:
    training, test = songs.split(songs.read(SYNTHETIC))
    (again,) = models.train(models.SMALL[-1:], training, test)
    first = small_models["deep learning"]
    assert again.model.parameters["reproducible"] is True
    assert (again.auc, again.confusion, again.probability) == (first.auc, first.confusion, first.probability)


def test_train_reports_progress_up_to_1() -> None:
    training, test = songs.split(songs.read(SYNTHETIC))
    reports: list[tuple[str, float]] = []
    models.train(models.SMALL[:1], training, test, lambda name, progress: reports.append((name, progress)))
    assert {name for name, _ in reports} == {"GLM 1: all features"}
    assert [progress for _, progress in reports] == sorted(progress for _, progress in reports)
    assert reports[-1][1] == 1


def test_train_removes_its_models_and_frames(small_models: dict[str, models.TrainedModel]) -> None:
    import h2o

    assert small_models
    assert h2o.api("GET /3/Models")["models"] == []
    assert h2o.api("GET /3/Frames")["frames"] == []


@pytest.mark.reliability(
    "analytics_host",
    "Hostile input",
    fault="song titles with HTML markup",
    expected="shown as text",
    observed="escaped",
)
def test_report_escapes_song_titles(small_models: dict[str, models.TrainedModel], tmp_path: Path) -> None:
    all_songs = songs.read(SYNTHETIC)
    training, test = songs.split(all_songs.assign(songtitle="<script>alert(1)</script>"))
    assert len(training)
    results, questions = list(small_models.values()), {"Is 1 < 2?": test.head(1)}
    analysis = report.Analysis("<b>", ["<i>"], "CREATE <u>", all_songs, test, questions, results, published=False)
    report.write(analysis, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert text.count('<img alt="') == 4


@pytest.fixture(scope="module")
def published() -> dict[str, models.TrainedModel]:
    songs.verify(ORIGINAL)
    training, test = songs.split(songs.read(ORIGINAL))
    return {trained.model.name: trained for trained in models.train((*models.LINEAR, models.BOOSTED), training, test)}


@NEEDS_ORIGINAL
@pytest.mark.parametrize("name", [model.name for model in (*models.LINEAR, models.BOOSTED)])
def test_model_matches_published_metrics(published: dict[str, models.TrainedModel], name: str) -> None:
    known, trained = metrics.PUBLISHED[name], published[name]
    assert (round(trained.auc, 7), trained.confusion) == (known.auc, known.confusion)
    assert known.matches(trained)


@NEEDS_ORIGINAL
def test_original_songs_have_known_counts() -> None:
    training, test = songs.split(songs.read(ORIGINAL))
    assert (len(training), len(test), int(test["top10"].sum())) == (7201, 373, 59)
    assert round(training["loudness"].corr(training["energy"]), 7) == 0.7399067


@NEEDS_ORIGINAL
@SLOW
def test_deep_learning_is_in_published_range() -> None:
    training, test = songs.split(songs.read(ORIGINAL))
    (trained,) = models.train([models.DEEP], training, test)
    assert metrics.PUBLISHED["deep learning"].matches(trained), trained.auc


def test_other_metrics_do_not_match_published(small_models: dict[str, models.TrainedModel]) -> None:
    table: Any = metrics.table(list(small_models.values()), published=True)
    assert list(table["matches published"][:4]) == ["no"] * 4
