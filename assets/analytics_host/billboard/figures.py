"""The figures of the models beside the published ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from .models import Confusion, Trained

AUC_DIGITS = 7  # as the post gives them


@dataclass(frozen=True)
class Published:
    """What the post gives for a model; a range where a run is never like another."""

    auc: float
    confusion: Confusion | None = None
    auc_range: tuple[float, float] | None = None

    def agrees(self, trained: Trained) -> bool:
        """Whether a model has come out as published."""
        if self.auc_range:
            return self.auc_range[0] <= trained.auc <= self.auc_range[1]
        return round(trained.auc, AUC_DIGITS) == self.auc and trained.confusion == self.confusion


PUBLISHED = {
    "GLM 1: all features": Published(0.8431394, ((255, 59), (17, 42))),
    "GLM 2: without loudness": Published(0.8431933, ((280, 34), (23, 36))),
    "GLM 3: without energy": Published(0.8492389, ((286, 28), (26, 33))),
    "GBM": Published(0.8630573, ((266, 48), (16, 43))),
    # Several threads write to the same weights: its seed binds only with reproducible=True.
    "deep learning": Published(0.7568822, auc_range=(0.74, 0.80)),
}


def table(results: Sequence[Trained], published: bool) -> pd.DataFrame:
    """One row a model. With `published`, what the post says, and whether it came out so.

    A hit that is missed is a false negative, one that is foretold and is none a false positive;
    the post has the two words the wrong way round.
    """
    rows = []
    for trained in results:
        (true_negatives, false_positives), (false_negatives, true_positives) = trained.confusion
        row = {
            "model": trained.model.name,
            "AUC": round(trained.auc, AUC_DIGITS),
            "hits found": true_positives,
            "hits missed": false_negatives,
            "false alarms": false_positives,
            "rightly no hit": true_negatives,
            "seconds": round(trained.seconds, 1),
        }
        if published:
            known = PUBLISHED[trained.model.name]
            row |= {"published AUC": known.auc, "as published": "yes" if known.agrees(trained) else "no"}
        rows.append(row)
    return pd.DataFrame(rows)
