"""Evaluate the models' predictions of the songs of the test year, and answer the original post's question."""

from collections.abc import Iterator, Sequence

import pandas as pd

from .models import Confusion, TrainedModel, best_on_test, chosen, predicted_hits
from .songs import LABEL

ON_TEST = "best F1 on the test songs"
VALIDATED = "best F1 in cross-validation"
GRADES = ((0.9, "excellent"), (0.8, "good"), (0.7, "fair"), (0.6, "poor"))  # of an AUC
DIGITS = 4


def grade(auc: float) -> str:
    """Return the customary grade of an AUC."""
    return next((name for least, name in GRADES if auc >= least), "fail")


def confusion_at(trained: TrainedModel, test: pd.DataFrame, threshold: float) -> Confusion:
    """Return the confusion matrix if songs with at least `threshold` are predicted as hits."""
    predicted = pd.Series([probability >= threshold for probability in trained.probability])
    hits = test[LABEL].reset_index(drop=True) == 1

    def count(is_hit: bool, is_predicted: bool) -> int:
        return int(((hits == is_hit) & (predicted == is_predicted)).sum())

    return (count(False, False), count(False, True)), (count(True, False), count(True, True))


def baseline(test: pd.DataFrame) -> float:
    """Return the accuracy of predicting that no song is a hit."""
    return float((test[LABEL] == 0).mean())


def thresholds(trained: TrainedModel) -> Iterator[tuple[str, float]]:
    """Yield the thresholds to evaluate, with a description."""
    yield ON_TEST, trained.threshold
    yield "0.5", 0.5
    if trained.validation:
        yield VALIDATED, trained.validation.threshold


def table(results: Sequence[TrainedModel], test: pd.DataFrame) -> pd.DataFrame:
    """Return one row per model and threshold; the first row predicts that no song is a hit."""
    rows = [_row("no song is a hit", "", float("nan"), ((len(test) - _hits(test), 0), (_hits(test), 0)))]
    for trained in results:
        for name, threshold in thresholds(trained):
            rows.append(_row(trained.model.name, name, threshold, confusion_at(trained, test, threshold)))
    return pd.DataFrame(rows)


def _hits(test: pd.DataFrame) -> int:
    return int(test[LABEL].sum())


def _row(model: str, name: str, threshold: float, confusion: Confusion) -> dict[str, object]:
    (true_negatives, false_positives), (false_negatives, true_positives) = confusion
    predicted, songs = true_positives + false_positives, sum(map(sum, confusion))
    ratios = {
        "accuracy": (true_negatives + true_positives) / songs,
        "sensitivity (recall)": true_positives / (true_positives + false_negatives),
        "specificity": true_negatives / (true_negatives + false_positives),
        "precision": true_positives / predicted if predicted else float("nan"),
    }
    return {
        "model": model,
        "threshold": name,
        "value": round(threshold, DIGITS),
        "predicted": predicted,
        "right": true_positives,
    } | {ratio: round(value, DIGITS) for ratio, value in ratios.items()}


def validation(results: Sequence[TrainedModel]) -> pd.DataFrame:
    """Return the AUC in the cross-validation and on the test songs, and its grade, for each model."""
    return pd.DataFrame(
        {
            "model": trained.model.name,
            "cross-validation AUC": round(trained.validation.auc, DIGITS) if trained.validation else float("nan"),
            "test AUC": round(trained.auc, DIGITS),
            "grade": grade(trained.auc),
        }
        for trained in results
    )


def measures(results: Sequence[TrainedModel]) -> pd.DataFrame:
    """Return MSE, LogLoss, Gini, deviance and AIC on the test songs, one row per model."""
    return pd.DataFrame({"model": trained.model.name, **trained.measures} for trained in results)


def maximum(trained: TrainedModel) -> pd.DataFrame:
    """Return H2O's maximum metrics of a model on the test songs, with their thresholds."""
    rows = trained.maximum.items()
    return pd.DataFrame({"maximum": name, "threshold": threshold, "value": value} for name, (threshold, value) in rows)


def coefficients(results: Sequence[TrainedModel]) -> pd.DataFrame:
    """Return the standardized coefficients of the linear models, the largest of the first model first."""
    linear = {trained.model.name: trained.coefficients for trained in results if trained.coefficients}
    rows = pd.DataFrame(linear).drop(index="Intercept")
    order = rows.iloc[:, 0].abs().sort_values(ascending=False, kind="stable").index
    return rows.loc[order].round(DIGITS).rename_axis("feature").reset_index()


def conclusion(results: Sequence[TrainedModel], test: pd.DataFrame) -> list[str]:
    """Return the answer to the post's question in sentences: which songs should an investor choose?"""
    best, honest = best_on_test(results), chosen(results)
    assert honest.validation
    year, hits = int(test["year"].iloc[0]), _hits(test)
    optimistic = predicted_hits(best, test, best.threshold)
    validated = predicted_hits(honest, test, honest.validation.threshold)
    return [
        f"{hits} of the {len(test)} songs of {year} were hits. A prediction that no song is a hit is right for "
        f"{baseline(test):.1%} of them, but it finds no hit.",
        f"{best.model.name} has the largest AUC on the test songs ({best.auc:.4f}, {grade(best.auc)}). At its best "
        f"threshold for these songs, {_counts(optimistic, hits)}. This is optimistic, because model and threshold "
        "were chosen with the songs that they are tested on.",
        f"Cross-validation on the earlier years chooses {honest.model.name} and the threshold "
        f"{honest.validation.threshold:.3f}, without the songs of {year}: {_counts(validated, hits)}.",
        f"For an investor: choosing songs at random, {hits / len(test):.0%} are hits; choosing the songs that this "
        f"model predicts, {validated['hit'].mean() if len(validated) else 0:.0%}. The model narrows a list of songs, "
        f"but misses {1 - validated['hit'].sum() / hits:.0%} of the hits, and one year is a small test.",
    ]


def _counts(predicted: pd.DataFrame, hits: int) -> str:
    right = int(predicted["hit"].sum())
    return f"{len(predicted)} songs are predicted as hits, {right} of them right; {hits - right} hits are missed"
