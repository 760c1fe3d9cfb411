"""Tests of a host when calls to AWS or to its services fail, with fakes for AWS."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from assets.analytics_host.host import host

from .conftest import Computer, FakeAws
from .test_host import FakeH2O


def client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "test"}}, "Operation")


@pytest.mark.reliability(
    "analytics_host",
    "Access denied",
    fault="the boot log cannot be sent",
    expected="the host becomes healthy",
    observed="signal `SUCCESS`; the log on the host has a message",
)
def test_failed_log_call_does_not_fail_the_boot(computer: Computer) -> None:
    computer.program("python", '[[ "$*" != *" log "* ]] || exit 1')
    run = computer.boot()
    assert run.returncode == 0, run.stdout
    assert computer.host_commands()[-1] == "signal SUCCESS healthy"
    assert "could not send the log" in run.stdout


@pytest.mark.reliability(
    "analytics_host",
    "Throttling",
    fault="AWS throttles the boot script",
    expected="up to ten attempts with backoff",
    observed="the SDK's retry variables are set",
)
def test_boot_script_sets_sdk_retries(computer: Computer) -> None:
    computer.program("python", f'echo "attempts $AWS_RETRY_MODE $AWS_MAX_ATTEMPTS" >> {computer.calls}')
    assert computer.boot("password").returncode == 0
    assert "attempts standard 10" in computer.calls.read_text()


@pytest.mark.reliability(
    "analytics_host",
    "Lost event or response",
    fault="the signal is not sent",
    expected="stack creation fails after 45 minutes",
    observed="an error on the host; `Failed to receive 1`",
)
def test_failed_signal_ends_the_boot_with_an_error(computer: Computer) -> None:
    """Without a signal, CloudFormation fails the stack after its timeout."""
    computer.program("python", '[[ "$*" != *" signal "* ]] || exit 1')
    assert computer.boot().returncode == 1
    assert [call for call in computer.host_commands() if call.startswith("signal")] == [
        "signal SUCCESS healthy",
        "signal FAILURE step signal failed",
    ]


@pytest.mark.reliability(
    "analytics_host",
    "Duplicate",
    fault="the boot script runs again",
    expected="the same files and the same signal",
    observed="identical",
)
def test_boot_script_is_idempotent(computer: Computer) -> None:
    files = []
    for _ in range(2):
        assert computer.boot().returncode == 0
        files.append({p: p.read_text() for p in (computer.root / "etc").rglob("*") if p.is_file()})
    assert files[0] == files[1]


@pytest.mark.reliability(
    "analytics_host",
    "Partial failure",
    fault="a call to send the log fails after some lines",
    expected="no line is lost; lines can be repeated",
    observed="two of three lines are repeated",
)
def test_log_with_failed_batch_is_sent_again(
    aws: FakeAws,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(host, "MAX_BATCH_EVENTS", 2)
    (tmp_path / "log").write_text("one\ntwo\nthree\n")
    put = aws.put_log_events

    def fail_on_second_call(**request: Any) -> None:
        if aws.lines:
            raise client_error("ThrottlingException")
        put(**request)

    aws.put_log_events = fail_on_second_call  # type: ignore[method-assign]
    with pytest.raises(ClientError):
        host.log(str(tmp_path / "log"))
    aws.put_log_events = put  # type: ignore[method-assign]
    host.log(str(tmp_path / "log"))
    assert aws.lines == ["one", "two", "one", "two", "three"], "lines are lost, or not repeated as expected"


@pytest.mark.parametrize("code", ["InvalidRequestException", "AccessDeniedException"])
@pytest.mark.reliability(
    "analytics_host",
    "Access denied",
    fault="the workgroup denies access to the host",
    expected="the host is unhealthy",
    observed="the error code is in the log",
)
@pytest.mark.reliability(
    "analytics_host",
    "Deleted externally",
    fault="the workgroup or the secret",
    expected="the host is unhealthy; running services keep their password",
    observed="the error code is in the log",
)
def test_health_with_unavailable_workgroup_fails(
    aws: FakeAws,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
) -> None:
    def deny(WorkGroup: str) -> dict[str, Any]:
        assert WorkGroup == "group"
        raise client_error(code)

    aws.get_work_group = deny  # type: ignore[method-assign]
    monkeypatch.setattr(host, "_get", FakeH2O(1, 401))
    with pytest.raises(ClientError, match=code):
        host.health()


@pytest.mark.parametrize("code", ["ResourceNotFoundException", "AccessDeniedException", "DecryptionFailure"])
@pytest.mark.reliability("analytics_host", "Access denied", fault="the password cannot be read")
@pytest.mark.reliability("analytics_host", "Deleted externally", fault="the workgroup or the secret")
def test_unreadable_secret_keeps_the_old_password(aws: FakeAws, tmp_path: Path, code: str) -> None:
    host.h2o_password()
    before = (tmp_path / "h2o.realm").read_text()

    def deny(SecretId: str) -> dict[str, str]:
        assert SecretId == "secret"
        raise client_error(code)

    aws.get_secret_value = deny  # type: ignore[method-assign]
    with pytest.raises(ClientError, match=code):
        host.h2o_password()
    assert (tmp_path / "h2o.realm").read_text() == before


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize("invalid", ["", "<html>", '{"cloud_healthy": true, "cloud_si'])
@pytest.mark.reliability(
    "analytics_host",
    "Malformed input",
    fault="H2O returns an invalid or incomplete response",
    expected="the request is repeated",
    observed="healthy after a valid response",
)
def test_health_retries_invalid_h2o_response(monkeypatch: pytest.MonkeyPatch, invalid: str) -> None:
    responses, healthy = [invalid, invalid], FakeH2O(1, 401)

    def get(url: str, method: str = "GET", headers: dict[str, str] | None = None) -> tuple[int, str]:
        return (200, responses.pop()) if responses else healthy(url, method, headers)

    monkeypatch.setattr(host, "_get", get)
    monkeypatch.setattr(f"{host.__name__}.time.sleep", lambda _seconds: None)
    host.health()
    assert not responses


@pytest.mark.reliability(
    "analytics_host",
    "Delayed or out of order",
    fault="instance metadata is not available yet",
    expected="the boot waits; H2O never gets an empty address",
    observed="the address after two empty responses",
)
def test_flatfile_waits_for_address(aws: FakeAws, monkeypatch: pytest.MonkeyPatch) -> None:
    responses = ["", "", "10.0.0.1"]
    monkeypatch.setenv("H2O_NODES", "2")
    monkeypatch.setattr(host, "metadata", lambda _name: responses.pop(0))
    monkeypatch.setattr(f"{host.__name__}.time.sleep", lambda _seconds: None)
    host.flatfile()
    assert list(aws.objects) == ["cluster/new/10.0.0.1"]


class InvalidHttp(BaseHTTPRequestHandler):
    """Returns an invalid or incomplete HTTP response."""

    def do_GET(self) -> None:
        if self.path == "/half":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
        self.wfile.write(b"nonsense\r\n\r\n")

    def log_message(self, *_arguments: Any) -> None:
        pass


@pytest.fixture
def invalid_http() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), InvalidHttp) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.enable_socket
@pytest.mark.parametrize("path", ["/none", "/half"])
@pytest.mark.reliability("analytics_host", "Malformed input", fault="H2O returns an invalid or incomplete response")
def test_invalid_http_response_has_status_0(invalid_http: str, path: str) -> None:
    assert host._get(invalid_http + path) == (0, "")
