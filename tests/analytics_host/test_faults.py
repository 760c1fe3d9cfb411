"""Facts about a host when AWS, or what runs beside them, does not answer as it should.

Fakes stand for AWS.
"""

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


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "so it is"}}, "Operation")


def test_log_that_cannot_be_sent_keeps_no_host_from_being_healthy(computer: Computer) -> None:
    computer.program("python", '[[ "$*" != *" log "* ]] || exit 1')
    run = computer.boot()
    assert run.returncode == 0, run.stdout
    assert computer.asked()[-1] == "signal SUCCESS healthy"
    assert "the log could not be sent" in run.stdout


def test_calls_of_the_boot_script_wait_throttling_out(computer: Computer) -> None:
    computer.program("python", f'echo "attempts $AWS_RETRY_MODE $AWS_MAX_ATTEMPTS" >> {computer.calls}')
    assert computer.boot("password").returncode == 0
    assert "attempts standard 10" in computer.calls.read_text()


def test_signal_that_cannot_be_given_ends_the_boot_with_an_error(computer: Computer) -> None:
    """And CloudFormation, which hears nothing, gives the stack up."""
    computer.program("python", '[[ "$*" != *" signal "* ]] || exit 1')
    assert computer.boot().returncode == 1
    assert [call for call in computer.asked() if call.startswith("signal")] == [
        "signal SUCCESS healthy",
        "signal FAILURE step signal failed",
    ]


def test_boot_script_can_be_run_again(computer: Computer) -> None:
    files = []
    for _ in range(2):
        assert computer.boot().returncode == 0
        files.append({p: p.read_text() for p in (computer.root / "etc").rglob("*") if p.is_file()})
    assert files[0] == files[1]


def test_log_call_that_fails_half_way_loses_no_line(
    aws: FakeAws,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(host, "LOG_BATCH", 2)
    (tmp_path / "log").write_text("one\ntwo\nthree\n")
    put = aws.put_log_events

    def refuse_the_second(**request: Any) -> None:
        if aws.lines:
            raise refused("ThrottlingException")
        put(**request)

    aws.put_log_events = refuse_the_second  # type: ignore[method-assign]
    with pytest.raises(ClientError):
        host.log(str(tmp_path / "log"))
    aws.put_log_events = put  # type: ignore[method-assign]
    host.log(str(tmp_path / "log"))
    assert aws.lines == ["one", "two", "one", "two", "three"], "twice rather than not at all"


@pytest.mark.parametrize("code", ["InvalidRequestException", "AccessDeniedException"])
def test_host_whose_workgroup_is_gone_or_forbidden_is_not_healthy(
    aws: FakeAws,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
) -> None:
    def refuse(WorkGroup: str) -> dict[str, Any]:
        assert WorkGroup == "group"
        raise refused(code)

    aws.get_work_group = refuse  # type: ignore[method-assign]
    monkeypatch.setattr(host, "_get", FakeH2O(1, 401))
    with pytest.raises(ClientError, match=code):
        host.health()


@pytest.mark.parametrize("code", ["ResourceNotFoundException", "AccessDeniedException", "DecryptionFailure"])
def test_password_that_cannot_be_had_leaves_the_old_one_in_place(aws: FakeAws, tmp_path: Path, code: str) -> None:
    host.h2o_password()
    before = (tmp_path / "h2o.realm").read_text()

    def refuse(SecretId: str) -> dict[str, str]:
        assert SecretId == "secret"
        raise refused(code)

    aws.get_secret_value = refuse  # type: ignore[method-assign]
    with pytest.raises(ClientError, match=code):
        host.h2o_password()
    assert (tmp_path / "h2o.realm").read_text() == before


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize("said", ["", "<html>", '{"cloud_healthy": true, "cloud_si'])
def test_answer_of_h2o_that_is_none_is_waited_past(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    answers, whole = [said, said], FakeH2O(1, 401)

    def get(url: str, method: str = "GET", headers: dict[str, str] | None = None) -> tuple[int, str]:
        return (200, answers.pop()) if answers else whole(url, method, headers)

    monkeypatch.setattr(host, "_get", get)
    monkeypatch.setattr(f"{host.__name__}.time.sleep", lambda _seconds: None)
    host.health()
    assert not answers


def test_address_is_waited_for_and_never_empty(aws: FakeAws, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = ["", "", "10.0.0.1"]
    monkeypatch.setenv("H2O_NODES", "2")
    monkeypatch.setattr(host, "metadata", lambda _name: answers.pop(0))
    monkeypatch.setattr(f"{host.__name__}.time.sleep", lambda _seconds: None)
    host.flatfile()
    assert list(aws.objects) == ["cluster/new/10.0.0.1"]


class Nonsense(BaseHTTPRequestHandler):
    """Answers with what is no HTTP, or with less than it promises."""

    def do_GET(self) -> None:
        if self.path == "/half":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
        self.wfile.write(b"nonsense\r\n\r\n")

    def log_message(self, *_arguments: Any) -> None:
        pass


@pytest.fixture
def nonsense() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Nonsense) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.enable_socket
@pytest.mark.parametrize("path", ["/none", "/half"])
def test_what_is_no_answer_is_taken_for_none(nonsense: str, path: str) -> None:
    assert host._get(nonsense + path) == (0, "")
