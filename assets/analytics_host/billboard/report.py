"""Write the results and plots to a self-contained HTML page."""

import base64
import html
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from . import evaluation, metrics, plots
from .models import TrainedModel, best_on_test, chosen, first_probabilities, predicted_hits
from .songs import FIELDS

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f24 }
table { border-collapse: collapse; margin: 1rem 0 } th, td { padding: .3rem .6rem; text-align: left }
tr { border-bottom: 1px solid #d0d7de } td:first-child { white-space: nowrap }
.number { text-align: right; font-variant-numeric: tabular-nums } pre { overflow-x: auto; font-size: .8rem }
img { max-width: 100% } .note { color: #57606a } .scroll { overflow-x: auto }
"""


DIGITS = {"probability": 3, "p0": 3, "p1": 3, "AUC": 7, "published AUC": 7, "seconds": 1}
COEFFICIENTS = (
    "Features are standardized, so the sizes are comparable. A positive coefficient means that a larger value makes a "
    "hit more likely. GLM 1 gives energy a coefficient that depends on loudness, because the two are correlated. GLM 2 "
    "excludes loudness and GLM 3 excludes energy, which shows the effect of the other one alone."
)
THRESHOLDS = (
    "H2O's confusion matrices use the threshold with the best F1 score on the test songs themselves, so their figures "
    "are optimistic. The threshold of the cross-validation comes from the training years only; its figures are those "
    "to expect for new songs."
)


@dataclass(frozen=True)
class Analysis:
    """The contents of a report."""

    source: str  # where the songs come from
    tables: Sequence[str]
    create_statement: str  # of the table with the songs
    songs: pd.DataFrame
    test: pd.DataFrame
    queries: dict[str, pd.DataFrame]  # rows by question
    results: Sequence[TrainedModel]
    published: bool  # whether the published metrics apply to these songs and models


def write(analysis: Analysis, path: Path) -> None:
    """Write the report."""
    year = int(analysis.test["year"].iloc[0])
    parts = [
        f"<p class=note>{html.escape(analysis.source)}: {len(analysis.songs):,} songs, "
        f"of which {len(analysis.test):,} from {year} are the test set.</p>",
        *_fields(analysis),
        "<h2>Athena queries</h2>",
        *(f"<h3>{html.escape(question)}</h3>{_table(rows)}" for question, rows in analysis.queries.items()),
        *_correlation(analysis.songs[analysis.songs["year"] < year]),
        *_linear(analysis.results),
        *_comparison(analysis),
        *_evaluation(analysis),
        *_predictions(analysis, year),
        "<h2>Conclusion</h2>",
        *(f"<p>{html.escape(text)}</p>" for text in evaluation.conclusion(analysis.results, analysis.test)),
    ]
    path.write_text(_page("Predicted Top 10 hits", parts), encoding="utf-8")


def _fields(analysis: Analysis) -> Iterator[str]:
    yield f"<h2>Tables</h2><p>{html.escape(', '.join(analysis.tables))}</p>"
    yield _table(pd.DataFrame({"field": name, **field} for name, field in FIELDS.items()))
    yield f"<h3>Statement that creates the table</h3><pre>{html.escape(analysis.create_statement)}</pre>"
    yield f"<h2>All songs</h2>{_table(analysis.songs.head(), digits=3)}"


def _correlation(training: pd.DataFrame) -> Iterator[str]:
    yield f"<h2>Correlation of features</h2><p>{correlation(training)}</p>"
    yield _image(plots.correlation(training), "Correlation matrix of features")


def _linear(results: Sequence[TrainedModel]) -> Iterator[str]:
    yield f"<h2>Coefficients of the linear models</h2><p>{COEFFICIENTS}</p>"
    yield _table(evaluation.coefficients(results), digits=4)


def _comparison(analysis: Analysis) -> Iterator[str]:
    results, best = analysis.results, best_on_test(analysis.results)
    yield "<h2>Model comparison</h2>"
    yield _table(metrics.table(results, analysis.published))
    yield _image(plots.roc(results), "ROC curves of all models")
    yield _image(plots.confusion(results), "Confusion matrices of all models")
    yield f"<h3>Performance on the test songs</h3>{_table(evaluation.measures(results), digits=4)}"
    yield f"<h3>Maximum metrics of {html.escape(best.model.name)}</h3>{_table(evaluation.maximum(best))}"
    yield f"<h2>Feature importance in {html.escape(best.model.name)}</h2>"
    yield _image(plots.importance(best), f"Feature importance in {best.model.name}")


def _evaluation(analysis: Analysis) -> Iterator[str]:
    yield f"<h2>Thresholds and cross-validation</h2><p>{THRESHOLDS}</p>"
    yield _table(evaluation.table(analysis.results, analysis.test), digits=4)
    yield _table(evaluation.validation(analysis.results), digits=4)


def _predictions(analysis: Analysis, year: int) -> Iterator[str]:
    best, validated = best_on_test(analysis.results), chosen(analysis.results)
    assert validated.validation
    yield f"<h2>Predicted hits of {year}</h2>"
    yield f"<h3>First probabilities</h3>{_table(first_probabilities(best, analysis.test))}"
    for trained, threshold, choice in (
        (best, best.threshold, "chosen with the test songs"),
        (validated, validated.validation.threshold, "chosen by cross-validation"),
    ):
        hits = predicted_hits(trained, analysis.test, threshold)
        yield (
            f"<h3>{html.escape(trained.model.name)}, threshold {threshold:.3f}, {choice}: {len(hits)} predicted, "
            f"{hits['hit'].sum()} right</h3>{_table(hits)}"
        )


def correlation(training: pd.DataFrame) -> str:
    """Describe the correlation of loudness and energy in the training set, without the test year."""
    first, last = training["year"].min(), training["year"].max()
    return (
        f"Correlation of loudness and energy: {training['loudness'].corr(training['energy']):.4f} over the "
        f"{len(training):,} songs of {first} to {last} in the training set. A linear model cannot separate the effects "
        "of two correlated features, so GLM 2 and GLM 3 each exclude one of them."
    )


def _page(title: str, parts: Iterable[str]) -> str:
    head = f"<meta charset=utf-8><meta name=viewport content='width=device-width'><title>{title}</title>"
    body = "\n".join([f"<h1>{title}</h1>", *parts])
    return f"<!doctype html>\n<html lang=en><head>{head}<style>{STYLE}</style></head><body>{body}</body></html>\n"


def _table(rows: pd.DataFrame, digits: int | None = None) -> str:
    """Return an HTML table. Numbers that are not integers have `digits` decimal places, or seven significant digits."""
    head = "".join(f"<th{_alignment(rows[name])}>{html.escape(str(name))}</th>" for name in rows.columns)
    decimals = [DIGITS.get(str(name), digits) for name in rows.columns]
    body = "".join(f"<tr>{''.join(map(_cell, row, decimals))}</tr>" for row in rows.itertuples(index=False))
    return f"<div class=scroll><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _alignment(column: pd.Series) -> str:
    is_number = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    return " class=number" if is_number else ""


def _cell(value: object, decimals: int | None) -> str:
    if isinstance(value, bool):
        return f"<td>{'yes' if value else 'no'}</td>"
    if isinstance(value, float):
        text = f"{value:.7g}" if decimals is None else f"{value:.{decimals}f}"
        return f"<td class=number>{'' if pd.isna(value) else text}</td>"
    if isinstance(value, int):
        return f"<td class=number>{value}</td>"
    return f"<td>{html.escape(str(value))}</td>"


def _image(figure: Figure, description: str) -> str:
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110)
    text = base64.b64encode(data.getvalue()).decode()
    return f'<img alt="{html.escape(description)}" src="data:image/png;base64,{text}">'
