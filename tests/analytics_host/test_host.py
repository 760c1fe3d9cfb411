"""Tests of host.py: log, password, cluster, health check and signal, with a fake of AWS."""

import hashlib
import json
import os
import pwd
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from assets.analytics_host.host import host

from .conftest import PASSWORD, FakeAws


def test_log_sends_complete_lines_once(aws: FakeAws, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("one\ntwo\nthr")
    host.log(str(log))
    assert aws.lines == ["one", "two"]
    with log.open("a") as file:
        file.write("ee\n\nfour\n")
    host.log(str(log))
    host.log(str(log))
    assert aws.lines == ["one", "two", "three", "four"]


def test_log_truncates_long_and_binary_lines(aws: FakeAws, tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"\xff" * 30_000 + b"\n" + (b"x" * 20_000 + b"\n") * 700)
    host.log(str(tmp_path / "log"))
    assert len(aws.lines) == 701


@pytest.mark.reliability("analytics_host", "Duplicate", fault="the boot script runs again")
def test_log_with_existing_stream_continues(aws: FakeAws, tmp_path: Path) -> None:
    aws.streams.add("Host")
    (tmp_path / "log").write_text("again\n")
    host.log(str(tmp_path / "log"))
    assert aws.lines == ["again"]


@pytest.mark.usefixtures("aws")
def test_h2o_login_file_has_hash_and_private_mode(tmp_path: Path) -> None:
    host.h2o_password()
    host.h2o_password()
    file = tmp_path / "h2o.realm"
    assert file.read_text() == f"analyst: MD5:{hashlib.md5(PASSWORD.encode()).hexdigest()}\n"  # noqa: S324
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("aws")
def test_jupyterlab_file_has_hash_and_private_mode(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = SimpleNamespace(passwd=lambda text: f"argon2:{hashlib.sha256(text.encode()).hexdigest()}")
    monkeypatch.setitem(sys.modules, "jupyter_server", SimpleNamespace(auth=fake))
    monkeypatch.setitem(sys.modules, "jupyter_server.auth", fake)
    monkeypatch.setenv("ROOT", str(tmp_path))
    host.jupyter_password("analyst")
    file = tmp_path / "jupyter_server_config.json"
    provider = json.loads(file.read_text())["PasswordIdentityProvider"]
    assert provider["password_required"] is True
    assert provider["hashed_password"].startswith("argon2:")
    assert PASSWORD not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    ("username", "password", "message"),
    [("root", PASSWORD, "username is 'root', expected analyst"), ("analyst", "one\nroot:two", "one line of printable")],
)
def test_secret_of_other_user_is_rejected(
    monkeypatch: pytest.MonkeyPatch, username: str, password: str, message: str
) -> None:
    """Otherwise write access to the secret could set root's password, and the analyst could use `su`."""
    secret = {"SecretString": json.dumps({"username": username, "password": password})}
    monkeypatch.setattr(FakeAws, "get_secret_value", lambda *_, **__: secret)
    monkeypatch.setattr(f"{host.__name__}.subprocess.run", lambda *_, **__: pytest.fail("the password was set"))
    for step in (host.system_password, host.h2o_password):
        with pytest.raises(SystemExit, match=message):
            step()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.usefixtures("aws")
def test_h2o_login_file_belongs_to_h2o_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    account = pwd.getpwnam("nobody")
    monkeypatch.delenv("ROOT", raising=False)
    host.h2o_password("nobody")
    status = (tmp_path / "h2o.realm").stat()
    assert (status.st_uid, status.st_gid) == (account.pw_uid, account.pw_gid)


@pytest.mark.usefixtures("aws")
def test_system_password_is_passed_on_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(
        f"{host.__name__}.subprocess.run", lambda *arguments, **options: calls.append((arguments, options))
    )
    host.system_password()
    ((arguments, options),) = calls
    assert PASSWORD not in str(arguments)
    assert options["input"] == f"analyst:{PASSWORD}".encode()
    assert options["check"] is True


def test_flatfile_of_single_host_is_loopback(aws: FakeAws, tmp_path: Path) -> None:
    host.flatfile()
    assert (tmp_path / "h2o.flatfile").read_text() == "127.0.0.1:54323\n"
    assert (tmp_path / "h2o.address").read_text() == "H2O_IP=127.0.0.1\n"
    assert not aws.objects


@pytest.mark.reliability(
    "analytics_host",
    "Delayed or out of order",
    fault="one host of a cluster boots later than the others",
    expected="the hosts form one cluster",
    observed="the later host joins the earlier one",
)
def test_flatfile_has_earlier_hosts_of_the_cluster(
    aws: FakeAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("H2O_NODES", "2")
    aws.objects["cluster/old/10.0.0.9"] = b"Host"
    monkeypatch.setattr(host, "metadata", lambda _name: "10.0.0.1")
    host.flatfile()
    assert (tmp_path / "h2o.flatfile").read_text() == "10.0.0.1:54323\n"
    monkeypatch.setenv("LOGICAL_ID", "Worker1")
    monkeypatch.setattr(host, "metadata", lambda _name: "10.0.0.2")
    host.flatfile()
    assert (tmp_path / "h2o.flatfile").read_text() == "10.0.0.1:54323\n10.0.0.2:54323\n"
    assert (tmp_path / "h2o.address").read_text() == "H2O_IP=10.0.0.2\n"


class FakeH2O:
    """H2O with a cluster of `size` hosts.

    no_password_status: status of responses to requests without the password.
    web_page_status: status of responses to requests of other web pages.
    """

    def __init__(self, size: int, no_password_status: int, healthy: bool = True, web_page_status: int = 403) -> None:
        self.size, self.no_password_status, self.healthy = size, no_password_status, healthy
        self.web_page_status = web_page_status
        self.pages: list[str] = []

    def __call__(self, url: str, _method: str = "GET", headers: dict[str, str] | None = None) -> tuple[int, str]:
        if url.endswith("/"):
            self.pages.append(url)
            return 200, "login page"
        if not headers:
            return self.no_password_status, ""
        if "Origin" in headers:
            assert ":54321/" in url, "not nginx"
            return self.web_page_status, ""
        return 200, json.dumps({"cloud_healthy": self.healthy, "cloud_size": self.size})


@pytest.mark.usefixtures("aws")
def test_health_with_complete_cluster_passes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(host, "_get", FakeH2O(1, 401))
    host.health()
    output = capsys.readouterr().out
    assert "1 nodes, healthy, 401" in output
    assert PASSWORD not in output


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize("status", [200, 0])
@pytest.mark.reliability(
    "analytics_host",
    "Hostile input",
    fault="a request to H2O without the password",
    expected="401, or the host is unhealthy",
    observed="401; connection refused from another host",
)
def test_health_with_h2o_without_password_fails(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    monkeypatch.setattr(host, "_get", FakeH2O(1, status))
    with pytest.raises(SystemExit, match=f"{status} without the password"):
        host.health()


def test_health_checks_pages_on_first_host_only(aws: FakeAws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHECK")
    monkeypatch.setattr(host, "_get", h2o := FakeH2O(1, 401))
    host.health()
    assert h2o.pages == ["http://127.0.0.1:8787/", "http://127.0.0.1:8888/"]
    monkeypatch.setenv("LOGICAL_ID", "Worker1")
    aws.objects = {"cluster/new/10.0.0.1": b"Host"}
    host.health()
    assert len(h2o.pages) == 2


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize("status", [200, 0])
@pytest.mark.reliability(
    "analytics_host",
    "Hostile input",
    fault="a web page sends requests to H2O with the browser's stored password",
)
def test_health_with_proxy_that_accepts_web_pages_fails(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    monkeypatch.delenv("CHECK")
    monkeypatch.setattr(host, "_get", FakeH2O(1, 401, web_page_status=status))
    monkeypatch.setattr(host, "HEALTH_SECONDS", 0)
    monkeypatch.setattr(f"{host.__name__}.time.sleep", lambda _seconds: None)
    with pytest.raises(SystemExit, match="not ready within 0 s: Proxy"):
        host.health()


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize("h2o", [FakeH2O(2, 401), FakeH2O(3, 401, healthy=False)])
@pytest.mark.reliability(
    "analytics_host",
    "Partial failure",
    fault="some hosts of a cluster do not start",
    expected="every host is unhealthy",
    observed="`not ready within ... s: H2O with 3 nodes`",
)
@pytest.mark.reliability("analytics_host", "Timeout", fault="a service does not start")
def test_health_with_incomplete_cluster_fails(monkeypatch: pytest.MonkeyPatch, h2o: FakeH2O) -> None:
    monkeypatch.setenv("H2O_NODES", "3")
    monkeypatch.setattr(host, "_get", h2o)
    monkeypatch.setattr(host, "CLUSTER_SECONDS", 0)
    monkeypatch.setattr(f"{host.__name__}.time.sleep", lambda _seconds: None)
    with pytest.raises(SystemExit, match="H2O with 3 nodes"):
        host.health()


def test_health_of_worker_records_head_address(aws: FakeAws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOGICAL_ID", "Worker1")
    aws.objects = {"cluster/new/10.0.0.1": b"Host", "cluster/new/10.0.0.2": b"Worker1"}
    monkeypatch.setattr(host, "_get", FakeH2O(1, 401))
    host.health()
    assert (tmp_path / "first-hosts").read_text() == "10.0.0.1"


@pytest.mark.parametrize("status", ["SUCCESS", "FAILURE"])
def test_signal_has_stack_resource_status_and_instance_id(
    aws: FakeAws, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    monkeypatch.setattr(host, "metadata", lambda _name: "i-0123456789abcdef0")
    host.signal(status, "step r failed")
    assert aws.signals == [
        {"StackName": "stack", "LogicalResourceId": "Host", "UniqueId": "i-0123456789abcdef0", "Status": status}
    ]


def test_metadata_request_has_token(monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[tuple[str, str, Any]] = []

    def get(url: str, method: str = "GET", headers: Any = None) -> tuple[int, str]:
        requests.append((url, method, headers))
        return (200, "token") if method == "PUT" else (200, "10.0.0.1")

    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setattr(host, "_get", get)
    assert host.metadata("local-ipv4") == "10.0.0.1"
    assert requests[1][2] == {"X-aws-ec2-metadata-token": "token"}
