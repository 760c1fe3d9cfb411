"""What is installed is what was reviewed: every package by its hash, every action by its commit."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PIN = re.compile(r"^([A-Za-z0-9_.-]+)==([^\s;]+)", re.MULTILINE)


def pins(file: Path) -> dict[str, str]:
    """Versions by normalized package name, of a requirements file and those that it includes."""
    text = file.read_text()
    included = [pins(file.with_name(name)) for name in re.findall(r"^-r (\S+)", text, re.MULTILINE)]
    own = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in PIN.findall(text)}
    return {name: version for some in [*included, own] for name, version in some.items()}


@pytest.mark.parametrize("name", ["dev", "analysis", "audit"])
def test_lock_has_each_requirement_with_hashes(name: str) -> None:
    lock = ROOT / "locks" / f"{name}.txt"
    required = pins(ROOT / f"requirements-{name}.txt")
    locked = pins(lock)
    assert required
    assert {package: locked.get(package) for package in required} == required, "make lock"
    requirements = re.split(r"\n(?=\S)", lock.read_text().strip())
    assert [line for line in requirements if "--hash=sha256:" not in line] == []


def test_analysis_lock_agrees_with_dev_lock() -> None:
    dev, analysis = (pins(ROOT / "locks" / f"{name}.txt") for name in ("dev", "analysis"))
    assert {package: analysis.get(package) for package in dev} == dev


def test_make_installs_nothing_from_pypi_without_hashes() -> None:
    installs = re.findall(r"pip install .*", (ROOT / "Makefile").read_text())
    unhashed = [command for command in installs if "--require-hashes -r locks/" not in command]
    assert installs
    assert [command for command in unhashed if "uv==" not in command] == []


def test_every_npm_package_has_integrity_and_no_address() -> None:
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    installed = {name: package for name, package in packages.items() if name and not package.get("link")}
    assert installed
    assert [name for name, package in installed.items() if not package.get("integrity", "").startswith("sha512-")] == []
    assert [name for name, package in installed.items() if "resolved" in package] == []


def test_every_action_is_pinned_by_commit() -> None:
    workflows = list((ROOT / ".github" / "workflows").glob("*.y*ml"))
    uses = [line for file in workflows for line in re.findall(r"uses: (\S+)", file.read_text())]
    assert uses
    assert [action for action in uses if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action)] == []
