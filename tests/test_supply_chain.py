"""What is installed is what was reviewed: every package by its hash, every action by its commit."""

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PIN = re.compile(r"^([A-Za-z0-9_.-]+)(?:\[[a-z0-9,-]+\])?==([^\s;]+)", re.MULTILINE)


def pins(file: Path) -> dict[str, str]:
    """Versions by normalized package name, of a requirements file and those that it includes."""
    text = file.read_text()
    included = [pins(file.with_name(name)) for name in re.findall(r"^-r (\S+)", text, re.MULTILINE)]
    own = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in PIN.findall(text)}
    return {name: version for some in [*included, own] for name, version in some.items()}


@pytest.mark.parametrize("name", sorted(file.name for file in ROOT.glob("requirements-*.txt")))
def test_lock_has_each_requirement_with_hashes(name: str) -> None:
    lock = ROOT / "locks" / name  # named like a requirements file, so that Syft and GitHub find it
    required = pins(ROOT / name)
    locked = pins(lock)
    assert required
    assert {package: locked.get(package) for package in required} == required, "make lock"
    requirements = re.split(r"\n(?=\S)", lock.read_text().strip())
    assert [line for line in requirements if "--hash=sha256:" not in line] == []


def test_analysis_lock_agrees_with_dev_lock() -> None:
    dev, analysis = (pins(ROOT / "locks" / f"requirements-{name}.txt") for name in ("dev", "analysis"))
    assert {package: analysis.get(package) for package in dev} == dev


def runtime_imports(node: ast.AST) -> Iterator[str]:
    """Top-level packages imported anywhere in a module, except for type checkers alone."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import):
        yield from (alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and not node.level:
        yield str(node.module).partition(".")[0]
    for child in ast.iter_child_nodes(node):
        yield from runtime_imports(child)


def test_lambdas_import_only_what_the_runtime_has() -> None:
    modules = {path: ast.parse(path.read_text()) for path in (ROOT / "lambdas").rglob("*.py")}
    imported = {(path.name, name) for path, module in modules.items() for name in runtime_imports(module)}
    assert ("handler.py", "boto3") in imported
    available = sys.stdlib_module_names | {"boto3", "botocore", "lambdas"}  # test_lambda_code.py imports the packages
    assert {(path, name) for path, name in imported if name not in available} == set()


def test_make_installs_nothing_from_pypi_without_hashes() -> None:
    installs = re.findall(r"pip install .*", (ROOT / "Makefile").read_text().replace("\\\n", ""))
    assert installs
    assert [command for command in installs if "--require-hashes -r locks/" not in command] == []


@pytest.mark.parametrize("folder", [".", "tests/sandbox/generators"])
def test_every_npm_package_has_integrity_and_no_address(folder: str) -> None:
    packages = json.loads((ROOT / folder / "package-lock.json").read_text())["packages"]
    installed = {name: package for name, package in packages.items() if name and not package.get("link")}
    assert installed
    assert [name for name, package in installed.items() if not package.get("integrity", "").startswith("sha512-")] == []
    assert [name for name, package in installed.items() if "resolved" in package] == []


def test_npm_packages_run_no_code_when_they_are_installed() -> None:
    installs = re.findall(r"npm (?:ci|install).*", (ROOT / "Makefile").read_text())
    assert installs
    assert [command for command in installs if "--ignore-scripts" not in command] == []


def test_every_action_is_pinned_by_commit() -> None:
    workflows = list((ROOT / ".github" / "workflows").glob("*.y*ml"))
    uses = [line for file in workflows for line in re.findall(r"uses: (\S+)", file.read_text())]
    assert uses
    assert [action for action in uses if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action)] == []
