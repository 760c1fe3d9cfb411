"""Facts about when a host counts as used, and when it stops."""

import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from assets.analytics_host.host import idle

# As the kernel shows them: 127.0.0.1:8888 with an open connection and listening, a call to another host's 443.
HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
JUPYTERLAB = "   0: 0100007F:22B8 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 1 1\n"
LISTENING = "   1: 0100007F:22B8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1\n"
OUTGOING = "   2: 0A00000A:C351 0B00000A:01BB 01 00000000:00000000 00:00000000 00000000  1000        0 1 1\n"
UNIX = (
    "Num       RefCount Protocol Flags    Type St Inode Path\n"
    "0000000000000000: 00000003 00000000 00000000 0001 03 1234\n"
    "0000000000000000: 00000002 00000000 00010000 0001 {state} 1235 /run/rstudio-server/rstudio-rsession/analyst-d\n"
)
SIX = "   3: 0000000000000000FFFF00000100007F:22B8 0000000000000000FFFF00000100007F:C352 01 0:0 0:0 0 0 0 1 1\n"


def test_open_service_is_a_use() -> None:
    assert idle.connections(HEADER + JUPYTERLAB) == 1
    assert idle.connections(HEADER + SIX) == 1
    assert idle.connections(HEADER + JUPYTERLAB.replace("22B8", "D431")) == 1  # 54321, H2O


def test_stranger_at_nginx_and_at_rstudios_login_page_is_no_use() -> None:
    """Anyone in the allowed range can connect; nginx hands what it gets on to RStudio's server."""
    for port in ("01BB", "2253"):  # 443, 8787
        assert idle.connections(HEADER + JUPYTERLAB.replace("22B8", port)) == 0


def test_browser_with_r_session_is_a_use() -> None:
    assert idle.rstudio_in_use(UNIX.format(state="03"))
    assert not idle.rstudio_in_use(UNIX.format(state="01")), "a session that waits for its browser"
    assert not idle.rstudio_in_use(UNIX.format(state="03").replace("rstudio-rsession", "other"))


@pytest.mark.enable_socket
@pytest.mark.skipif(not Path("/proc/net/unix").exists(), reason="needs Linux")
def test_kernels_table_of_unix_sockets_is_read(tmp_path: Path) -> None:
    """The socket that accept gives has the path of the one that listens."""
    (tmp_path / "rstudio-rsession").mkdir()
    path = str(tmp_path / "rstudio-rsession/analyst-d")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as browser:
        server.bind(path)
        server.listen()
        assert path in Path("/proc/net/unix").read_text()
        assert not idle.rstudio_in_use(own_rows(path))
        browser.connect(path)
        with server.accept()[0]:
            assert idle.rstudio_in_use(own_rows(path))


def own_rows(path: str) -> str:
    return "".join(line for line in Path("/proc/net/unix").read_text().splitlines(True) if path in line)


def test_listening_service_and_the_hosts_own_calls_are_none() -> None:
    assert idle.connections(HEADER + LISTENING + OUTGOING) == 0


def test_peers_are_the_other_ends_of_open_connections_of_the_cluster() -> None:
    # 10.91.0.2 is connected to 10.91.0.1's 54322, 10.91.0.3 to this one's; both as Java has them, in IPv6.
    row = "   0: 0000000000000000FFFF0000{} 0000000000000000FFFF0000{} {} 0:0 0:0 0 0 0 1 1\n"
    outgoing = row.format("02005B0A:C351", "01005B0A:D432", "01")
    incoming = row.format("02005B0A:D432", "03005B0A:C352", "01")
    closed = row.format("02005B0A:D432", "04005B0A:C353", "08")
    assert idle.peers(HEADER + outgoing + incoming + closed + OUTGOING) == {"10.91.0.1", "10.91.0.3"}
    old = "   0: 02005B0A:C351 05005B0A:D432 01 0:0 0:0 0 0 0 1 1\n"
    assert idle.peers(HEADER + old) == {"10.91.0.5"}


@pytest.mark.enable_socket
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux")
def test_kernels_own_table_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()[:2]):
        monkeypatch.setattr(idle, "CLUSTER_PORT", server.getsockname()[1])
        assert idle.peers(Path("/proc/net/tcp").read_text()) == {"127.0.0.1"}


