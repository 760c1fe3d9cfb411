"""The post's models, trained with H2O on songs up to 2009 and tested on songs of 2010."""

import json
import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import h2o
import pandas as pd
from h2o.estimators import (
    H2ODeepLearningEstimator,
    H2OEstimator,
    H2OGeneralizedLinearEstimator,
    H2OGradientBoostingEstimator,
)

from .songs import FEATURES, LABEL

POLL_SECONDS = 0.2
KINDS: dict[str, type[H2OEstimator]] = {
    "GLM": H2OGeneralizedLinearEstimator,
    "GBM": H2OGradientBoostingEstimator,
    "deep learning": H2ODeepLearningEstimator,
}
MEASURES = (  # names as in H2O's output, and keys of its REST API
    ("MSE", "MSE"),
    ("RMSE", "RMSE"),
    ("LogLoss", "logloss"),
    ("Gini", "Gini"),
    ("null deviance", "null_deviance"),
    ("residual deviance", "residual_deviance"),
    ("AIC", "AIC"),
)
Confusion = tuple[tuple[int, int], tuple[int, int]]  # rows: actual, columns: predicted; no hit first


@dataclass(frozen=True)
class Model:
    """A model to train: its kind, the features it excludes, and H2O's parameters."""

    name: str
    kind: str
    excluded: tuple[str, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)
    folds: int = 5  # of the cross-validation on the training set; 0 disables it

    @property
    def features(self) -> list[str]:
        return [feature for feature in FEATURES if feature not in self.excluded]


LINEAR = (
    Model("GLM 1: all features", "GLM", (), {"family": "binomial"}),
    Model("GLM 2: without loudness", "GLM", ("loudness",), {"family": "binomial"}),
    Model("GLM 3: without energy", "GLM", ("energy",), {"family": "binomial"}),
)
BOOSTED = Model("GBM", "GBM", ("energy",), {"ntrees": 500, "max_depth": 4, "learn_rate": 0.01, "seed": 1122})
# Cross-validation would take five times as long, and H2O would change the number of epochs according to it.
DEEP = Model("deep learning", "deep learning", ("energy",), {"hidden": [250, 250], "epochs": 250}, folds=0)
ALL = (*LINEAR, BOOSTED, DEEP)  # as in the original post
SMALL = (  # the same models with less work, trained in seconds
    *LINEAR,
    Model("GBM", "GBM", ("energy",), {"ntrees": 50, "max_depth": 4, "learn_rate": 0.1, "seed": 1122}),
    Model(
        "deep learning",
        "deep learning",
        ("energy",),
        {"hidden": [20, 20], "epochs": 10, "seed": 1122, "reproducible": True},
        folds=0,
    ),
)


@dataclass(frozen=True)
class Validation:
    """Results of the cross-validation, which never uses the test year."""

    auc: float
    threshold: float  # with the largest F1 score


@dataclass(frozen=True)
class TrainedModel:
    """A trained model, and its results on the songs of the test year."""

    model: Model
    seconds: float
    auc: float
    threshold: float  # with the largest F1 score on the test songs, as in H2O's confusion matrix
    confusion: Confusion
    measures: dict[str, float]  # MSE, LogLoss, Gini, ...; deviance and AIC of linear models only
    maximum: dict[str, tuple[float, float]]  # H2O's maximum metrics: threshold and value, by metric
    coefficients: dict[str, float]  # of standardized features; linear models only
    validation: Validation | None
    roc: tuple[list[float], list[float]]  # false and true positive rates
    importance: dict[str, float]  # by feature, relative to the largest
    probability: list[float]  # of being a hit, for each song of the test year
    file: Path | None = None  # the model, in H2O's binary format


def login(secret_id: str | None = None, session: boto3.Session | None = None) -> tuple[str, str]:
    """Return H2O's user name and password from Secrets Manager."""
    client = (session or boto3.Session()).client("secretsmanager")
    secret = json.loads(client.get_secret_value(SecretId=secret_id or os.environ["BILLBOARD_SECRET"])["SecretString"])
    return secret["username"], secret["password"]


def connect_to_h2o(url: str | None = None, credentials: tuple[str, str] | None = None) -> None:
    """Connect to H2O on the host. H2O's progress bars are disabled; `train` reports progress."""
    h2o.connect(
        url=url or os.environ["H2O_URL"],
        auth=credentials or login(),
        verbose=False,
        strict_version_check=True,
    )
    h2o.no_progress()


def train(
    models: Iterable[Model],
    training: pd.DataFrame,
    test: pd.DataFrame,
    progress: Callable[[str, float], None] = lambda _name, _done: None,
    folder: Path | None = None,
) -> list[TrainedModel]:
    """Train `models` in turn.

    progress: is called with a model's name and its progress from 0 to 1.
    folder: where to keep the models, for `predict`. Existing files of the same models are replaced.
    """
    training_frame, test_frame = _frame(training), _frame(test)
    try:
        return [_train(model, training_frame, test_frame, progress, folder) for model in models]
    finally:
        for frame in (training_frame, test_frame):
            h2o.remove(frame)


def _frame(songs: pd.DataFrame) -> h2o.H2OFrame:
    return h2o.H2OFrame(songs[[*FEATURES, LABEL]], column_types={LABEL: "enum"})


