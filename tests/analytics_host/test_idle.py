"""Tests of when a host counts as used, and when it stops."""

import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from assets.analytics_host.host import idle

# In the kernel's format: an open connection to 127.0.0.1:8888, a listening socket, a connection to port 443 elsewhere.
HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
JUPYTERLAB = "   0: 0100007F:22B8 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 1 1\n"
LISTENING = "   1: 0100007F:22B8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1\n"
OUTGOING = "   2: 0A00000A:C351 0B00000A:01BB 01 00000000:00000000 00:00000000 00000000  1000        0 1 1\n"
UNIX = (
    "Num       RefCount Protocol Flags    Type St Inode Path\n"
    "0000000000000000: 00000003 00000000 00000000 0001 03 1234\n"
    "0000000000000000: 00000002 00000000 00010000 0001 {state} 1235 /run/rstudio-server/rstudio-rsession/analyst-d\n"
)
IPV6 = "   3: 0000000000000000FFFF00000100007F:22B8 0000000000000000FFFF00000100007F:C352 01 0:0 0:0 0 0 0 1 1\n"


def test_connection_to_service_counts_as_use() -> None:
    assert idle.count_connections(HEADER + JUPYTERLAB) == 1
    assert idle.count_connections(HEADER + IPV6) == 1
    assert idle.count_connections(HEADER + JUPYTERLAB.replace("22B8", "D431")) == 1  # 54321, H2O


@pytest.mark.reliability(
    "analytics_host",
    "Hostile input",
    fault="scanners connect to port 443",
    expected="connections without login do not keep the host running",
    observed="not counted as use until a browser has an R session",
)
def test_connection_to_nginx_or_login_page_is_not_use() -> None:
    """Anyone in the allowed range can connect to nginx, which forwards requests to RStudio Server."""
    for port in ("01BB", "2253"):  # 443, 8787
        assert idle.count_connections(HEADER + JUPYTERLAB.replace("22B8", port)) == 0


def test_browser_with_r_session_counts_as_use() -> None:
    assert idle.rstudio_in_use(UNIX.format(state="03"))
    assert not idle.rstudio_in_use(UNIX.format(state="01")), "an R session without a browser"
    assert not idle.rstudio_in_use(UNIX.format(state="03").replace("rstudio-rsession", "other"))


@pytest.mark.enable_socket
@pytest.mark.skipif(not Path("/proc/net/unix").exists(), reason="needs Linux")
def test_rstudio_in_use_reads_kernel_unix_socket_table(tmp_path: Path) -> None:
    """The kernel lists an accepted socket with the path of the listening one."""
    (tmp_path / "rstudio-rsession").mkdir()
    path = str(tmp_path / "rstudio-rsession/analyst-d")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as browser:
        server.bind(path)
        server.listen()
        assert path in Path("/proc/net/unix").read_text()
        assert not idle.rstudio_in_use(rows_of(path))
        browser.connect(path)
        with server.accept()[0]:
            assert idle.rstudio_in_use(rows_of(path))


def rows_of(path: str) -> str:
    return "".join(line for line in Path("/proc/net/unix").read_text().splitlines(True) if path in line)


def test_listening_and_outgoing_sockets_are_not_use() -> None:
    assert idle.count_connections(HEADER + LISTENING + OUTGOING) == 0


def test_peers_are_remote_addresses_of_cluster_connections() -> None:
    # 10.91.0.2 is connected to port 54324 of 10.91.0.1, and 10.91.0.3 to port 54324 here; in IPv6 format as in Java.
    row = "   0: 0000000000000000FFFF0000{} 0000000000000000FFFF0000{} {} 0:0 0:0 0 0 0 1 1\n"
    outgoing = row.format("02005B0A:C351", "01005B0A:D434", "01")
    incoming = row.format("02005B0A:D434", "03005B0A:C352", "01")
    closed = row.format("02005B0A:D434", "04005B0A:C353", "08")
    assert idle.peers(HEADER + outgoing + incoming + closed + OUTGOING) == {"10.91.0.1", "10.91.0.3"}
    ipv4 = "   0: 02005B0A:C351 05005B0A:D434 01 0:0 0:0 0 0 0 1 1\n"
    assert idle.peers(HEADER + ipv4) == {"10.91.0.5"}


@pytest.mark.enable_socket
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux")
def test_peers_reads_kernel_connection_table(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()[:2]):
        monkeypatch.setattr(idle, "CLUSTER_PORT", server.getsockname()[1])
        assert idle.peers(Path("/proc/net/tcp").read_text()) == {"127.0.0.1"}


@pytest.mark.parametrize(("sessions", "users", "used"), [(0, b"", True), (1, b"analyst", True), (1, b" ", False)])
def test_session_manager_session_or_login_counts_as_use(
    monkeypatch: pytest.MonkeyPatch, sessions: int, users: bytes, used: bool
) -> None:
    results = {"/usr/bin/pgrep": (sessions, b""), "/usr/bin/who": (0, users)}

    def run(command: list[str], **_options: Any) -> subprocess.CompletedProcess[bytes]:
        status, output = results[command[0]]
        return subprocess.CompletedProcess(command, status, output)

    monkeypatch.setattr(f"{idle.__name__}.subprocess.run", run)
    assert idle.has_login_session() is used


