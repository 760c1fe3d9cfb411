"""Draining a Region from another one: decisions, and the stored list with botocore's stub of SSM."""

import socket
import ssl
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from lambdas.multi_region_api.drains import (
    DrainedList,
    DrainError,
    change,
    drained_token,
    read_drained,
    regions_reporting,
    write_drained,
)
from lambdas.multi_region_api.ssm_client import ssm_client

OTHERS = {"us-west-2", "eu-west-1"}
VALUES = [("none", set()), ("us-west-2", {"us-west-2"}), ("eu-west-1,us-west-2", OTHERS)]


def nobody() -> list[str]:
    return []


def test_drain_and_undrain_change_only_the_named_region() -> None:
    assert change({"drain": "us-west-2"}, {"eu-west-1"}, OTHERS, nobody) == OTHERS
    assert change({"undrain": "us-west-2"}, OTHERS, OTHERS, nobody) == {"eu-west-1"}
    assert change({}, {"eu-west-1"}, OTHERS, nobody) == {"eu-west-1"}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"drain": "us-east-1"}, r"'us-east-1' is not another Region of the API; accepted: eu-west-1, us-west-2"),
        ({"drain": ["us-west-2"]}, "is not another Region"),
        ({"undrain": "us-weast-2"}, "is not another Region"),
        ({"Drain": "us-west-2"}, "invalid request"),
        ({"drain": "us-west-2", "undrain": "eu-west-1"}, "invalid request"),
        ("drain", "invalid request 'drain': accepted are"),
        (["drain"], "invalid request"),
        ([], "invalid request"),
        (None, "invalid request None"),
    ],
)
@pytest.mark.reliability(
    "multi_region_api",
    "Malformed input",
    fault="a drain command for this Region, or for one that does not exist",
    expected="rejected with the accepted values; nothing is changed",
    observed="an error that names both",
)
def test_drain_of_own_or_unknown_region_is_rejected(request_: Any, message: str) -> None:
    with pytest.raises(DrainError, match=message):
        change(request_, set(), OTHERS, nobody)


@pytest.mark.reliability(
    "multi_region_api",
    "System-specific",
    fault="two Regions drain each other",
    expected="the second command is rejected; one Region stays in service",
    observed="an error that names the other Region",
)
def test_drained_region_cannot_drain_others_but_can_undrain() -> None:
    with pytest.raises(DrainError, match="this Region is drained by us-west-2"):
        change({"drain": "eu-west-1"}, set(), OTHERS, lambda: ["us-west-2"])
    assert change({"undrain": "eu-west-1"}, {"eu-west-1"}, OTHERS, lambda: ["us-west-2"]) == set()


@pytest.mark.enable_socket
def test_unreachable_url_has_an_empty_body() -> None:
    assert regions_reporting("us-east-1", {"us-west-2": "https://127.0.0.1:9/"}) == []


@pytest.fixture
def localhost(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ssl.SSLContext:
    """The certificate of a server at localhost, which `urllib` trusts."""
    import trustme

    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    monkeypatch.setattr("urllib.request._opener", None)  # would have loaded other certificates
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


class Reports(BaseHTTPRequestHandler):
    """Responds with the token of us-east-1: the path is the status, and the number of other bytes before the token."""

    def do_GET(self) -> None:
        status, others = map(int, self.path.strip("/").split("/"))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(b"\xff" * others + drained_token("us-east-1").encode())

    def log_message(self, *_arguments: Any) -> None:
        pass


@pytest.mark.enable_socket
@pytest.mark.needs("trustme")
@pytest.mark.parametrize(
    ("path", "reported"),
    [("200/0", True), ("200/5102", True), ("200/5103", False), ("503/0", False), ("404/0", False)],
)
def test_only_a_response_that_route_53_would_accept_is_a_report(
    localhost: ssl.SSLContext, path: str, reported: bool
) -> None:
    with HTTPServer(("127.0.0.1", 0), Reports) as server:
        server.socket = localhost.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        urls = {"us-west-2": f"https://localhost:{server.server_port}/{path}"}
        assert regions_reporting("us-east-1", urls) == ["us-west-2"] * reported
        server.shutdown()


@pytest.mark.enable_socket
@pytest.mark.needs("trustme")
@pytest.mark.parametrize("response", [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", b""])
@pytest.mark.parametrize("drips", [False, True])
@pytest.mark.reliability(
    "multi_region_api",
    "Lost event or response",
    fault="an impaired Region's report is invalid, or never ends",
    expected="another Region can still drain it",
    observed="it is ignored after a second",
)
def test_invalid_or_endless_report_does_not_prevent_a_drain(
    localhost: ssl.SSLContext, response: bytes, drips: bool
) -> None:
    """Each byte arrives in time, so the timeout of the socket does not apply."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def respond() -> None:
            client, _ = server.accept()
            with suppress(OSError), localhost.wrap_socket(client, server_side=True) as connection:
                connection.recv(1000)
                connection.sendall(response)
                while drips and not stop.wait(0.05):
                    connection.sendall(b"H")

        threading.Thread(target=respond, daemon=True).start()
        started = time.monotonic()
        assert regions_reporting("us-east-1", {"us-west-2": f"https://localhost:{server.getsockname()[1]}/"}) == []
        assert time.monotonic() - started < 5
        stop.set()


@pytest.mark.enable_socket
def test_request_for_a_silent_report_ends() -> None:
    """Otherwise its thread would stay until the connection ends."""
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert regions_reporting("us-east-1", {"us-west-2": f"https://127.0.0.1:{server.getsockname()[1]}/"}) == []
        for thread in set(threading.enumerate()) - before:
            thread.join(20)
            assert not thread.is_alive()


def test_client_gives_up_before_health_checkers_do() -> None:
    config: Any = ssm_client().meta.config
    attempts = config.retries["total_max_attempts"]
    assert attempts * (config.connect_timeout + config.read_timeout) <= 2, "Route 53 waits 2 s for the status"


@pytest.mark.parametrize(("value", "regions"), VALUES)
def test_parameter_stores_the_drained_regions(value: str, regions: set[str]) -> None:
    client = boto3.client("ssm")
    with Stubber(client) as stub:
        stub.add_response("get_parameter", {"Parameter": {"Value": value, "Version": 7}}, {"Name": "drained"})
        assert read_drained(client, "drained") == (regions, 7)
        stored = {"Name": "drained", "Value": value, "Overwrite": True}
        stub.add_response("put_parameter", {"Version": 8}, stored)
        write_drained(client, "drained", DrainedList(regions, 7))


@pytest.mark.reliability(
    "multi_region_api",
    "System-specific",
    fault="two commands change the list of one Region at the same time",
    expected="no change is lost unnoticed",
    observed="the later command fails, and its error has the list",
)
def test_overwritten_change_of_another_command_is_reported() -> None:
    """SSM has no conditional write, but numbers the versions of a parameter without gaps."""
    client = boto3.client("ssm")
    with Stubber(client) as stub:
        stub.add_response("put_parameter", {"Version": 9})
        with pytest.raises(
            DrainError, match="overwrote the change of another one at the same time; the list is now us-west-2: send"
        ):
            write_drained(client, "drained", DrainedList({"us-west-2"}, 7))


def test_token_of_one_region_is_not_in_that_of_another() -> None:
    assert drained_token("us-east-1") not in drained_token("us-east-11")
