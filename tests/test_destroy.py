"""`make destroy`, with a stub of the CDK CLI.

Like the CLI, `list` prints the stacks that match a pattern, or an empty line, and exits with 0. `destroy` also exits
with 0 when no stack matches.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAKE = shutil.which("make")
CLI = """#!/bin/sh
echo "$@" >> {log}
case "$1 $2" in
  "list Known-*") echo Known-us-east-1;;
  "list Broken") exit 1;;
  "list InUse") echo InUse;;
  "list ") echo Known-us-east-1; echo InUse;;
  "list "*) echo;;
  "destroy InUse") exit 1;;
esac
"""

pytestmark = pytest.mark.skipif(MAKE is None, reason="make is not installed")


def destroy(folder: Path, stack: str, arguments: str = "") -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run `make destroy` without its setup; return its result and the calls of the CLI."""
    cli, log = folder / "cdk", folder / "calls"
    cli.write_text(CLI.format(log=log))
    cli.chmod(0o700)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    result = subprocess.run(
        [str(MAKE), "-o", "setup", "destroy", f"CDK={cli}", f"STACK={stack}", f"ARGS={arguments}"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return result, log.read_text().splitlines() if log.exists() else []


@pytest.mark.reliability(
    "multi_region_api",
    "Partial failure",
    fault="a stack is destroyed whose Region is no longer in the settings, or whose certificate is in use",
    expected="`make destroy` fails and prints the command to run",
    observed="with a stub of the CDK CLI",
)
def test_destroy_of_unknown_stack_fails_with_instructions(tmp_path: Path) -> None:
    result, calls = destroy(tmp_path, "MultiRegionApi-eu-west-1")
    assert result.returncode != 0
    assert calls == ["list MultiRegionApi-eu-west-1", "list"]
    assert "nothing was destroyed" in result.stdout
    assert "Stacks: Known-us-east-1 InUse\n" in result.stdout
    assert "multi_region_api:regions" in result.stdout


def test_destroy_passes_pattern_and_arguments_to_the_cli(tmp_path: Path) -> None:
    result, calls = destroy(tmp_path, "Known-*", "-c 'a:b=[\"c\"]'")
    assert result.returncode == 0, result.stdout + result.stderr
    assert calls == ['list Known-* -c a:b=["c"]', 'destroy Known-* -c a:b=["c"]']


def test_force_is_passed_only_to_destroy(tmp_path: Path) -> None:
    """`cdk list` would warn that it ignores the option."""
    result, calls = destroy(tmp_path, "Known-*", "--force -c a=b")
    assert result.returncode == 0, result.stdout + result.stderr
    assert calls == ["list Known-* -c a=b", "destroy Known-* --force -c a=b"]


def test_destroy_with_invalid_settings_destroys_nothing(tmp_path: Path) -> None:
    result, calls = destroy(tmp_path, "Broken")
    assert result.returncode != 0
    assert calls == ["list Broken"]
    assert "nothing was destroyed" not in result.stdout, "the CLI reports the error"


@pytest.mark.reliability(
    "multi_region_api",
    "Partial failure",
    fault="a stack is destroyed whose Region is no longer in the settings, or whose certificate is in use",
)
def test_failed_destroy_recommends_running_it_again(tmp_path: Path) -> None:
    result, calls = destroy(tmp_path, "InUse")
    assert result.returncode != 0
    assert calls == ["list InUse", "destroy InUse"]
    assert "certificate" in result.stdout and "again" in result.stdout  # noqa: PT018