def test_load_is_the_15_minute_average() -> None:
    assert idle.load("0.00 0.01 0.95 1/234 5678\n") > idle.BUSY_LOAD
    assert idle.load("2.00 0.90 0.05 1/234 5678\n") < idle.BUSY_LOAD


def test_idle_minutes_count_from_last_use(tmp_path: Path) -> None:
    file, uptime = tmp_path / "used", 1e6
    assert idle.idle_minutes(file, used=True, now=1000.0, uptime=uptime) == 0
    assert idle.idle_minutes(file, used=False, now=1600.0, uptime=uptime) == 10
    assert idle.idle_minutes(file, used=True, now=1700.0, uptime=uptime) == 0
    assert idle.idle_minutes(file, used=False, now=1760.0, uptime=uptime) == 1


@pytest.mark.reliability(
    "analytics_host",
    "System-specific",
    fault="the clock is set back, or the host starts after a long stop",
)
def test_idle_minutes_count_from_start_of_host(tmp_path: Path) -> None:
    (tmp_path / "used").write_text("1000")
    assert idle.idle_minutes(tmp_path / "used", used=False, now=100_000.0, uptime=120.0) == 2


@pytest.mark.reliability(
    "analytics_host",
    "System-specific",
    fault="the clock is set back, or the host starts after a long stop",
    expected="the host keeps running",
    observed="idle minutes count from the start",
)
def test_idle_minutes_with_clock_set_back_are_negative(tmp_path: Path) -> None:
    (tmp_path / "used").write_text("2000")
    assert idle.idle_minutes(tmp_path / "used", used=False, now=1000.0, uptime=500.0) < 0


@pytest.fixture
def power_offs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """The power-off commands of a host that has been idle for two hours."""
    calls: list[Any] = []
    monkeypatch.setattr(f"{idle.__name__}.subprocess.run", lambda *arguments, **_options: calls.append(arguments[0]))
    monkeypatch.setattr(idle, "idle_minutes", lambda _file, used, _now, _uptime: 0 if used else 120)
    monkeypatch.setattr(idle, "has_login_session", lambda: False)
    monkeypatch.setattr(idle, "count_connections", lambda _table: 0)
    monkeypatch.setattr(idle, "rstudio_in_use", lambda _table: False)
    monkeypatch.setattr(idle, "load", lambda _text: 0.0)
    monkeypatch.setattr(idle, "CLOUD_INIT_RESULT", tmp_path)
    monkeypatch.setenv("CONFIGURATION", str(tmp_path))
    monkeypatch.setenv("LOGICAL_ID", "Host")
    monkeypatch.setenv("IDLE_MINUTES", "60")
    return calls


POWER_OFF = ["/usr/bin/systemctl", "poweroff"]


@pytest.mark.reliability(
    "analytics_host",
    "Timeout",
    fault="the host is idle for an hour",
    expected="the host stops, unless work is running",
    observed="an open connection, a session or load keeps the host running",
)
def test_idle_host_powers_off(power_offs: list[Any]) -> None:
    idle.main()
    assert power_offs == [POWER_OFF]


@pytest.mark.parametrize("name", ["Host", "Worker1"])
def test_host_during_cloud_init_keeps_running(
    power_offs: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    (tmp_path / "first-hosts").touch()
    monkeypatch.setenv("LOGICAL_ID", name)
    monkeypatch.setattr(idle, "CLOUD_INIT_RESULT", tmp_path / "result.json")
    idle.main()
    assert power_offs == []


@pytest.mark.parametrize(
    ("sign", "value"), [("has_login_session", True), ("count_connections", 1), ("rstudio_in_use", True), ("load", 0.9)]
)
@pytest.mark.reliability("analytics_host", "Timeout", fault="the host is idle for an hour")
def test_host_in_use_keeps_running(
    power_offs: list[Any], monkeypatch: pytest.MonkeyPatch, sign: str, value: Any
) -> None:
    monkeypatch.setattr(idle, sign, lambda *_arguments: value)
    idle.main()
    assert power_offs == []


@pytest.mark.reliability(
    "analytics_host",
    "Deleted externally",
    fault="the first host of a cluster",
    expected="its workers stop too",
    observed="the workers power off",
)
def test_worker_stops_without_first_host(
    power_offs: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LOGICAL_ID", "Worker1")
    idle.main()
    assert power_offs == [], "it stopped before the cluster was complete"
    (tmp_path / "first-hosts").write_text("10.0.0.1\n10.0.0.9")
    monkeypatch.setattr(idle, "peers", lambda _table: {"10.0.0.1", "10.0.0.7"})
    idle.main()
    assert power_offs == []
    monkeypatch.setattr(idle, "peers", lambda _table: {"10.0.0.7"})
    idle.main()
    assert power_offs == [POWER_OFF]
