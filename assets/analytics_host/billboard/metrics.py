"""Compare the models' results with the published metrics."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from .models import Confusion, TrainedModel

AUC_DIGITS = 7  # as published in the original post


@dataclass(frozen=True)
class PublishedResult:
    """A model's result in the original post; with a range if results differ between runs."""

    auc: float
    confusion: Confusion | None = None
    auc_range: tuple[float, float] | None = None

    def matches(self, trained: TrainedModel) -> bool:
        """Return whether a trained model has the published result."""
        if self.auc_range:
            return self.auc_range[0] <= trained.auc <= self.auc_range[1]
        return round(trained.auc, AUC_DIGITS) == self.auc and trained.confusion == self.confusion


PUBLISHED = {
    "GLM 1: all features": PublishedResult(0.8431394, ((255, 59), (17, 42))),
    "GLM 2: without loudness": PublishedResult(0.8431933, ((280, 34), (23, 36))),
    "GLM 3: without energy": PublishedResult(0.8492389, ((286, 28), (26, 33))),
    "GBM": PublishedResult(0.8630573, ((266, 48), (16, 43))),
    # Threads update the same weights; the seed only takes effect with reproducible=True.
    "deep learning": PublishedResult(0.7568822, auc_range=(0.74, 0.80)),
}


def table(results: Sequence[TrainedModel], published: bool) -> pd.DataFrame:
    """Return one row per model; with `published`, add the published AUC and whether the result matches.

    A missed hit is a false negative, and a song wrongly predicted as a hit is a false positive; the original
    post swaps the two terms.
    """
    rows = []
    for trained in results:
        (true_negatives, false_positives), (false_negatives, true_positives) = trained.confusion
        row = {
            "model": trained.model.name,
            "AUC": round(trained.auc, AUC_DIGITS),
            "true positives": true_positives,
            "false negatives": false_negatives,
            "false positives": false_positives,
            "true negatives": true_negatives,
            "seconds": round(trained.seconds, 1),
        }
        if published:
            known = PUBLISHED[trained.model.name]
            row |= {"published AUC": known.auc, "matches published": "yes" if known.matches(trained) else "no"}
        rows.append(row)
    return pd.DataFrame(rows)
