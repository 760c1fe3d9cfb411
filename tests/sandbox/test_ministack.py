"""Only sandbox/ministack/ imports MiniStack, and it reports what the installed version lacks."""

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import Sandbox, SandboxError
from sandbox.ministack import MissingNameError, cloudformation, names

from ..conftest import ROOT

SEAM = ROOT / "sandbox" / "ministack"
SERVICES = sorted(path for path in SEAM.glob("*.py") if path.stem not in ("__init__", "names"))
FOLDERS = ("audit", "bench", "lambdas", "sandbox", "settings", "stacks", "tests", "walkthroughs")


def sources() -> list[Path]:
    files = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    return [path for path in files if SEAM not in path.parents]


def imported_modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def defined_names(path: Path) -> Iterator[str]:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            yield ast.unparse(target)


@pytest.fixture
def problems(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(names, "PROBLEMS", [])
    monkeypatch.setattr(names, "VERSION", "MiniStack 1.2.3")
    return names.PROBLEMS


def test_only_the_seam_imports_ministack() -> None:
    imported = {path: {name.split(".")[0] for name in imported_modules(path)} for path in sources()}
    assert [path for path, packages in imported.items() if "ministack" in packages] == []


@pytest.mark.parametrize("module", SERVICES, ids=lambda path: path.stem)
def test_every_name_of_a_service_is_used(module: Path) -> None:
    text = "\n".join(path.read_text() for path in sources())
    public = [name for name in defined_names(module) if not name.startswith("_") and name != "PACKAGE"]
    assert public
    use = rf"{module.stem}\.%s\b|ministack\.{module.stem} import .*\b%s\b"
    assert [name for name in public if not re.search(use.replace("%s", name), text)] == []


@pytest.mark.usefixtures("problems")
def test_missing_name_is_reported_with_version_and_purpose() -> None:
    names.need("services.sts._sessions", "identities")
    names.need("services.sts._tickets", "tickets of sessions")
    names.need("services.teleport._stations", "stations")
    with pytest.raises(MissingNameError) as error:
        names.check()
    assert str(error.value) == (
        "MiniStack 1.2.3 lacks services.sts._tickets (needed for tickets of sessions); "
        "MiniStack 1.2.3 lacks services.teleport._stations (needed for stations)"
    )


def test_changed_parameters_are_reported(problems: list[str]) -> None:
    names.need("services.s3._put_object", "artifacts", "bucket_name key")
    assert problems == []
    names.need("services.s3._put_object", "artifacts", "bucket key")
    (problem,) = problems
    assert "services.s3._put_object(bucket_name, key, body, headers)" in problem
    assert problem.endswith("expected (bucket, key) (needed for artifacts)")


def test_more_parameters_of_a_replaced_function_are_reported(problems: list[str]) -> None:
    names.Replaceable("services.s3._put_object", "artifacts", "bucket_name key body headers")
    assert problems == []
    names.Replaceable("services.s3._put_object", "artifacts", "bucket_name key")
    assert len(problems) == 1


def test_replacement_reaches_the_modules_that_have_imported_the_function(problems: list[str]) -> None:
    function = names.Replaceable("services.cloudformation.helpers._resolve_template", "templates", "params")
    before = function.current
    try:
        function.extend(lambda original, parameters: ("extended", original is before, parameters))
        copy = names.need("services.cloudformation.changesets._resolve_template", "templates")
        assert copy({"a": 1}) == function({"a": 1}) == ("extended", True, {"a": 1})
    finally:
        function.replace(before)
    assert problems == []


def test_extended_resource_type_updates_without_logical_id(monkeypatch: pytest.MonkeyPatch) -> None:
    original = {"create": print, "update": print, "update_with_logical_id": True, "delete": print}
    monkeypatch.setitem(cloudformation.resource_handlers, "AWS::Some::Type", original)
    assert cloudformation.extend_resource_type("AWS::Some::Type", create=repr) is original
    assert cloudformation.resource_handlers["AWS::Some::Type"] == {**original, "create": repr}
    cloudformation.extend_resource_type("AWS::Some::Type", update=repr)
    assert "update_with_logical_id" not in cloudformation.resource_handlers["AWS::Some::Type"]


@pytest.mark.enable_socket
def test_sandbox_with_an_incompatible_version_reports_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("from ministack.services import sts\ndel sts._sessions\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    lacks = r"did not start: MiniStack \S+ lacks services\.sts\._sessions \(needed for [^)]+\)$"
    with pytest.raises(SandboxError, match=lacks), Sandbox():
        pass
