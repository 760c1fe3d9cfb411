"""Facts about both handlers, as the stack packs them: with `settings.json` beside their modules."""

import importlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lambdas.multi_region_api.health import TOKEN

from ..conftest import ROOT

TABLE = {"name": "orders", "table": "Orders", "partition_key": "id", "url": None, "seconds": 0.2}


@pytest.fixture
def imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ModuleType]]:
    """Gives a handler's module, imported anew from a package with these settings."""

    def forget() -> None:
        for name in [name for name in sys.modules if name.split(".")[0] == "multi_region_api"]:
            del sys.modules[name]

    def load(module: str, *checks: dict[str, Any], allowed_origin: str = "*") -> ModuleType:
        package = tmp_path / "multi_region_api"
        shutil.copytree(ROOT / "lambdas" / "multi_region_api", package, dirs_exist_ok=True)
        (package / "settings.json").write_text(json.dumps({"allowed_origin": allowed_origin, "checks": checks}))
        forget()
        return importlib.import_module(f"multi_region_api.{module}")

    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield load
    forget()


def test_hello_names_its_region(imported: Callable[..., ModuleType]) -> None:
    response = imported("hello").handler({}, None)
    assert response["statusCode"] == 200
    assert json.loads(response["body"]) == {"message": "Hello from eu-west-1", "region": "eu-west-1"}


@pytest.mark.parametrize("module", ["hello", "healthcheck"])
@pytest.mark.reliability(
    "multi_region_api",
    "Only here",
    fault="an answer is kept by a cache, and the region is gone",
    expected="no cache may keep one",
    observed="`no-store` on every answer",
)
def test_answer_may_be_read_by_the_origin_of_the_settings_and_kept_by_nobody(
    imported: Callable[..., ModuleType], module: str
) -> None:
    headers = imported(module, allowed_origin="https://www.example.com").handler({}, None)["headers"]
    assert headers["Access-Control-Allow-Origin"] == "https://www.example.com"
    assert headers["Cache-Control"] == "no-store"


def test_healthy_region_answers_200_with_the_token_and_logs_nothing(
    imported: Callable[..., ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    response = imported("healthcheck").handler({}, None)
    assert (response["statusCode"], json.loads(response["body"])) == (200, {"health": TOKEN, "region": "eu-west-1"})
    assert capsys.readouterr().out == ""


def test_sick_region_answers_503_and_logs_why(
    imported: Callable[..., ModuleType], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STATUS", "fail")
    response = imported("healthcheck").handler({}, None)
    sick = {"health": "sick", "region": "eu-west-1"}
    assert (response["statusCode"], json.loads(response["body"])) == (503, sick | {"failed": ["STATUS"]})
    assert json.loads(capsys.readouterr().out) == sick | {"failed": {"STATUS": "is fail"}}, "why is for the log"


def test_status_is_read_at_every_call(imported: Callable[..., ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    handler = imported("healthcheck").handler
    seen = []
    for status in ("ok", "fail", "check"):
        monkeypatch.setenv("STATUS", status)
        seen.append(handler({}, None)["statusCode"])
    assert seen == [200, 503, 200]


def test_dependency_of_the_settings_that_does_not_answer_makes_the_region_sick(
    imported: Callable[..., ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # and pytest lets nobody connect
    response = imported("healthcheck", TABLE).handler({}, None)
    assert response["statusCode"] == 503
    assert "orders" in json.loads(response["body"])["failed"]


def test_nothing_of_boto3_is_imported_when_no_dependency_is_named(imported: Callable[..., ModuleType]) -> None:
    for module in ("hello", "healthcheck"):
        imported(module)
        assert "multi_region_api.dependencies" not in sys.modules, "a cold start would wait for boto3"
    imported("healthcheck", TABLE)
    assert "multi_region_api.dependencies" in sys.modules
