"""Facts about the sample checks: on a stub of DynamoDB's API, and against a server on this computer."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from lambdas.multi_region_api.dependencies import checks_of, get, read_item
from lambdas.multi_region_api.health import Check, failures

KEY = {"order": {"S": "healthcheck"}}


class Page(BaseHTTPRequestHandler):
    """Answers with the status that the path is."""

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


def test_table_is_there_when_an_item_can_be_read_and_the_item_need_not_be() -> None:
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
    expected="it counts as gone: sick",
    observed="`ThrottlingException` in the log",
)
@pytest.mark.reliability(
    "multi_region_api",
    "Access denied",
    fault="the health function may not read a table",
    expected="sick; the answer says what failed, not why",
    observed="the name of the check; the reason is in the log",
)
@pytest.mark.reliability("multi_region_api", "Deleted by somebody else", fault="a table that the region needs")
def test_table_that_cannot_be_read_is_not_there(code: str) -> None:
    client = boto3.client("dynamodb")
    with Stubber(client) as stub:
        stub.add_client_error("get_item", code)
        with pytest.raises(ClientError, match=code):
            read_item(client, "Orders", "order")


@pytest.mark.enable_socket
def test_url_is_there_when_it_answers_2xx(url: str) -> None:
    get(f"{url}/200", 1)
    get(f"{url}/204", 1)


@pytest.mark.enable_socket
@pytest.mark.parametrize("status", [301, 302, 308, 404, 500, 503])
@pytest.mark.reliability(
    "multi_region_api",
    "Hostile input",
    fault="a dependency that redirects, for example to the function's own runtime",
    expected="not followed; sick",
    observed="each 3xx",
)
def test_url_with_an_error_or_a_redirect_is_not_there(url: str, status: int) -> None:
    with pytest.raises(OSError, match=str(status)):
        get(f"{url}/{status}", 1)


@pytest.mark.enable_socket
@pytest.mark.reliability(
    "multi_region_api",
    "Malformed input",
    fault="a dependency answers nonsense, or breaks off",
    expected="sick",
    observed="at once",
)
def test_url_that_answers_nonsense_or_breaks_off_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            for text in (b"nonsense\r\n\r\n", b"HTTP/1.1 2", b""):
                caller, _ = server.accept()
                with caller:
                    caller.recv(1000)
                    caller.sendall(text)

        threading.Thread(target=answer, daemon=True).start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}/"
        for _ in range(3):
            (reason,) = failures([Check("payments", 2, partial(get, address, 1))]).values()
            assert "no answer within" not in reason, "it was waited for"


@pytest.mark.enable_socket
@pytest.mark.reliability(
    "multi_region_api",
    "Timeout mid-way",
    fault="a dependency never answers, or never ends its answer",
)
def test_url_whose_answer_never_ends_is_not_waited_for() -> None:
    """Each byte comes in time, and so no time-out of the socket ever ends it."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            caller, _ = server.accept()
            with caller, suppress(OSError):
                while not over.wait(0.02):
                    caller.sendall(b"H")

        threading.Thread(target=drip, daemon=True).start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}/"
        started = time.monotonic()
        failed = failures([Check("payments", 0.3, partial(get, address, 0.3))])
        assert time.monotonic() - started < 30, "it never ends"
        over.set()
    assert failed == {"payments": "no answer within 0.3 s"}


@pytest.mark.enable_socket
@pytest.mark.reliability(
    "multi_region_api",
    "Lost",
    fault="nobody listens at a dependency's address, or at the region's",
    expected="sick",
    observed="connection refused",
)
def test_url_to_which_nobody_listens_is_not_there() -> None:
    with pytest.raises(OSError, match="refused"):
        get("http://127.0.0.1:9/", 1)


def test_each_dependency_of_the_settings_becomes_a_check_that_asks_once_and_in_time() -> None:
    table = {"name": "orders", "table": "Orders", "partition_key": "order", "url": None, "seconds": 0.7}
    page = {"name": "payments", "table": None, "partition_key": "id", "url": "https://example.com/", "seconds": 0.5}
    orders, payments = checks_of([table, page])
    assert (orders.name, orders.seconds) == ("orders", 0.7)
    client = orders.ask.args[0]  # type: ignore[attr-defined]
    assert (client.meta.config.read_timeout, client.meta.config.retries["total_max_attempts"]) == (0.7, 1)
    assert payments.ask.args == ("https://example.com/", 0.5)  # type: ignore[attr-defined]
