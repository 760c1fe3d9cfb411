"""Attacks of web pages on H2O through nginx, in front of a server that records the requests it receives.

`test_cluster` runs the same configuration in front of H2O.
"""

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from .conftest import HOST

BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/142.0.0.0"}
LOCAL = "Host: localhost:54321"
FORM = "application/x-www-form-urlencoded"

pytestmark = [
    pytest.mark.enable_socket,
    pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not installed"),
]


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port: int = server.getsockname()[1]
        return port


class FakeH2O(BaseHTTPRequestHandler):
    """A server that records method, path, headers and body length of every request."""

    requests: list[tuple[str, str, dict[str, str], int]]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.requests.append((self.command, self.path, dict(self.headers), len(body)))
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"h2o")

    do_POST = do_OPTIONS = do_GET  # noqa: N815

    def log_message(self, *_arguments: object) -> None:
        pass


class Proxy:
    """nginx with the host's configuration, except for its ports."""

    def __init__(self, port: int, requests: list[tuple[str, str, dict[str, str], int]]) -> None:
        self.port, self.requests = port, requests

    def send(self, request: bytes) -> str:
        """Send the bytes of a request, and return the response."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as client:
            client.sendall(request)
            response = b""
            with suppress(TimeoutError, ConnectionResetError):
                while chunk := client.recv(65536):
                    response += chunk
        return response.decode()

    def status(self, headers: dict[str, str], method: str = "GET", path: str = "/3/Cloud", body: str = "") -> int:
        fields = {"Host": f"localhost:{self.port}", "Connection": "close"} | headers
        fields |= {"Content-Length": str(len(body))} if body else {}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        return int(self.send(("\r\n".join(lines) + "\r\n\r\n" + body).encode()).split()[1])


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    handler: Any = type("Handler", (FakeH2O,), {"requests": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as upstream:
        threading.Thread(target=upstream.serve_forever, args=(0.01,), daemon=True).start()
        site = (HOST / "nginx_h2o.conf").read_text()
        for old, new in (("127.0.0.1:54321;", port), ("127.0.0.1:54323;", upstream.server_port)):
            assert site.count(old) == 1
            site = site.replace(old, f"127.0.0.1:{new};")
        process = start_nginx(folder, site)
        wait_for(port, process)
        yield Proxy(port, handler.requests)
        process.terminate()
        process.wait()
        upstream.shutdown()


def start_nginx(folder: Path, site: str, *prefix: str) -> subprocess.Popen[bytes]:
    """Start nginx with one site in the foreground, with all of its files in `folder`.

    prefix: a program that runs nginx, with its arguments.
    """
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log;\n"
        f"{'user root;' if os.geteuid() == 0 else ''}\n"
        f"events {{}}\nhttp {{ access_log off; lingering_close off;\n{temporary}{site}}}\n"
    )
    files = ["-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", f"{folder}/error.log"]
    return subprocess.Popen([*prefix, "nginx", *files])


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, "nginx ended"
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.05)
    raise AssertionError("nginx does not listen")


@pytest.fixture
def proxy(running: Proxy) -> Proxy:
    running.requests.clear()
    return running


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},  # a page in a sandboxed frame or a file
        {"Origin": "http://localhost:8888"},  # another port, such as JupyterLab's
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "unknown"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},  # a link: GET /3/ImportFiles imports files
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"},  # a redirect of an address that the user opened
        BROWSER,  # one without Sec-Fetch-Site: an image sends no Origin
        {"User-Agent": "AppleCoreMedia/1.0.0.21H312 (Macintosh; U; Intel Mac OS X 14_6_1; en_us)"},  # a video in Safari
        {"User-Agent": "stagefright/1.2 (Linux;Android 5.0)"},
        {"User-Agent": "VLC/3.0.21 LibVLC/3.0.21"},
        {"User-Agent": ""},
        {},  # no User-Agent
        {"Host": "evil.example"},  # DNS rebinding, in the next lines with the headers of the attacker's page
        {"Host": "evil.example:54321", "Origin": "http://evil.example:54321", "Sec-Fetch-Site": "same-origin"},
        {"Host": "localhost.evil.example:54321", "Sec-Fetch-Site": "same-origin"},
        {"Host": "evil-localhost:54321", "Sec-Fetch-Site": "none"},
    ],
    ids=str,
)
@pytest.mark.reliability(
    "analytics_host",
    "Hostile input",
    fault="a web page sends requests to H2O with the browser's stored password",
    expected="rejected before they reach H2O",
    observed="403; H2O received nothing",
)
def test_request_of_other_web_page_is_rejected(proxy: Proxy, headers: dict[str, str]) -> None:
    headers = {"Authorization": "Basic YTpi"} | headers
    assert proxy.status(headers, path="/3/ImportFiles?path=/etc/passwd") == 403
    assert proxy.status(headers | {"Content-Type": FORM}, "POST", "/99/Rapids", "ast=(ls)") == 403
    assert proxy.status(headers | {"Content-Type": "text/plain"}, "POST", "/3/Shutdown", "x") == 403
    assert not proxy.requests


@pytest.mark.reliability(
    "analytics_host",
    "Hostile input",
    fault="a web page sends requests to H2O with the browser's stored password",
)
def test_preflight_of_other_web_page_is_rejected(proxy: Proxy) -> None:
    origin = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    assert proxy.status(origin, "OPTIONS", "/99/Rapids") == 403
    assert not proxy.requests


@pytest.mark.parametrize(
    ("request_line", "headers", "status"),
    [
        ("GET /3/Cloud HTTP/1.0", [], 403),  # no Host
        ("GET /3/Cloud HTTP/1.1", [], 400),
        ("GET /3/Cloud HTTP/1.1", [LOCAL, "Host: evil.example"], 400),
        ("GET /3/Cloud HTTP/1.1", ["Host: evil.example", LOCAL], 400),
        ("GET http://localhost:54321/3/Cloud HTTP/1.1", ["Host: evil.example"], 403),
        ("GET /3/Cloud HTTP/1.1", [LOCAL, "Origin: http://evil", "Origin: http://localhost:54321"], 403),
        ("GET /3/Cloud HTTP/1.1", [LOCAL, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: none"], 403),
        ("POST /3/Cloud HTTP/1.1", [LOCAL, "Content-Length: 1", "Transfer-Encoding: chunked"], 400),
        ("PRI * HTTP/2.0", [], 400),
    ],
)
def test_malformed_request_is_rejected(proxy: Proxy, request_line: str, headers: list[str], status: int) -> None:
    lines = [request_line, *headers, "Connection: close"]
    response = proxy.send(("\r\n".join(lines) + "\r\n\r\n").encode())
    assert int(response.split()[1]) == status, response
    assert not proxy.requests


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_request_of_flow_reaches_h2o(proxy: Proxy, host: str) -> None:
    address = f"{host}:{proxy.port}"
    browser = BROWSER | {"Host": address, "Authorization": "Basic YTpi"}
    typed = browser | {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}
    assert proxy.status(typed, path="/flow/index.html") == 200
    of_flow = browser | {"Sec-Fetch-Site": "same-origin", "Origin": f"http://{address}", "Content-Type": FORM}
    assert proxy.status(of_flow, "POST", "/99/Rapids", "ast=(ls)") == 200
    (get, path, headers, _), (post, _, _, length) = proxy.requests
    assert (get, path, post, length) == ("GET", "/flow/index.html", "POST", len("ast=(ls)"))
    assert (headers["Host"], headers["Authorization"]) == (address, "Basic YTpi"), "H2O redirects to this host"


@pytest.mark.parametrize(
    "path",
    [
        "/flow/../3/ImportFiles?path=http://evil.example/",
        "/flow/%2e%2e/3/ImportFiles?path=/etc/passwd",
        "/flow/index.html/../../3/Shutdown",
        "//3/ImportFiles?path=/etc/passwd",
        "/3/Frames/songs/export/%2Ftmp%2Fsongs.csv/overwrite/true",
        "/flow/index.html?import=1",
    ],
)
def test_redirected_address_opens_only_flow(proxy: Proxy, path: str) -> None:
    headers = BROWSER | {"Host": f"localhost:{proxy.port}", "Sec-Fetch-Site": "none", "Authorization": "Basic YTpi"}
    assert proxy.status(headers, path=path) == 403
    assert proxy.status(headers, "POST", "/flow/index.html", "x") == 403
    assert not proxy.requests


@pytest.mark.parametrize(
    "agent",
    [
        "H2O Python client/3.11.2 (main, Nov 30 2024, 22:22:21) [GCC 13.2.0]",
        "R version 4.5.1 (2025-06-13)",  # H2O's client for R
        "R (4.5.1 x86_64-pc-linux-gnu x86_64 linux-gnu)",  # R's download.file
        "libcurl/8.5.0 r-curl/6.4.0 httr/1.4.7",
        "curl/8.5.0",
        "python-requests/2.32.4",
        "Python-urllib/3.12",
    ],
)
def test_request_of_program_reaches_h2o(proxy: Proxy, agent: str) -> None:
    client = {"User-Agent": agent, "Host": "localhost:12345"}  # another forwarded port
    assert proxy.status(client) == 200
    assert proxy.status(client, "POST", "/3/Parse", "x") == 200
    assert [request[2]["User-Agent"] for request in proxy.requests] == [agent, agent]


def test_long_url_and_large_file_reach_h2o(proxy: Proxy) -> None:
    client = {"User-Agent": "H2O Python client/3.11"}
    assert proxy.status(client, "POST", f"/3/Parse?{'x' * 20_000}", "y" * 3_000_000) == 200
    assert [request[3] for request in proxy.requests] == [3_000_000]