def _train(
    model: Model,
    training: h2o.H2OFrame,
    test: h2o.H2OFrame,
    progress: Callable[[str, float], None],
    folder: Path | None,
) -> TrainedModel:
    estimator = KINDS[model.kind](**model.parameters, **_cross_validation(model))
    started = time.monotonic()
    estimator.start(x=model.features, y=LABEL, training_frame=training)
    key = estimator._job.job_key
    while True:
        job = h2o.api(f"GET /3/Jobs/{key}")["jobs"][0]
        progress(model.name, job["progress"])
        if job["status"] not in ("CREATED", "RUNNING"):
            break
        time.sleep(POLL_SECONDS)
    estimator.join()
    seconds = time.monotonic() - started
    trained = h2o.get_model(job["dest"]["name"])
    result = _results(model, trained, test, seconds, _save(model, trained, folder) if folder else None)
    h2o.remove(trained)
    return result


def _save(model: Model, trained: Any, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / re.sub(r"[^a-z0-9]+", "_", model.name.lower())
    return Path(h2o.download_model(trained, path=str(folder), filename=file.name))


def predict(file: Path, songs: pd.DataFrame) -> list[float]:
    """Return the probability of being a hit for each song, from a model that `train` kept.

    The version of H2O must be the same. Only H2O's commercial releases export models (MOJO) for other versions.
    """
    # As `h2o.upload_model` does, which leaves the uploaded file in H2O's memory.
    uploaded = h2o.api("POST /3/PostFile.bin", filename=str(file))["destination_frame"]
    loaded = h2o.api("POST /99/Models.upload.bin/", data={"dir": uploaded})["models"]
    model, frame = h2o.get_model(loaded[0]["model_id"]["name"]), h2o.H2OFrame(songs[FEATURES])
    predicted = model.predict(frame)
    probability = [float(row[0]) for row in h2o.as_list(predicted[2], use_pandas=False, header=False)]
    for item in (predicted, frame, model, uploaded):
        h2o.remove(item)
    return probability


def _cross_validation(model: Model) -> dict[str, Any]:
    """Return H2O's parameters. Modulo assigns each song to the same fold in every run, in R and in Python."""
    if not model.folds:
        return {}
    return {"nfolds": model.folds, "fold_assignment": "Modulo", "keep_cross_validation_models": False}


def _results(model: Model, trained: Any, test: h2o.H2OFrame, seconds: float, file: Path | None) -> TrainedModel:
    performance = trained.model_performance(test)
    matrix = performance.confusion_matrix().to_list()
    predicted = trained.predict(test)
    probability = [float(row[0]) for row in h2o.as_list(predicted[2], use_pandas=False, header=False)]
    h2o.remove(predicted)
    return TrainedModel(
        model=model,
        seconds=seconds,
        auc=performance.auc(),
        threshold=performance.find_threshold_by_max_metric("f1"),
        confusion=tuple(tuple(int(count) for count in row) for row in matrix),  # type: ignore[arg-type]
        measures={
            name: float(performance._metric_json[key])  # "NaN" is a text
            for name, key in MEASURES
            if key in performance._metric_json
        },
        maximum={
            row[0].removeprefix("max "): (float(row[1]), float(row[2]))
            for row in performance._metric_json["max_criteria_and_metric_scores"].cell_values
        },
        coefficients=trained.coef_norm() if model.kind == "GLM" else {},
        validation=_validation(trained) if model.folds else None,
        roc=([0.0, *performance.fprs], [0.0, *performance.tprs]),
        importance={row[0]: float(row[2]) for row in trained.varimp() or []},
        probability=probability,
        file=file,
    )


def _validation(trained: Any) -> Validation:
    performance = trained.model_performance(xval=True)
    return Validation(performance.auc(), performance.find_threshold_by_max_metric("f1"))


def best_on_test(results: Sequence[TrainedModel]) -> TrainedModel:
    """Return the model with the largest AUC on the test songs, which is an optimistic choice."""
    return max(results, key=lambda trained: trained.auc)


def chosen(results: Sequence[TrainedModel]) -> TrainedModel:
    """Return the model with the largest AUC in the cross-validation.

    Raises:
        ValueError: no model was cross-validated.
    """
    validated = [(trained.validation.auc, trained) for trained in results if trained.validation]
    return max(validated, key=lambda pair: pair[0])[1]


def predicted_hits(trained: TrainedModel, test: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Return every song of the test year with at least `threshold`, with its probability, and whether it was a hit."""
    songs = test[["songtitle", "artistname"]].assign(
        probability=[round(probability, 3) for probability in trained.probability],
        hit=test[LABEL] == 1,
    )
    is_predicted = [probability >= threshold for probability in trained.probability]
    return songs[is_predicted].sort_values("probability", ascending=False, kind="stable", ignore_index=True)


def most_likely_hits(trained: TrainedModel, test: pd.DataFrame, count: int = 10) -> pd.DataFrame:
    """Return the songs of the test year with the highest probability, and whether they were hits."""
    return predicted_hits(trained, test, threshold=0).head(count)


def first_probabilities(trained: TrainedModel, test: pd.DataFrame, count: int = 6) -> pd.DataFrame:
    """Return the probabilities of no hit (p0) and of a hit (p1) for the first songs of the test year."""
    songs = test[["songtitle", "artistname", LABEL]].head(count)
    probabilities = [round(probability, 3) for probability in trained.probability[:count]]
    return songs.assign(p0=[round(1 - probability, 3) for probability in probabilities], p1=probabilities)
