"""Facts about the browser client, in Chromium against an API on this computer that does as it is told."""

import json
import threading
import time
from collections.abc import Callable, Iterator
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
    """What the API answers, one after the other, the last one again and again; None closes the connection."""

    answers: list[tuple[int, Any] | None] = field(default_factory=list)
    url: str = ""

    def next(self) -> tuple[int, Any] | None:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class Handler(BaseHTTPRequestHandler):
    def __init__(self, api: Api, *arguments: Any) -> None:
        self.api = api
        super().__init__(*arguments)

    def do_GET(self) -> None:
        answer = self.api.next()
        if answer is None:
            return
        self.send_response(answer[0])
        self.send_header("Access-Control-Allow-Origin", "*")
        self.end_headers()
        self.wfile.write(answer[1] if isinstance(answer[1], bytes) else json.dumps(answer[1]).encode())

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


def serving(handler: Callable[..., Any]) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


@pytest.fixture
def api() -> Iterator[Api]:
    told = Api()
    server = serving(partial(Handler, told))
    told.url = f"http://127.0.0.1:{server.server_port}/v1/helloworld"
    yield told
    server.shutdown()
    server.server_close()


@pytest.fixture
def page(api: Api, tmp_path: Path) -> Path:
    folder = copytree(CLIENT, tmp_path / "client")
    (folder / "settings.js").write_text(f'const SETTINGS = {{ url: "{api.url}", every: 20 }};\n')
    return folder / "index.html"


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


def test_page_from_the_file_system_shows_region_and_latency(driver: Any, api: Api, page: Path) -> None:
    api.answers = [hello("us-east-1")]
    driver.get(page.as_uri())
    wait_for(driver, "region", "us-east-1")
    assert text(driver, "detail").endswith(" ms")
    assert text(driver, "url") == api.url
    assert text(driver, "no-switch") == "None yet."


def test_page_from_a_web_server_does_the_same(driver: Any, api: Api, page: Path) -> None:
    api.answers = [hello("us-east-1")]
    server = serving(partial(Files, directory=str(page.parent)))
    try:
        driver.get(f"http://127.0.0.1:{server.server_port}/")
        wait_for(driver, "region", "us-east-1")
    finally:
        server.shutdown()
        server.server_close()


def test_switch_is_shown_with_its_moment_and_stays_in_the_history(driver: Any, api: Api, page: Path) -> None:
    api.answers = [hello("us-east-1"), hello("us-east-1"), hello("us-west-2"), hello("us-west-2"), hello("us-east-1")]
    driver.get(page.as_uri())
    wait_for(driver, "switches", "us-west-2 \u2192 us-east-1")
    newest, first = text(driver, "switches").splitlines()
    assert first.endswith("us-east-1 \u2192 us-west-2"), text(driver, "switches")
    assert newest[:8].replace(":", "").isdigit(), f"no time of day: {newest}"
    assert text(driver, "no-switch") == ""
    rows = [row.split()[1] for row in text(driver, "history").splitlines()]
    assert rows[-5:] == ["us-east-1", "us-west-2", "us-west-2", "us-east-1", "us-east-1"]
    script = "return Array.from(document.querySelectorAll('.bars li'), bar => getComputedStyle(bar).backgroundColor)"
    assert len(set(driver.execute_script(script))) == 2, "each region has a colour of its own"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((503, {"health": "sick"}), "HTTP 503"),
        ((200, b"<html>"), "JSON"),
        ((200, b"null"), "an answer without a region"),
        (None, "not reached, or this page may not call it"),
    ],
)
@pytest.mark.reliability(
    "multi_region_api",
    "Lost",
    fault="a call of the browser client",
    expected="shown, and the page goes on",
    observed='"no answer", then the region again',
)
def test_error_is_shown_and_the_page_goes_on(
    driver: Any, api: Api, page: Path, answer: tuple[int, Any] | None, said: str
) -> None:
    api.answers = [hello("us-east-1"), answer]
    driver.get(page.as_uri())
    wait_for(driver, "region", "no answer")
    assert said in text(driver, "detail"), text(driver, "detail")
    assert "last answer from us-east-1" in text(driver, "detail")
    api.answers = [hello("us-east-1")]
    wait_for(driver, "region", "us-east-1")
    assert text(driver, "switches") == "", "an error between is no switch"
    assert " 0 failed" not in text(driver, "counts")


@pytest.mark.reliability(
    "multi_region_api",
    "Hostile input",
    fault="a region's name with markup",
    expected="shown as text",
    observed="`<img` is shown, not run",
)
def test_region_is_shown_as_text_whatever_it_says(driver: Any, api: Api, page: Path) -> None:
    api.answers = [hello("<img src=x onerror=alert(1)>")]
    driver.get(page.as_uri())
    assert wait_for(driver, "region", "<img") == "<img src=x onerror=alert(1)>"


def test_history_has_an_end(driver: Any, api: Api, page: Path) -> None:
    api.answers = [hello("us-east-1")]
    driver.get(page.as_uri())
    deadline = time.monotonic() + SECONDS
    while int(text(driver, "counts").partition(" ")[0] or "0") < 70:
        assert time.monotonic() < deadline, f"only {text(driver, 'counts')}"
        time.sleep(0.02)
    assert len(driver.find_elements("css selector", "#history tr")) == 20
    assert len(driver.find_elements("css selector", ".bars li")) == 60


def test_page_fits_a_phone_and_follows_light_and_dark(driver: Any, api: Api, page: Path) -> None:
    api.answers = [hello("us-east-1")]
    driver.get(page.as_uri())
    wait_for(driver, "region", "us-east-1")
    wide = driver.execute_script("return document.documentElement.scrollWidth > document.documentElement.clientWidth")
    assert not wide, "the page is wider than the window"
    grounds = []
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        grounds.append(driver.find_element("tag name", "body").value_of_css_property("background-color"))
    assert grounds[0] != grounds[1]
