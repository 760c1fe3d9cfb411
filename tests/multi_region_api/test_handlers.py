"""Both handlers, in a package with `settings.json` as the stack creates it."""

import importlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from lambdas.multi_region_api.health import TOKEN
from lambdas.multi_region_api.responses import ProxyEvent, json_response

from ..conftest import ROOT

EVENT: ProxyEvent = {"headers": None, "pathParameters": {}, "requestContext": {"requestId": "r-1"}}
TABLE = {"name": "orders", "table": "Orders", "partition_key": "id", "timeout_seconds": 0.2}


@pytest.fixture
def load_handler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ModuleType]]:
    """Return a function that imports a handler's module from a new package with settings."""

    def remove_modules() -> None:
        for name in [name for name in sys.modules if name.split(".")[0] == "multi_region_api"]:
            del sys.modules[name]

    def load(
        module: str, *dependencies: dict[str, Any], allowed_origins: Sequence[str] = ("*",), **more: Any
    ) -> ModuleType:
        package = tmp_path / "multi_region_api"
        shutil.copytree(ROOT / "lambdas" / "multi_region_api", package, dirs_exist_ok=True)
        settings = {"allowed_origins": allowed_origins, "dependencies": dependencies, "drain_urls": {}, **more}
        (package / "settings.json").write_text(json.dumps(settings))
        remove_modules()
        return importlib.import_module(f"multi_region_api.{module}")

    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield load
    remove_modules()


def test_hello_returns_its_region(load_handler: Callable[..., ModuleType]) -> None:
    response = load_handler("hello").handler(EVENT, None)
    assert response["statusCode"] == 200
    assert json.loads(response["body"]) == {"message": "Hello from eu-west-1", "region": "eu-west-1"}


@pytest.mark.parametrize("module", ["hello", "healthcheck"])
@pytest.mark.reliability(
    "multi_region_api",
    "System-specific",
    fault="a cache stores a response, and its Region fails",
    expected="no cache stores responses",
    observed="`no-store` in every response",
)
def test_response_allows_the_origin_and_forbids_caching(load_handler: Callable[..., ModuleType], module: str) -> None:
    headers = load_handler(module, allowed_origins=["https://www.example.com"]).handler(EVENT, None)["headers"]
    assert headers["Access-Control-Allow-Origin"] == "https://www.example.com"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Region"] == "eu-west-1"
    assert headers["Access-Control-Expose-Headers"] == "X-Region,x-amzn-RequestId", (
        "a page's script could not read them"
    )
    assert headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(("status", "keys"), [(399, set()), (400, {"requestId"})])
def test_error_body_contains_the_request_id(status: int, keys: set[str]) -> None:
    response = json_response(status, {}, EVENT, region="eu-west-1", allowed_origins=["*"])
    assert json.loads(response["body"]).keys() == keys


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://b.example.com", "https://b.example.com"),
        ("https://evil.example.com", "https://a.example.com"),
        (None, "https://a.example.com"),
    ],
)
@pytest.mark.parametrize("name", ["origin", "Origin"])
def test_response_allows_origin_of_the_request_if_listed(
    load_handler: Callable[..., ModuleType], name: str, origin: str | None, allowed: str
) -> None:
    module = load_handler("hello", allowed_origins=["https://a.example.com", "https://b.example.com"])
    headers = module.handler(EVENT | {"headers": {name: origin} if origin else {}}, None)["headers"]
    assert (headers["Access-Control-Allow-Origin"], headers["Vary"]) == (allowed, "Origin")


def test_healthy_region_returns_200_with_token_without_log(
    load_handler: Callable[..., ModuleType], caplog: pytest.LogCaptureFixture
) -> None:
    response = load_handler("healthcheck").handler(EVENT, None)
    assert (response["statusCode"], json.loads(response["body"])) == (200, {"health": TOKEN, "region": "eu-west-1"})
    assert not caplog.records


