"""Tests of the evaluation with hand-made results, and of the notebooks' agreement. They need no H2O server."""

import json
import re
from typing import Any

import pandas as pd
import pytest

from assets.analytics_host.billboard import evaluation, plots, report
from assets.analytics_host.billboard.models import (
    LINEAR,
    TrainedModel,
    Validation,
    chosen,
    first_probabilities,
    predicted_hits,
)
from assets.analytics_host.billboard.songs import FIELDS

from .conftest import HOST

NOTEBOOKS = HOST.parent / "notebooks"
TEST = pd.DataFrame(
    {"year": [2010] * 5, "songtitle": list("abcde"), "artistname": list("vwxyz"), "top10": [0, 1, 0, 1, 0]}
)


def trained(**changes: Any) -> TrainedModel:
    values: dict[str, Any] = {
        "model": LINEAR[0],
        "seconds": 1.0,
        "auc": 0.85,
        "threshold": 0.2,
        "confusion": ((1, 2), (0, 2)),
        "measures": {"MSE": 0.1},
        "maximum": {"f1": (0.2, 0.66)},
        "coefficients": {"Intercept": -2.0, "loudness": 1.2, "energy": -0.3},
        "validation": Validation(0.8, 0.6),
        "roc": ([0.0, 1.0], [0.0, 1.0]),
        "importance": {"loudness": 1.0},
        "probability": [0.1, 0.9, 0.3, 0.2, 0.65049],
    }
    return TrainedModel(**values | changes)


def test_predicted_hits_include_every_song_from_the_threshold() -> None:
    hits = predicted_hits(trained(), TEST, 0.2)
    assert hits["songtitle"].tolist() == ["b", "e", "c", "d"], "the song at the threshold must be included"
    assert hits["probability"].tolist() == [0.9, 0.65, 0.3, 0.2]
    assert hits["hit"].tolist() == [True, False, False, True]


def test_first_probabilities_sum_to_1() -> None:
    rows = first_probabilities(trained(), TEST, 2)
    assert rows[["p0", "p1"]].to_numpy().tolist() == [[0.9, 0.1], [0.1, 0.9]]


def test_table_has_baseline_and_each_threshold() -> None:
    table = evaluation.table([trained(), trained(validation=None)], TEST)
    assert table.loc[0, ["model", "accuracy", "predicted"]].tolist() == ["no song is a hit", 0.6, 0]
    assert table["threshold"].tolist() == [
        "", evaluation.ON_TEST, "0.5", evaluation.VALIDATED, evaluation.ON_TEST, "0.5",
    ]  # fmt: skip
    row = table.loc[1]
    assert (row["predicted"], row["right"], row["accuracy"], row["precision"]) == (4, 2, 0.6, 0.5)
    assert (row["sensitivity (recall)"], row["specificity"]) == (1.0, 0.3333)
    assert table.loc[2, "sensitivity (recall)"] == 0.5


@pytest.mark.parametrize(
    ("auc", "grade"),
    [(0.95, "excellent"), (0.9, "excellent"), (0.85, "good"), (0.7, "fair"), (0.6, "poor"), (0.5, "fail")],
)
def test_auc_has_customary_grade(auc: float, grade: str) -> None:
    assert evaluation.grade(auc) == grade


def test_model_is_chosen_by_validation_and_not_by_test_songs() -> None:
    better_on_test = trained(auc=0.99, validation=Validation(0.7, 0.5))
    never_validated = trained(auc=1.0, validation=None)
    validated = trained(auc=0.6)
    assert chosen([never_validated, better_on_test, validated]) is validated


def test_coefficients_keep_their_sign_and_have_no_intercept() -> None:
    rows = evaluation.coefficients([trained(), trained(coefficients={})])
    assert rows.to_numpy().tolist() == [["loudness", 1.2], ["energy", -0.3]]


def test_conclusion_states_optimistic_and_validated_counts() -> None:
    text = "\n".join(evaluation.conclusion([trained()], TEST))
    assert "2 of the 5 songs of 2010 were hits" in text
    assert "right for 60.0%" in text
    assert "4 songs are predicted as hits, 2 of them right; 0 hits are missed. This is optimistic" in text
    assert "threshold 0.600, without the songs of 2010: 2 songs are predicted as hits, 1 of them right" in text
    assert "at random, 40% are hits; of those that this model predicts, 50%" in text
    assert "misses 50% of the hits" in text


def test_report_lists_predictions_and_fields(tmp_path: Any) -> None:
    songs = pd.DataFrame({name: [0.0, 1.0] * 3 for name in FIELDS} | {"year": [1990] * 5 + [2010]})
    result = trained(measures={"MSE": 0.1, "AIC": float("nan")}, coefficients={"Intercept": -2.0, "loudness": -0.1})
    analysis = report.Analysis("source", ["billboard"], "CREATE TABLE x", songs, TEST, {}, [result], published=False)
    report.write(analysis, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert "threshold 0.200, chosen with the test songs: 4 predicted, 2 right" in text
    assert "threshold 0.600, chosen by cross-validation: 2 predicted, 1 right" in text
    assert "<td class=number>0.650</td>" in text, "a probability has three digits"
    assert FIELDS["loudness"]["comment"] in text
    assert "<td class=number>-0.1000</td>" in text, "a coefficient has four digits"
    assert "<p>billboard</p>" in text
    assert "<pre>CREATE TABLE x</pre>" in text
    assert ">nan<" not in text.lower()


def headings(text: str) -> list[str]:
    return re.findall(r"^## (.+)$", text, re.MULTILINE)


def test_notebooks_have_the_same_sections_colors_and_thresholds() -> None:
    r = (NOTEBOOKS / "billboard.Rmd").read_text()
    cells = json.loads((NOTEBOOKS / "billboard.ipynb").read_text())["cells"]
    markdown = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    assert headings(r) == headings(markdown)
    assert tuple(re.findall(r"#[0-9a-f]{6}", r.split("scale_colour_manual(", 2)[2]))[:5] == plots.COLORS
    plotted = re.search(r"plotted <- c\((.*?)\)", r, re.DOTALL)
    assert plotted
    assert re.findall(r'"(\w+)"', plotted[1]) == [*plots.PLOTTED_FEATURES, "top10"]
    assert {f'"{name}"' for name in (evaluation.ON_TEST, evaluation.VALIDATED)} <= set(re.findall(r'"[^"\n]+"', r))
    assert "h2o.no_progress()" in r, "the rendered notebook would show progress bars"
