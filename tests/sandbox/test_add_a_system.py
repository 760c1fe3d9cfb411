"""docs/add_a_system.md: its files are added to a copy of the project, tested, deployed and run."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import ROOT

pytestmark = [pytest.mark.enable_socket, pytest.mark.needs("ministack", "rich", "ruff")]
PAGE = ROOT / "docs" / "add_a_system.md"
PARTS = re.compile(r"^## `(?P<path>[^`]+)`\n(?P<text>.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
BLOCKS = re.compile(r"^```(python|diff)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FOLDERS = ("lambdas", "assets", "sandbox", "settings", "stacks", "tests", "walkthroughs")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the files and changes of the page."""
    copy = tmp_path_factory.mktemp("project")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("app.py", "cdk.json", "pyproject.toml"):
        shutil.copy(ROOT / file, copy)
    (copy / "node_modules").symlink_to(ROOT / "node_modules")
    for part in PARTS.finditer(PAGE.read_text()):
        path = copy / part["path"]
        for kind, block in BLOCKS.findall(part["text"]):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(apply_diff(path.read_text(), block) if kind == "diff" else block)
    return copy


def apply_diff(text: str, diff: str) -> str:
    """Apply a diff of consecutive lines."""
    before = "".join(line[1:] for line in diff.splitlines(keepends=True) if line[0] != "+")
    after = "".join(line[1:] for line in diff.splitlines(keepends=True) if line[0] != "-")
    assert text.count(before) == 1, f"these lines must be in the file exactly once:\n{before}"
    return text.replace(before, after)


def run(project: Path, *command: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "AWS_"))}
    done = subprocess.run(
        [sys.executable, *command], cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_new_system_test_passes(project: Path) -> None:
    assert "1 passed" in run(project, "-m", "pytest", "-v", "tests/greeting")


def test_new_system_demo_runs_its_walkthrough(project: Path) -> None:
    output = run(project, "-m", "sandbox", "demo", "greeting")
    assert "ok Invoke the function" in output, output
    assert "1 of 1 steps" in output, output


def test_new_system_passes_ruff(project: Path) -> None:
    files = [str(project / part["path"]) for part in PARTS.finditer(PAGE.read_text())]
    run(project, "-m", "ruff", "check", *files)
    run(project, "-m", "ruff", "format", "--check", *files)
