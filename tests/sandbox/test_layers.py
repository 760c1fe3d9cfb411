"""Tests of Lambda layers that are unpacked once for all sandboxes."""

import zipfile
from pathlib import Path

import pytest

from sandbox import awslambda


def unpack(package: Path, worker: Path) -> Path:
    """Unpack a package into the layer folder of a function's process, and return the folder."""
    folder = worker / "layer_0"
    folder.mkdir(parents=True)
    with awslambda.Package(package) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture
def layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(awslambda, "LAYERS", tmp_path / "layers")
    package = tmp_path / "layer.zip"
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("python/answer.py", "VALUE = 42")
    return package


def test_layer_of_two_functions_is_unpacked_once(layer: Path, tmp_path: Path) -> None:
    folders = [unpack(layer, tmp_path / name) for name in ("first", "second")]
    assert [(folder / "python/answer.py").read_text() for folder in folders] == ["VALUE = 42"] * 2
    assert folders[0].resolve() == folders[1].resolve()
    assert [path.name for path in awslambda.LAYERS.iterdir()] == [folders[0].resolve().name]


def test_other_layer_is_unpacked_elsewhere(layer: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("python/answer.py", "VALUE = 43")
    unpack(layer, tmp_path / "first")
    assert (unpack(other, tmp_path / "second") / "python/answer.py").read_text() == "VALUE = 43"


def test_function_code_is_unpacked_into_separate_folder(layer: Path, tmp_path: Path) -> None:
    with awslambda.Package(layer) as archive:
        archive.extractall(tmp_path / "code")
    assert (tmp_path / "code/python/answer.py").exists()
    assert not awslambda.LAYERS.exists()