@pytest.mark.parametrize(("sessions", "users", "used"), [(0, b"", True), (1, b"analyst", True), (1, b" ", False)])
def test_session_of_session_manager_or_a_login_is_a_use(
    monkeypatch: pytest.MonkeyPatch, sessions: int, users: bytes, used: bool
) -> None:
    answers = {"/usr/bin/pgrep": (sessions, b""), "/usr/bin/who": (0, users)}

    def run(command: list[str], **_options: Any) -> subprocess.CompletedProcess[bytes]:
        status, output = answers[command[0]]
        return subprocess.CompletedProcess(command, status, output)

    monkeypatch.setattr(f"{idle.__name__}.subprocess.run", run)
    assert idle.logged_in() is used


def test_work_of_the_last_quarter_of_an_hour_is_a_use() -> None:
    assert idle.load("0.00 0.01 0.95 1/234 5678\n") > idle.BUSY
    assert idle.load("2.00 0.90 0.05 1/234 5678\n") < idle.BUSY


def test_minutes_count_from_the_last_use(tmp_path: Path) -> None:
    file, up = tmp_path / "used", 1e6
    assert idle.idle_minutes(file, used=True, now=1000.0, uptime=up) == 0
    assert idle.idle_minutes(file, used=False, now=1600.0, uptime=up) == 10
    assert idle.idle_minutes(file, used=True, now=1700.0, uptime=up) == 0
    assert idle.idle_minutes(file, used=False, now=1760.0, uptime=up) == 1


def test_start_of_the_host_counts_as_a_use(tmp_path: Path) -> None:
    (tmp_path / "used").write_text("1000")
    assert idle.idle_minutes(tmp_path / "used", used=False, now=100_000.0, uptime=120.0) == 2


def test_clock_that_is_set_back_does_not_stop_the_host(tmp_path: Path) -> None:
    (tmp_path / "used").write_text("2000")
    assert idle.idle_minutes(tmp_path / "used", used=False, now=1000.0, uptime=500.0) < 0


@pytest.fixture
def stops(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """The calls that switch the host off, of a host that was not used for two hours."""
    calls: list[Any] = []
    monkeypatch.setattr(f"{idle.__name__}.subprocess.run", lambda *arguments, **_options: calls.append(arguments[0]))
    monkeypatch.setattr(idle, "idle_minutes", lambda _file, used, _now, _uptime: 0 if used else 120)
    monkeypatch.setattr(idle, "logged_in", lambda: False)
    monkeypatch.setattr(idle, "connections", lambda _table: 0)
    monkeypatch.setattr(idle, "rstudio_in_use", lambda _table: False)
    monkeypatch.setattr(idle, "load", lambda _text: 0.0)
    monkeypatch.setattr(idle, "MADE", tmp_path)
    monkeypatch.setenv("CONFIGURATION", str(tmp_path))
    monkeypatch.setenv("LOGICAL_ID", "Host")
    monkeypatch.setenv("IDLE_MINUTES", "60")
    return calls


POWER_OFF = ["/usr/bin/systemctl", "poweroff"]


def test_host_that_nobody_uses_switches_itself_off(stops: list[Any]) -> None:
    idle.main()
    assert stops == [POWER_OFF]


@pytest.mark.parametrize("name", ["Host", "Worker1"])
def test_host_that_is_still_being_made_stays(
    stops: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    (tmp_path / "heads").touch()
    monkeypatch.setenv("LOGICAL_ID", name)
    monkeypatch.setattr(idle, "MADE", tmp_path / "result.json")
    idle.main()
    assert stops == []


@pytest.mark.parametrize(
    ("sign", "value"), [("logged_in", True), ("connections", 1), ("rstudio_in_use", True), ("load", 0.9)]
)
def test_host_in_use_stays(stops: list[Any], monkeypatch: pytest.MonkeyPatch, sign: str, value: Any) -> None:
    monkeypatch.setattr(idle, sign, lambda *_arguments: value)
    idle.main()
    assert stops == []


def test_worker_follows_its_head(stops: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOGICAL_ID", "Worker1")
    idle.main()
    assert stops == [], "it stopped before there was a cluster"
    (tmp_path / "heads").write_text("10.0.0.1\n10.0.0.9")
    monkeypatch.setattr(idle, "peers", lambda _table: {"10.0.0.1", "10.0.0.7"})
    idle.main()
    assert stops == []
    monkeypatch.setattr(idle, "peers", lambda _table: {"10.0.0.7"})
    idle.main()
    assert stops == [POWER_OFF]
