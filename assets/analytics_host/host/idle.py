"""Stops the host when it has not been used for IDLE_MINUTES.

Used is: somebody has a session of Session Manager, RStudio, JupyterLab or H2O open, or the processors are at
work. A connection to nginx is none, because anyone in the allowed range can open one without logging in; a worker
of H2O's cluster: it is connected with its head, the first host. A host that cloud-init still makes
counts as used, for its stack waits for the signal.
Run every minute. Stopping is switching off: the instance stops, and keeps its volume.
"""

import os
import subprocess
import time
from pathlib import Path

# On the loopback address only; H2O's cluster uses the next port.
PORTS = {"RStudio": 8787, "JupyterLab": 8888, "H2O": 54321}
RSTUDIO_SESSIONS = "/rstudio-rsession/"  # folder of the sockets of R's sessions, which only a login leads to
CLUSTER_PORT = PORTS["H2O"] + 1
BUSY = 0.2  # of one processor, over 15 minutes: a training, or R at work
MADE = Path("/run/cloud-init/result.json")  # there once cloud-init is done, after each start
ESTABLISHED = "01"  # in /proc/net/tcp
CONNECTED = "03"  # in /proc/net/unix


def main() -> None:
    """Note the moment of the last use, and stop when it is too long ago."""
    table = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    if os.environ["LOGICAL_ID"].startswith("Worker"):
        heads = Path(os.environ["CONFIGURATION"], "heads")  # there once the cluster is whole
        used = not heads.exists() or bool(set(heads.read_text().split()) & peers(table))
    else:
        used = (
            bool(connections(table))
            or rstudio_in_use(Path("/proc/net/unix").read_text())
            or logged_in()
            or load(Path("/proc/loadavg").read_text()) > BUSY
        )
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
    """How many connections to JupyterLab and H2O are open, by the kernel's table of them."""
    ports = (PORTS["JupyterLab"], PORTS["H2O"])
    return sum(_port(local) in ports for local, _remote in _established(table))


def rstudio_in_use(table: str) -> bool:
    """Whether a browser is connected with an R session, by the kernel's table of Unix sockets.

    RStudio's server asks for the login itself, and connects with an R session for requests of its user only.
    """
    rows = [line.split(maxsplit=7) for line in table.splitlines()]
    return any(len(row) == 8 and row[5] == CONNECTED and RSTUDIO_SESSIONS in row[7] for row in rows)


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
