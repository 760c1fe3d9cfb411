"""Facts about what the host asks of AWS: log, password, cluster, health, signal. Fakes stand for clients."""

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

from .conftest import CHARACTERS, FakeAws


def test_each_line_of_the_log_is_sent_once_and_unfinished_ones_later(aws: FakeAws, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("one\ntwo\nthr")
    host.log(str(log))
    assert aws.lines == ["one", "two"]
    with log.open("a") as file:
        file.write("ee\n\nfour\n")
    host.log(str(log))
    host.log(str(log))
    assert aws.lines == ["one", "two", "three", "four"]


def test_long_lines_of_anything_go_through(aws: FakeAws, tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"\xff" * 30_000 + b"\n" + (b"x" * 20_000 + b"\n") * 700)
    host.log(str(tmp_path / "log"))
    assert len(aws.lines) == 701


@pytest.mark.reliability("analytics_host", "Duplicate", fault="the boot script runs again")
def test_log_of_a_host_that_boots_again_goes_on(aws: FakeAws, tmp_path: Path) -> None:
    aws.streams.add("Host")
    (tmp_path / "log").write_text("again\n")
    host.log(str(tmp_path / "log"))
    assert aws.lines == ["again"]


@pytest.mark.usefixtures("aws")
def test_h2os_login_file_has_no_password_and_is_for_its_owner_only(tmp_path: Path) -> None:
    host.h2o_password()
    host.h2o_password()
    file = tmp_path / "h2o.realm"
    assert file.read_text() == f"analyst: MD5:{hashlib.md5(CHARACTERS.encode()).hexdigest()}\n"  # noqa: S324
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("aws")
def test_jupyterlabs_file_has_a_hash_wants_the_password_and_is_for_its_owner_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand_in = SimpleNamespace(passwd=lambda text: f"argon2:{hashlib.sha256(text.encode()).hexdigest()}")
    monkeypatch.setitem(sys.modules, "jupyter_server", SimpleNamespace(auth=stand_in))
    monkeypatch.setitem(sys.modules, "jupyter_server.auth", stand_in)
    monkeypatch.setenv("ROOT", str(tmp_path))
    host.jupyter_password("analyst")
    file = tmp_path / "jupyter_server_config.json"
    said = json.loads(file.read_text())["PasswordIdentityProvider"]
    assert said["password_required"] is True
    assert said["hashed_password"].startswith("argon2:")
    assert CHARACTERS not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    ("username", "password", "refusal"),
    [("root", CHARACTERS, "username: 'root' given"), ("analyst", "one\nroot:two", "one line of printable")],
)
def test_secret_sets_the_password_of_no_other_user(
    monkeypatch: pytest.MonkeyPatch, username: str, password: str, refusal: str
) -> None:
    """Who may only write the secret would otherwise set root's password, which opens `su` to the analyst."""
    secret = {"SecretString": json.dumps({"username": username, "password": password})}
    monkeypatch.setattr(FakeAws, "get_secret_value", lambda *_, **__: secret)
    monkeypatch.setattr(f"{host.__name__}.subprocess.run", lambda *_, **__: pytest.fail("a password was set"))
    for step in (host.system_password, host.h2o_password):
        with pytest.raises(SystemExit, match=refusal):
            step()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.usefixtures("aws")
