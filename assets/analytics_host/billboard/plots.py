"""Plots for the report and the notebook."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from .models import TrainedModel
from .songs import LABEL

PLOTTED_FEATURES = (
    "loudness",
    "energy",
    "tempo",
    "pitch",
    "timesignature",
    "key",
    "timbre_0_max",
    "timbre_1_min",
    "timbre_6_min",
)

COLORS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd")  # of the models, in their order; as in R
LABELS = ("no hit", "hit")


def correlation(songs: pd.DataFrame) -> Figure:
    """Plot the correlation matrix of selected features and the label."""
    names = [*PLOTTED_FEATURES, LABEL]
    values = songs[names].corr()
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(values, vmin=-1, vmax=1, cmap="RdBu_r")
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    for row in range(len(names)):
        for column in range(len(names)):
            value = values.iloc[row, column]
            color = "white" if abs(value) > 0.6 else "black"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=color)
    axes.set_title(f"Correlation of features, songs of {songs['year'].min()} to {songs['year'].max()}")
    figure.colorbar(image)
    return figure


def roc(results: Sequence[TrainedModel]) -> Figure:
    """Plot the ROC curve of every model."""
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplots()
    for trained, color in zip(results, COLORS, strict=False):
        axes.plot(*trained.roc, color=color, label=f"{trained.model.name} ({trained.auc:.3f})")
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="random guess (0.5)")
    axes.set(xlabel="False positive rate", ylabel="True positive rate", title="ROC on the songs of the test year")
    axes.legend(title="AUC")
    return figure


def importance(trained: TrainedModel, count: int = 12) -> Figure:
    """Plot the most important features of a model."""
    largest = sorted(trained.importance.items(), key=lambda item: item[1])[-count:]
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.barh([name for name, _ in largest], [value for _, value in largest])
    axes.set(xlabel="Relative importance", title=f"Feature importance in {trained.model.name}")
    return figure


def confusion(results: Sequence[TrainedModel]) -> Figure:
    """Plot the confusion matrix of every model."""
    figure = Figure(figsize=(2.6 * len(results), 3.2), layout="constrained")
    for axes, trained in zip(figure.subplots(1, len(results), squeeze=False)[0], results, strict=True):
        axes.imshow(trained.confusion, cmap="Blues")
        largest = max(map(max, trained.confusion))
        for row, counts in enumerate(trained.confusion):
            for column, count in enumerate(counts):
                color = "white" if count > largest / 2 else "black"
                axes.text(column, row, str(count), ha="center", va="center", color=color)
        axes.set_xticks([0, 1], LABELS)
        axes.set_yticks([0, 1], LABELS, rotation=90, va="center")
        axes.set_title(trained.model.name, fontsize=9)
    figure.supxlabel("Predicted")
    figure.supylabel("Actual")
    return figure