def test_unhealthy_region_returns_503_and_logs_reason(
    load_handler: Callable[..., ModuleType], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("STATUS", "fail")
    response = load_handler("healthcheck").handler(EVENT, None)
    body = {"health": "unhealthy", "region": "eu-west-1", "failed": ["STATUS"], "requestId": "r-1"}
    assert (response["statusCode"], json.loads(response["body"])) == (503, body)
    (record,) = caplog.records
    assert (
        vars(record).items()
        >= {
            "levelname": "WARNING",
            "status": "unhealthy",
            "region": "eu-west-1",
            "reason": {"STATUS": "is fail"},
        }.items()
    ), "the reason is only in the log"


def test_status_is_read_on_every_invocation(
    load_handler: Callable[..., ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = load_handler("healthcheck").handler
    statuses = []
    for status in ("ok", "fail", "check"):
        monkeypatch.setenv("STATUS", status)
        statuses.append(handler(EVENT, None)["statusCode"])
    assert statuses == [200, 503, 200]


def test_unreachable_dependency_makes_region_unhealthy(
    load_handler: Callable[..., ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # pytest blocks connections, too
    response = load_handler("healthcheck", TABLE).handler(EVENT, None)
    assert response["statusCode"] == 503
    assert "orders" in json.loads(response["body"])["failed"]


@pytest.fixture
def ssm(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """botocore's stub of SSM, which the drain functions use."""
    client = boto3.client("ssm")
    monkeypatch.setattr(boto3, "client", lambda *_arguments, **_options: client)
    monkeypatch.setenv("DRAINED_PARAMETER", "drained")
    with Stubber(client) as stub:
        yield stub


@pytest.mark.reliability(
    "multi_region_api",
    "Throttling",
    fault="the list of drained Regions cannot be read while a Region is drained",
    expected="the Region stays drained",
    observed="the last value is reported; without one, 503, which drains nothing",
)
def test_unreadable_list_does_not_undrain(
    load_handler: Callable[..., ModuleType], ssm: Stubber, caplog: pytest.LogCaptureFixture
) -> None:
    handler = load_handler("drained").handler
    asked = [EVENT | {"pathParameters": {"region": region}} for region in ("us-west-2", "us-east-1")]
    ssm.add_client_error("get_parameter", "ThrottlingException")
    unknown = handler(asked[0], None)
    body = {"region": "eu-west-1", "state": "unknown", "requestId": "r-1"}
    assert (unknown["statusCode"], json.loads(unknown["body"])) == (503, body)
    (record,) = caplog.records
    assert vars(record).items() >= {"levelname": "WARNING", "status": "error"}.items()
    assert "ThrottlingException" in vars(record)["reason"]
    for response in ({"Parameter": {"Value": "us-west-2", "Version": 1}}, None):
        for event, expected in zip(asked, ((200, "drained=us-west-2/"), (404, "in service")), strict=True):
            if response:
                ssm.add_response("get_parameter", response)
            else:
                ssm.add_client_error("get_parameter", "ThrottlingException")
            found = handler(event, None)
            body = json.loads(found["body"])
            assert (found["statusCode"], body["state"]) == expected, "a status alone is enough"
            assert body["region"] == "eu-west-1"


def test_drain_command_stores_and_returns_the_list(
    load_handler: Callable[..., ModuleType],
    ssm: Stubber,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    module = load_handler("drain", drain_urls={name: f"https://{name}/" for name in ("eu-west-1", "us-west-2")})
    asked: list[Any] = []

    def report_nothing(*arguments: Any) -> list[str]:
        asked.append(arguments)
        return []

    monkeypatch.setattr(module, "regions_reporting", report_nothing)
    ssm.add_response("get_parameter", {"Parameter": {"Value": "none", "Version": 1}})
    ssm.add_response("put_parameter", {"Version": 2}, {"Name": "drained", "Value": "us-west-2", "Overwrite": True})
    assert module.handler({"drain": "us-west-2"}, None) == {"region": "eu-west-1", "drained": ["us-west-2"]}
    assert asked == [("eu-west-1", {"us-west-2": "https://us-west-2/eu-west-1"})], "asks the others about this Region"
    ssm.add_response("get_parameter", {"Parameter": {"Value": "us-west-2", "Version": 2}})
    assert module.handler({}, None)["drained"] == ["us-west-2"]
    ssm.assert_no_pending_responses()
    (record,) = caplog.records
    expected = {"levelname": "WARNING", "status": "changed", "region": "eu-west-1", "drained": ["us-west-2"]}
    assert vars(record).items() >= expected.items()


def test_boto3_is_imported_only_with_dependencies(load_handler: Callable[..., ModuleType]) -> None:
    for module in ("hello", "healthcheck"):
        load_handler(module)
        assert "multi_region_api.dependencies" not in sys.modules, "boto3 would slow down cold starts"
    load_handler("healthcheck", TABLE)
    assert "multi_region_api.dependencies" in sys.modules