def test_login_file_is_given_to_the_user_that_h2o_runs_as(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    account = pwd.getpwnam("nobody")
    monkeypatch.delenv("ROOT", raising=False)
    host.h2o_password("nobody")
    found = (tmp_path / "h2o.realm").stat()
    assert (found.st_uid, found.st_gid) == (account.pw_uid, account.pw_gid)


@pytest.mark.usefixtures("aws")
def test_password_of_the_user_goes_to_chpasswd_and_not_to_a_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(
        f"{host.__name__}.subprocess.run", lambda *arguments, **options: calls.append((arguments, options))
    )
    host.system_password()
    ((arguments, options),) = calls
    assert CHARACTERS not in str(arguments)
    assert options["input"] == f"analyst:{CHARACTERS}".encode()
    assert options["check"] is True


def test_one_host_is_a_cluster_of_its_own(aws: FakeAws, tmp_path: Path) -> None:
    host.flatfile()
    assert (tmp_path / "h2o.flatfile").read_text() == "127.0.0.1:54321\n"
    assert (tmp_path / "h2o.address").read_text() == "H2O_IP=127.0.0.1\n"
    assert not aws.objects


@pytest.mark.reliability(
    "analytics_host",
    "Late",
    fault="one host of a cluster boots later than the others",
    expected="they find each other",
    observed="the later one finds the earlier",
)
def test_of_two_hosts_the_later_one_knows_the_earlier(
    aws: FakeAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("H2O_NODES", "2")
    aws.objects["cluster/old/10.0.0.9"] = b"Host"
    monkeypatch.setattr(host, "metadata", lambda _name: "10.0.0.1")
    host.flatfile()
    assert (tmp_path / "h2o.flatfile").read_text() == "10.0.0.1:54321\n"
    monkeypatch.setenv("LOGICAL_ID", "Worker1")
    monkeypatch.setattr(host, "metadata", lambda _name: "10.0.0.2")
    host.flatfile()
    assert (tmp_path / "h2o.flatfile").read_text() == "10.0.0.1:54321\n10.0.0.2:54321\n"
    assert (tmp_path / "h2o.address").read_text() == "H2O_IP=10.0.0.2\n"


class FakeH2O:
    """What H2O answers: a cluster of `size`, and to strangers `stranger`."""

    def __init__(self, size: int, stranger: int, healthy: bool = True) -> None:
        self.size, self.stranger, self.healthy = size, stranger, healthy
        self.pages: list[str] = []

    def __call__(self, url: str, _method: str = "GET", headers: dict[str, str] | None = None) -> tuple[int, str]:
        if url.endswith("/"):
            self.pages.append(url)
            return 200, "a page that asks for the password"
        if not headers:
            return self.stranger, ""
        return 200, json.dumps({"cloud_healthy": self.healthy, "cloud_size": self.size})


@pytest.mark.usefixtures("aws")
def test_healthy_is_a_whole_cluster_that_refuses_strangers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(host, "_get", FakeH2O(1, 401))
    host.health()
    said = capsys.readouterr().out
    assert "1 nodes, healthy, 401" in said
    assert CHARACTERS not in said


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize("status", [200, 0])
@pytest.mark.reliability(
    "analytics_host",
    "Hostile input",
    fault="a stranger asks H2O",
    expected="401, or the host is not healthy",
    observed="401; no answer at all to another host",
)
def test_h2o_that_does_not_refuse_strangers_is_not_healthy(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    monkeypatch.setattr(host, "_get", FakeH2O(1, status))
    with pytest.raises(SystemExit, match=f"{status} to a stranger"):
        host.health()


def test_first_host_is_healthy_when_its_pages_come_and_a_worker_has_none(
    aws: FakeAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CHECK")
    monkeypatch.setattr(host, "_get", h2o := FakeH2O(1, 401))
    host.health()
    assert h2o.pages == ["http://127.0.0.1:8787/", "http://127.0.0.1:8888/"]
    monkeypatch.setenv("LOGICAL_ID", "Worker1")
    aws.objects = {"cluster/new/10.0.0.1": b"Host"}
    host.health()
    assert len(h2o.pages) == 2


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize("h2o", [FakeH2O(2, 401), FakeH2O(3, 401, healthy=False)])
@pytest.mark.reliability(
    "analytics_host",
    "Partial failure",
    fault="some hosts of a cluster do not come",
    expected="none is healthy",
    observed='"not seen: H2O with 3 nodes"',
)
@pytest.mark.reliability("analytics_host", "Timeout mid-way", fault="a service does not come up")
def test_cluster_that_is_not_whole_is_not_healthy(monkeypatch: pytest.MonkeyPatch, h2o: FakeH2O) -> None:
    monkeypatch.setenv("H2O_NODES", "3")
    monkeypatch.setattr(host, "_get", h2o)
    monkeypatch.setattr(host, "CLUSTER_SECONDS", 0)
    monkeypatch.setattr(f"{host.__name__}.time.sleep", lambda _seconds: None)
    with pytest.raises(SystemExit, match="H2O with 3 nodes"):
        host.health()


def test_worker_notes_its_head(aws: FakeAws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOGICAL_ID", "Worker1")
    aws.objects = {"cluster/new/10.0.0.1": b"Host", "cluster/new/10.0.0.2": b"Worker1"}
    monkeypatch.setattr(host, "_get", FakeH2O(1, 401))
    host.health()
    assert (tmp_path / "heads").read_text() == "10.0.0.1"


@pytest.mark.parametrize("status", ["SUCCESS", "FAILURE"])
def test_signal_names_resource_stack_outcome_and_the_instances_own_id(
    aws: FakeAws, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    monkeypatch.setattr(host, "metadata", lambda _name: "i-0123456789abcdef0")
    host.signal(status, "step r failed")
    assert aws.signals == [
        {"StackName": "stack", "LogicalResourceId": "Host", "UniqueId": "i-0123456789abcdef0", "Status": status}
    ]


def test_metadata_are_asked_for_with_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, Any]] = []

    def get(url: str, method: str = "GET", headers: Any = None) -> tuple[int, str]:
        asked.append((url, method, headers))
        return (200, "token") if method == "PUT" else (200, "10.0.0.1")

    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setattr(host, "_get", get)
    assert host.metadata("local-ipv4") == "10.0.0.1"
    assert asked[1][2] == {"X-aws-ec2-metadata-token": "token"}
