"""Checks of the R notebook with R's parser and lintr, where they are installed, and of its text everywhere."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from .conftest import HOST

NOTEBOOK = HOST.parent / "notebooks" / "billboard.Rmd"
CHUNK = re.compile(r"^```\{r[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINT = """
notebook <- commandArgs(trailingOnly = TRUE)
library(lintr)
lints <- lint(notebook, linters = linters_with_defaults(
  line_length_linter(120), object_usage_linter = NULL, commented_code_linter = NULL
))
print(lints)
quit(status = as.integer(length(lints) > 0))
"""

needs_r = pytest.mark.skipif(not shutil.which("Rscript"), reason="needs R: apt-get install r-base-core")


def r(folder: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "script.R").write_text(script)
    command = ["Rscript", "--vanilla", str(folder / "script.R"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@needs_r
def test_r_notebook_chunks_parse(tmp_path: Path) -> None:
    chunks = CHUNK.findall(NOTEBOOK.read_text())
    assert len(chunks) > 15
    (tmp_path / "code.R").write_text("".join(chunks))
    run = r(tmp_path, "cat(length(parse(commandArgs(trailingOnly = TRUE))))", str(tmp_path / "code.R"))
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) > 40


@needs_r
def test_r_notebook_has_no_lints(tmp_path: Path) -> None:
    if r(tmp_path, "library(lintr)").returncode:
        pytest.skip("needs lintr: apt-get install r-cran-lintr")
    run = r(tmp_path, LINT, str(NOTEBOOK))
    assert run.returncode == 0, run.stdout + run.stderr


def test_r_notebook_shows_numbers_of_the_performance_table() -> None:
    """R's client returns the AIC of a model without deviance as the text NaN, which turns the table into text."""
    text = NOTEBOOK.read_text()
    assert "as.numeric(performance@metrics[[name]])" in text


def test_r_notebook_compares_predicted_hits_with_confusion_matrices() -> None:
    """R reads some probabilities with a different last digit, so a song at the threshold could be missing."""
    text = NOTEBOOK.read_text()
    assert len(re.findall(r"\$p1 >= ", text)) == 1, "a comparison without tolerance"
    assert "stopifnot(on_test$right == vapply(counts, function(count) count[2, 2], 0))" in text
