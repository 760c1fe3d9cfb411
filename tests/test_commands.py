"""Every command explains itself, and rejects what it doesn't know."""

import os
import shutil
import subprocess
import sys

import pytest

from settings import Settings

from .conftest import ROOT, need

COMMANDS = {"audit": "cfnlint", "bench": "rich", "sandbox": "rich", "walkthroughs": "dns"}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(arguments, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("module", COMMANDS)
def test_command_help_shows_usage(module: str) -> None:
    need(COMMANDS[module])
    done = run(sys.executable, "-m", module, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: python -m {module}")


@pytest.mark.parametrize(
    "arguments", [["bench", "nonsense"], ["sandbox", "demo", "nonsense"], ["walkthroughs", "nonsense"]]
)
def test_command_unknown_name_lists_known_ones(arguments: list[str]) -> None:
    need(COMMANDS[arguments[0]])
    done = run(sys.executable, "-m", *arguments)
    assert done.returncode == 2
    assert "nonsense" in done.stderr
    assert "static_site" in done.stderr


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
@pytest.mark.parametrize("target", ["demo", "unit", "walkthrough"])
def test_make_unknown_system_lists_known_ones(target: str) -> None:
    done = run("make", "--dry-run", target, "SYSTEM=statc_site")
    assert done.returncode == 2
    systems = sorted(name for name in Settings.model_fields if (ROOT / "stacks" / name).exists())
    assert f"Unknown system: statc_site (valid: {' '.join(systems)})" in done.stderr


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_make_with_two_systems_selects_tests_of_both() -> None:
    done = run("make", "--dry-run", "unit", "SYSTEM=static_site lambda_canary")
    assert '-k "static_site or lambda_canary"' in done.stdout, done.stdout + done.stderr


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_make_without_target_lists_every_target() -> None:
    listed = {line.split()[0] for line in run("make").stdout.splitlines() if line.startswith("  ")}
    makefile = (ROOT / "Makefile").read_text()
    (phony,) = [line for line in makefile.splitlines() if line.startswith(".PHONY:")]
    assert listed == set(phony.split()[1:])
