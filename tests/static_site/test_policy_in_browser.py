"""The derived Content-Security-Policy in Chromium, with a page that has every kind of code that it allows."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest

from settings.static_site import StaticSiteSettings
from stacks.static_site.security_policy import site_policy
from walkthroughs.browser import browser
from walkthroughs.walkthrough import SkipStep, Target

pytestmark = [pytest.mark.enable_socket, pytest.mark.needs("selenium")]
DEFAULT = StaticSiteSettings.model_fields["content_security_policy"].default
PAGE = """<!doctype html><html><head><title>Kinds</title><link rel="icon" href="data:,">
<script>blocked = []; addEventListener("securitypolicyviolation", e => blocked.push(e.effectiveDirective))</script>
<style>#style { width: 51px }</style></head><body>
<p id="style">style</p>
<p class="[&>p]:w-4" id="attribute" style="width: 52px">attribute</p>
<p id=unquoted style=width:53px>unquoted</p>
<div id="parent"></div>
<img id="image" src="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' width='54' height='1'/%3E">
<iframe id="frame" src="/framed.html"></iframe>
<object id="object" data="/framed.html" type="text/html"></object>
<button id="handler" onclick="this.textContent = 'clicked'">handler</button>
<script type="module">document.title = "module"</script>
<script src="/app.js"></script></body></html>"""
SCRIPT = """
document.getElementById("parent").innerHTML = `<p id="created" style="width: 55px">created</p>`;
WebAssembly.instantiate(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])).then(
  () => { document.body.dataset.wasm = "started" }, () => { document.body.dataset.wasm = "blocked" });
"""
MEASURE = """
const width = id => document.getElementById(id).getBoundingClientRect().width;
const framed = id => document.getElementById(id).contentDocument?.title ?? "blocked";
document.getElementById("handler").click();
return {
  title: document.title, wasm: document.body.dataset.wasm, image: document.getElementById("image").naturalWidth,
  widths: ["style", "attribute", "unquoted", "created"].map(width), frame: framed("frame"), object: framed("object"),
  button: document.getElementById("handler").textContent, blocked: window.blocked,
}"""
WORKING = {
    "title": "module",
    "wasm": "started",
    "image": 54,
    "widths": [51, 52, 53, 55],
    "frame": "Framed",
    "object": "Framed",
    "button": "clicked",
    "blocked": [],
}


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder with the policy, as a distribution would."""

    policy, frame_option = "", ""

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", type(self).policy)
        self.send_header("X-Frame-Options", type(self).frame_option)
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "index.html").write_text(PAGE)
    (tmp_path / "framed.html").write_text("<!doctype html><title>Framed</title>")
    (tmp_path / "app.js").write_text(SCRIPT)
    return tmp_path


@pytest.fixture
def url(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.mark.reliability(
    "static_site", "System-specific", fault="a site with inline scripts, which the default policy blocks"
)
def test_page_works_with_derived_policy_only(folder: Path, url: str) -> None:
    target = Target(boto3.Session(), timeout_seconds=60, propagation_seconds=0)
    derived = site_policy(folder, DEFAULT)
    allowed = site_policy(folder, DEFAULT, additional_sources=derived.additional_sources)
    assert derived.embeds_itself, "the stack sends SAMEORIGIN then"
    try:
        with browser(target) as driver:

            def measure(policy: str, frame_option: str) -> dict[str, Any]:
                Handler.policy, Handler.frame_option = policy, frame_option
                driver.get(url)
                target.wait_until(lambda: driver.execute_script("return document.body.dataset.wasm"), "the script ran")
                result: dict[str, Any] = driver.execute_script(MEASURE)
                return result

            assert measure(allowed.header, "SAMEORIGIN") == WORKING
            assert measure(derived.header, "SAMEORIGIN") == WORKING | {
                "button": "handler",
                "blocked": ["script-src-attr"],
            }, "only what synthesis reports is blocked"
            underived = measure(DEFAULT, "DENY")
            assert not [name for name in WORKING if underived[name] == WORKING[name]], "the default blocks everything"
    except SkipStep as reason:
        pytest.skip(str(reason))
