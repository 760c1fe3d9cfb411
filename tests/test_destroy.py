"""Facts about `make destroy`, with a stand-in for the CDK CLI.

The stand-in does as the CLI: `list` prints the stacks that a pattern matches, or an empty line, and exits with 0;
`destroy` exits with 0 as well when nothing matches, so that its exit code says nothing.
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
    """Run `make destroy` without its set-up; gives its result and the calls of the CLI."""
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


def test_destroy_of_a_stack_that_settings_do_not_have_fails_and_says_how_to_name_its_region(tmp_path: Path) -> None:
    result, calls = destroy(tmp_path, "MultiRegionApi-eu-west-1")
    assert result.returncode != 0
    assert calls == ["list MultiRegionApi-eu-west-1", "list"]
    assert "nothing was destroyed" in result.stdout
    assert "Stacks: Known-us-east-1 InUse\n" in result.stdout
    assert "multi_region_api:regions" in result.stdout


def test_destroy_hands_pattern_and_arguments_to_the_cli(tmp_path: Path) -> None:
    result, calls = destroy(tmp_path, "Known-*", "-c 'a:b=[\"c\"]'")
    assert result.returncode == 0, result.stdout + result.stderr
    assert calls == ['list Known-* -c a:b=["c"]', 'destroy Known-* -c a:b=["c"]']


def test_force_goes_to_destroy_only(tmp_path: Path) -> None:
    """`cdk list` would warn that it ignores the option."""
    result, calls = destroy(tmp_path, "Known-*", "--force -c a=b")
    assert result.returncode == 0, result.stdout + result.stderr
    assert calls == ["list Known-* -c a=b", "destroy Known-* --force -c a=b"]


def test_destroy_with_invalid_settings_destroys_nothing(tmp_path: Path) -> None:
    result, calls = destroy(tmp_path, "Broken")
    assert result.returncode != 0
    assert calls == ["list Broken"]
    assert "nothing was destroyed" not in result.stdout, "the CLI has said what is wrong"


def test_destroy_that_fails_says_that_it_can_be_repeated(tmp_path: Path) -> None:
    result, calls = destroy(tmp_path, "InUse")
    assert result.returncode != 0
    assert calls == ["list InUse", "destroy InUse"]
    assert "certificate" in result.stdout and "again" in result.stdout  # noqa: PT018
