"""The browser client, in Chromium and against a local API with given responses."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import copytree
from typing import Any

import boto3
import pytest

from walkthroughs.browser import browser
from walkthroughs.walkthrough import SkipStep, Target

from ..conftest import ROOT

pytestmark = [pytest.mark.enable_socket, pytest.mark.needs("selenium")]
CLIENT = ROOT / "assets" / "multi_region_api" / "client"
SECONDS = 60


@dataclass
class Api:
    """The API's responses in order, of which the last one repeats; None closes the connection."""

    responses: list[tuple[int, Any] | None] = field(default_factory=list)
    url: str = ""
    connections: list[Any] = field(default_factory=list)  # the client's address of each request

    def next(self) -> tuple[int, Any] | None:
        return self.responses.pop(0) if len(self.responses) > 1 else self.responses[0]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections

    def __init__(self, api: Api, *arguments: Any) -> None:
        self.api = api
        super().__init__(*arguments)

    def do_GET(self) -> None:
        self.api.connections.append(self.client_address)
        response = self.api.next()
        if response is None:
            self.close_connection = True
            return
        body = response[1] if isinstance(response[1], bytes) else json.dumps(response[1]).encode()
        self.send_response(response[0])
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        pass


class Files(SimpleHTTPRequestHandler):
    def log_message(self, *_arguments: Any) -> None:
        pass


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    try:
        with browser(
            Target(boto3.Session(), timeout_seconds=SECONDS, propagation_seconds=0), width=390, height=844
        ) as opened:
            yield opened
    except SkipStep as reason:
        pytest.skip(str(reason))


def start_server(handler: Callable[..., Any]) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


@contextmanager
def running_api() -> Iterator[Api]:
    api = Api()
    server = start_server(partial(Handler, api))
    api.url = f"http://127.0.0.1:{server.server_port}/v1/helloworld"
    yield api
    server.shutdown()
    server.server_close()


@pytest.fixture
def api() -> Iterator[Api]:
    """The API at the name that all Regions share."""
    with running_api() as api:
        yield api


@pytest.fixture
def other_region() -> Iterator[Api]:
    """The API at the name of another Region."""
    with running_api() as api:
        yield api


def write_page(folder: Path, api: Api, *regional: Api, return_ms: int = 60_000) -> Path:
    """Copy the page, with short delays, and return its path."""
    copytree(CLIENT, folder)
    settings = {
        "url": api.url,
        "regionalUrls": [other.url for other in regional],
        "intervalMs": 20,
        "returnMs": return_ms,
    }
    (folder / "settings.js").write_text(f"const SETTINGS = {json.dumps(settings)};\n")
    script = (folder / "client.js").read_text()
    assert "DELAY_MS = 500;" in script
    (folder / "client.js").write_text(script.replace("DELAY_MS = 500;", "DELAY_MS = 2;"))
    return folder / "index.html"


@pytest.fixture
def page(api: Api, tmp_path: Path) -> Path:
    return write_page(tmp_path / "client", api)


def hello(region: str) -> tuple[int, Any]:
    return 200, {"message": f"Hello from {region}", "region": region}


def text(driver: Any, element: str) -> str:
    return str(driver.find_element("id", element).text)


def wait_for(driver: Any, element: str, wanted: str) -> str:
    deadline = time.monotonic() + SECONDS
    while wanted not in text(driver, element):
        assert time.monotonic() < deadline, f"no {wanted!r} in {element}: {text(driver, element)!r}"
        time.sleep(0.02)
    return text(driver, element)


def test_page_from_file_system_shows_region_and_latency(driver: Any, api: Api, page: Path) -> None:
    api.responses = [hello("us-east-1")]
    driver.get(page.as_uri())
    wait_for(driver, "region", "us-east-1")
    assert text(driver, "detail").endswith(" ms")
    assert text(driver, "url") == api.url
    assert text(driver, "no-switch") == "None yet."


def test_page_from_web_server_shows_region(driver: Any, api: Api, page: Path) -> None:
    api.responses = [hello("us-east-1")]
    server = start_server(partial(Files, directory=str(page.parent)))
    try:
        driver.get(f"http://127.0.0.1:{server.server_port}/")
        wait_for(driver, "region", "us-east-1")
    finally:
        server.shutdown()
        server.server_close()


def test_switch_is_shown_with_time_and_kept_in_history(driver: Any, api: Api, page: Path) -> None:
    api.responses = [hello("us-east-1"), hello("us-east-1"), hello("us-west-2"), hello("us-west-2"), hello("us-east-1")]
    driver.get(page.as_uri())
    wait_for(driver, "switches", "us-west-2 \u2192 us-east-1")
    newest, first = text(driver, "switches").splitlines()
    assert first.endswith("us-east-1 \u2192 us-west-2"), text(driver, "switches")
    assert newest[:8].replace(":", "").isdigit(), f"no time of day: {newest}"
    assert text(driver, "no-switch") == ""
    rows = [row.split()[1] for row in text(driver, "history").splitlines()]
    assert rows[-5:] == ["us-east-1", "us-west-2", "us-west-2", "us-east-1", "us-east-1"]
    script = "return Array.from(document.querySelectorAll('.bars li'), bar => getComputedStyle(bar).backgroundColor)"
    assert len(set(driver.execute_script(script))) == 2, "each Region has its own color"


