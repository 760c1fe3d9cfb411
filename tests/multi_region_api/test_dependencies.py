"""Dependency checks, with a stub of DynamoDB's API and a local web server."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.error import HTTPError

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from lambdas.multi_region_api.dependencies import get_url, load_dependencies, read_item
from lambdas.multi_region_api.handler_settings import DependencySettings
from lambdas.multi_region_api.health import DependencyCheck, check_dependencies

KEY = {"order": {"S": "healthcheck"}}


class Page(BaseHTTPRequestHandler):
    """Responds with the status in the path."""

    def do_GET(self) -> None:
        self.send_response(int(self.path.strip("/")))
        self.send_header("Location", "/200")
        self.end_headers()

    def log_message(self, *_arguments: Any) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_table_with_missing_item_is_available() -> None:
    client = boto3.client("dynamodb")
    with Stubber(client) as stub:
        stub.add_response("get_item", {}, {"TableName": "Orders", "Key": KEY})
        read_item(client, "Orders", "order")
        stub.assert_no_pending_responses()


@pytest.mark.parametrize("code", ["ResourceNotFoundException", "AccessDeniedException", "ThrottlingException"])
@pytest.mark.reliability(
    "multi_region_api",
    "Throttling",
    fault="a dependency is throttled",
    expected="it counts as failed, and the Region is unhealthy",
    observed="`ThrottlingException` in the log",
)
@pytest.mark.reliability(
    "multi_region_api",
    "Access denied",
    fault="the health function is not allowed to read a table",
    expected="unhealthy; the response names the dependency, not the reason",
    observed="the name; the reason is in the log",
)
@pytest.mark.reliability("multi_region_api", "Deleted externally", fault="a table that the Region needs")
def test_unreadable_table_raises(code: str) -> None:
    client = boto3.client("dynamodb")
    with Stubber(client) as stub:
        stub.add_client_error("get_item", code)
        with pytest.raises(ClientError, match=code):
            read_item(client, "Orders", "order")


@pytest.mark.enable_socket
def test_url_with_2xx_status_is_available(url: str) -> None:
    get_url(f"{url}/200", 1)
    get_url(f"{url}/204", 1)


@pytest.mark.enable_socket
@pytest.mark.parametrize("status", [301, 302, 308, 404, 500, 503])
@pytest.mark.reliability(
    "multi_region_api",
    "Hostile input",
    fault="a dependency redirects, for example to the Lambda runtime API",
    expected="unhealthy; the redirect is not followed",
    observed="tested with 301, 302 and 308",
)
def test_url_with_error_or_redirect_raises(url: str, status: int) -> None:
    with pytest.raises(HTTPError, match=str(status)) as error:
        get_url(f"{url}/{status}", 1)
    assert error.value.fp.closed, "the connection of the response"


@pytest.mark.enable_socket
@pytest.mark.reliability(
    "multi_region_api",
    "Malformed input",
    fault="a dependency sends an invalid response, or closes the connection",
    expected="unhealthy",
    observed="at once",
)
def test_url_with_invalid_response_fails_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def respond() -> None:
            for text in (b"nonsense\r\n\r\n", b"HTTP/1.1 2", b""):
                client, _ = server.accept()
                with client:
                    client.recv(1000)
                    client.sendall(text)

        threading.Thread(target=respond, daemon=True).start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}/"
        for _ in range(3):
            (reason,) = check_dependencies([DependencyCheck("payments", 2, partial(get_url, address, 1))]).values()
            assert "no response within" not in reason, "the check waited for the timeout"


@pytest.mark.enable_socket
@pytest.mark.reliability(
    "multi_region_api",
    "Timeout",
    fault="a dependency never responds, or never ends its response",
)
def test_url_with_endless_response_fails_after_timeout() -> None:
    """Each byte arrives in time, so the timeout of the socket does not apply."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            client, _ = server.accept()
            with client, suppress(OSError):
                while not stop.wait(0.02):
                    client.sendall(b"H")

        threading.Thread(target=drip, daemon=True).start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}/"
        started = time.monotonic()
        failed = check_dependencies([DependencyCheck("payments", 0.3, partial(get_url, address, 0.3))])
        assert time.monotonic() - started < 30, "the check did not end"
        stop.set()
    assert failed == {"payments": "no response within 0.3 s"}


@pytest.mark.enable_socket
@pytest.mark.reliability(
    "multi_region_api",
    "Lost event or response",
    fault="a dependency or a Region's endpoint rejects connections",
    expected="unhealthy",
    observed="connection refused",
)
def test_url_with_refused_connection_raises() -> None:
    with pytest.raises(OSError, match="refused"):
        get_url("http://127.0.0.1:9/", 1)


@pytest.mark.enable_socket
@pytest.mark.reliability(
    "multi_region_api",
    "Timeout",
    fault="a dependency never responds, or never ends its response",
)
def test_url_without_response_raises_after_timeout() -> None:
    """Otherwise the thread of each check would stay until the connection ends."""
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(TimeoutError):
        get_url(f"http://127.0.0.1:{server.getsockname()[1]}/", 0.1)


def test_load_dependencies_sets_timeouts_and_one_attempt() -> None:
    table: DependencySettings = {
        "name": "orders",
        "table": "Orders",
        "partition_key": "order",
        "timeout_seconds": 0.7,
    }
    page: DependencySettings = {
        "name": "payments",
        "url": "https://example.com/",
        "partition_key": "id",
        "timeout_seconds": 0.5,
    }
    orders, payments = load_dependencies([table, page])
    assert (orders.name, orders.timeout_seconds) == ("orders", 0.7)
    client = orders.run.args[0]  # type: ignore[attr-defined]
    config = client.meta.config
    assert (config.connect_timeout, config.read_timeout, config.retries["total_max_attempts"]) == (0.7, 0.7, 1)
    assert payments.run.args == ("https://example.com/", 0.5)  # type: ignore[attr-defined]


def test_url_dependency_does_not_import_boto3() -> None:
    program = (
        "import sys; from lambdas.multi_region_api.dependencies import load_dependencies;"
        "load_dependencies([{'name': 'page', 'url': 'http://127.0.0.1/', 'timeout_seconds': 1}]);"
        "print('boto3' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"
