"""Write the results and plots to a self-contained HTML page."""

import base64
import html
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from . import metrics, plots
from .models import TrainedModel, most_likely_hits

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f24 }
table { border-collapse: collapse; margin: 1rem 0 } th, td { padding: .3rem .8rem; text-align: left }
tr { border-bottom: 1px solid #d0d7de } td.number { text-align: right; font-variant-numeric: tabular-nums }
img { max-width: 100% } .note { color: #57606a } .scroll { overflow-x: auto }
"""


@dataclass(frozen=True)
class Analysis:
    """The contents of a report."""

    source: str  # where the songs come from
    songs: pd.DataFrame
    test: pd.DataFrame
    queries: dict[str, pd.DataFrame]  # rows by question
    results: Sequence[TrainedModel]
    published: bool  # whether the published metrics apply to these songs and models


def write(analysis: Analysis, path: Path) -> None:
    """Write the report."""
    results = analysis.results
    best = max(results, key=lambda trained: trained.auc)
    year = int(analysis.test["year"].iloc[0])
    training = analysis.songs[analysis.songs["year"] < year]
    parts = [
        f"<p class=note>{html.escape(analysis.source)}: {len(analysis.songs):,} songs, "
        f"of which {len(analysis.test):,} from {year} are the test set.</p>",
        "<h2>Athena queries</h2>",
        *(f"<h3>{html.escape(question)}</h3>{_table(rows)}" for question, rows in analysis.queries.items()),
        "<h2>Correlation of features</h2>",
        f"<p>{correlation(training)}</p>",
        _image(plots.correlation(training), "Correlation matrix of features"),
        "<h2>Model comparison</h2>",
        _table(metrics.table(results, analysis.published)),
        _image(plots.roc(results), "ROC curves of all models"),
        _image(plots.confusion(results), "Confusion matrices of all models"),
        f"<h2>Feature importance in {html.escape(best.model.name)}</h2>",
        _image(plots.importance(best), f"Feature importance in {best.model.name}"),
        f"<h2>Most likely hits of {year} according to {html.escape(best.model.name)}</h2>",
        _table(most_likely_hits(best, analysis.test)),
    ]
    path.write_text(_page("Predicted Top 10 hits", parts), encoding="utf-8")


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


def _table(rows: pd.DataFrame) -> str:
    head = "".join(f"<th>{html.escape(str(name))}</th>" for name in rows.columns)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows.itertuples(index=False))
    return f"<div class=scroll><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return f"<td>{'yes' if value else 'no'}</td>"
    if isinstance(value, int | float):
        return f"<td class=number>{value:.7g}</td>"
    return f"<td>{html.escape(str(value))}</td>"


def _image(figure: Figure, description: str) -> str:
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110)
    text = base64.b64encode(data.getvalue()).decode()
    return f'<img alt="{html.escape(description)}" src="data:image/png;base64,{text}">'