@pytest.mark.parametrize(
    ("response", "message"),
    [
        ((503, {"health": "unhealthy"}), "HTTP 503"),
        ((200, b"<html>"), "JSON"),
        ((200, b"null"), "response without a Region"),
        ((200, {"region": ""}), "response without a Region"),
        ((404, {}), "HTTP 404"),
        (None, "unreachable, or this page's origin is not allowed"),
    ],
)
@pytest.mark.reliability(
    "multi_region_api",
    "Lost event or response",
    fault="a request of the browser client fails",
    expected="the page shows the error and continues",
    observed='"no response" after the last attempt, then the Region again',
)
def test_failed_call_is_shown_and_page_continues(
    driver: Any, api: Api, page: Path, response: tuple[int, Any] | None, message: str
) -> None:
    api.responses = [hello("us-east-1"), response]
    driver.get(page.as_uri())
    wait_for(driver, "region", "no response")
    assert message in text(driver, "detail"), text(driver, "detail")
    assert "last response from us-east-1" in text(driver, "detail")
    api.responses = [hello("us-east-1")]
    wait_for(driver, "region", "us-east-1")
    assert text(driver, "switches") == "", "an error is not a switch"
    assert " 0 failed" not in text(driver, "counts")


@pytest.mark.reliability(
    "multi_region_api",
    "Hostile input",
    fault="a Region name with HTML markup",
    expected="the page shows it as text",
    observed="`<img` is shown and not run",
)
def test_region_with_markup_is_shown_as_text(driver: Any, api: Api, page: Path) -> None:
    api.responses = [hello("<img src=x onerror=alert(1)>")]
    driver.get(page.as_uri())
    assert wait_for(driver, "region", "<img") == "<img src=x onerror=alert(1)>"


def test_history_and_bars_are_limited(driver: Any, api: Api, page: Path) -> None:
    api.responses = [hello("us-east-1")]
    driver.get(page.as_uri())
    deadline = time.monotonic() + SECONDS
    while int(text(driver, "counts").partition(" ")[0] or "0") < 70:
        assert time.monotonic() < deadline, f"only {text(driver, 'counts')}"
        time.sleep(0.02)
    assert len(driver.find_elements("css selector", "#history tr")) == 20
    assert len(driver.find_elements("css selector", ".bars li")) == 60


def test_page_fits_phone_and_follows_color_scheme(driver: Any, api: Api, page: Path) -> None:
    api.responses = [hello("us-east-1")]
    driver.get(page.as_uri())
    wait_for(driver, "region", "us-east-1")
    too_wide = driver.execute_script(
        "return document.documentElement.scrollWidth > document.documentElement.clientWidth"
    )
    assert not too_wide, "the page is wider than the window"
    backgrounds = []
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        backgrounds.append(driver.find_element("tag name", "body").value_of_css_property("background-color"))
    assert backgrounds[0] != backgrounds[1]


@pytest.mark.reliability(
    "multi_region_api",
    "Lost event or response",
    fault="an unhealthy Region returns 5xx or 429, or closes the connection",
)
@pytest.mark.parametrize("response", [(502, {}), (429, {}), None])
def test_page_leaves_a_failing_region_without_a_failed_call(
    driver: Any, api: Api, other_region: Api, tmp_path: Path, response: tuple[int, Any] | None
) -> None:
    api.responses, other_region.responses = [hello("us-east-1"), response], [hello("us-west-2")]
    driver.get(write_page(tmp_path / "client", api, other_region).as_uri())
    wait_for(driver, "region", "us-west-2")
    wait_for(driver, "counts", "0 failed")
    assert "us-east-1 \u2192 us-west-2" in text(driver, "switches")
    called = len(api.connections)
    assert called <= 3, (
        "the first call, the failed attempt, and its repetition by the browser after a closed connection"
    )
    already = len(other_region.connections)
    while len(other_region.connections) < already + 3:
        time.sleep(0.02)
    assert len(api.connections) == called, "the page does not return to the Region at once"
    assert text(driver, "counts").endswith(", 1 retried, 0 failed")


def test_page_returns_to_the_shared_name(driver: Any, api: Api, other_region: Api, tmp_path: Path) -> None:
    api.responses, other_region.responses = [(502, {}), hello("us-east-1")], [hello("us-west-2")]
    driver.get(write_page(tmp_path / "client", api, other_region, return_ms=200).as_uri())
    wait_for(driver, "switches", "us-west-2 \u2192 us-east-1")
    assert len(set(api.connections)) == 1, "the browser keeps the connection of a name"


def test_page_does_not_retry_a_client_error(driver: Any, api: Api, other_region: Api, tmp_path: Path) -> None:
    api.responses, other_region.responses = [(404, {})], [hello("us-west-2")]
    driver.get(write_page(tmp_path / "client", api, other_region).as_uri())
    wait_for(driver, "detail", "HTTP 404")
    assert not other_region.connections
