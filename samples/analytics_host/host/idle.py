"""Stops the host when it has not been used for IDLE_MINUTES.

Used is: somebody is logged in or has one of the services open, or the processors are at work; a worker
of H2O's cluster: it is connected with its head, the first host. A host that cloud-init still makes
counts as used, for its stack waits for the signal.
Run every minute. Stopping is switching off: the instance stops, and keeps its volume.
"""

import os
import subprocess
import time
from pathlib import Path

PORTS = (443, 8787, 8888, 54321)
CLUSTER_PORT = 54322
BUSY = 0.2  # of one processor, over 15 minutes: a training, or R at work
MADE = Path("/run/cloud-init/result.json")  # there once cloud-init is done, after each start
ESTABLISHED = "01"  # in /proc/net/tcp


def main() -> None:
    """Note the moment of the last use, and stop when it is too long ago."""
    table = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    if os.environ["LOGICAL_ID"].startswith("Worker"):
        heads = Path(os.environ["CONFIGURATION"], "heads")  # there once the cluster is whole
        used = not heads.exists() or bool(set(heads.read_text().split()) & peers(table))
    else:
        used = bool(connections(table)) or logged_in() or load(Path("/proc/loadavg").read_text()) > BUSY
    used = used or not MADE.exists()
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    if idle_minutes(Path("/run/analytics-host.used"), used, time.time(), uptime) >= int(os.environ["IDLE_MINUTES"]):
        subprocess.run(["/usr/bin/systemctl", "poweroff"], check=True)


def idle_minutes(file: Path, used: bool, now: float, uptime: float) -> float:
    """Minutes since the last use; `file` holds its moment. A start of the host counts as a use."""
    if used or not file.exists():
        file.write_text(str(now))
    last = max(float(file.read_text()), now - uptime)
    return (now - last) / 60


def connections(table: str) -> int:
    """How many connections to the services are open, by the kernel's table of them."""
    return sum(_port(local) in PORTS for local, _remote in _established(table))


def peers(table: str) -> set[str]:
    """The addresses of the hosts that H2O holds connections with.

    Looked up, and not tried out: a connection that says nothing keeps H2O's receiver busy for good.
    """
    return {_address(remote) for local, remote in _established(table) if CLUSTER_PORT in (_port(local), _port(remote))}


def _established(table: str) -> list[tuple[str, str]]:
    """Local and remote end of each open connection, as the kernel writes them."""
    rows = [line.split() for line in table.splitlines()]
    return [(row[1], row[2]) for row in rows if len(row) > 3 and row[3] == ESTABLISHED]


def _port(end: str) -> int:
    return int(end.rpartition(":")[2], 16)


def _address(end: str) -> str:
    """The IPv4 address of an end, also of one written as IPv6: its last four bytes, the last one first."""
    return ".".join(str(byte) for byte in reversed(bytes.fromhex(end.rpartition(":")[0][-8:])))


def load(text: str) -> float:
    """The load over the last 15 minutes."""
    return float(text.split()[2])


def logged_in() -> bool:
    """Whether somebody has a shell, over Session Manager or otherwise."""
    sessions = subprocess.run(["/usr/bin/pgrep", "-f", "ssm-session-worker"], capture_output=True, check=False)
    users = subprocess.run(["/usr/bin/who"], capture_output=True, check=True)
    return sessions.returncode == 0 or bool(users.stdout.strip())


if __name__ == "__main__":
    main()
