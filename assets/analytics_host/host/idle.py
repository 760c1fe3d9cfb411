"""Stops the host when it has not been used for IDLE_MINUTES. Runs every minute.

These count as use: a session with Session Manager, RStudio, JupyterLab or H2O, and CPU load. A connection to port
443 does not, because anyone in the allowed range can open one without logging in. A worker of an H2O cluster is in
use while it is connected to the first host. A host on which cloud-init still runs counts as used,
because the stack waits for its signal. When the host powers off, the instance stops and keeps its volume.
"""

import os
import subprocess
import time
from pathlib import Path

# On the loopback address only. The port of H2O is nginx's, which forwards requests to H2O_PORT.
PORTS = {"RStudio": 8787, "JupyterLab": 8888, "H2O": 54321}
H2O_PORT = 54323
RSTUDIO_SESSIONS = "/rstudio-rsession/"  # folder of R's session sockets, which exist only after a login
CLUSTER_PORT = H2O_PORT + 1  # H2O uses the next port between hosts
BUSY_LOAD = 0.2  # 15-minute load average during training or R computations
CLOUD_INIT_RESULT = Path("/run/cloud-init/result.json")  # exists when cloud-init has finished, after each start
ESTABLISHED = "01"  # in /proc/net/tcp
CONNECTED = "03"  # in /proc/net/unix


def main() -> None:
    """Record the time of the last use, and stop the host if it is too long ago."""
    table = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    if os.environ["LOGICAL_ID"].startswith("Worker"):
        first_hosts = Path(os.environ["CONFIGURATION"], "first-hosts")  # exists when the cluster is complete
        used = not first_hosts.exists() or bool(set(first_hosts.read_text().split()) & peers(table))
    else:
        used = (
            bool(count_connections(table))
            or rstudio_in_use(Path("/proc/net/unix").read_text())
            or has_login_session()
            or load(Path("/proc/loadavg").read_text()) > BUSY_LOAD
        )
    used = used or not CLOUD_INIT_RESULT.exists()
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    if idle_minutes(Path("/run/analytics-host.used"), used, time.time(), uptime) >= int(os.environ["IDLE_MINUTES"]):
        subprocess.run(["/usr/bin/systemctl", "poweroff"], check=True)


def idle_minutes(file: Path, used: bool, now: float, uptime: float) -> float:
    """Return the minutes since the last use, whose time is stored in `file`. Starting the host counts as use."""
    if used or not file.exists():
        file.write_text(str(now))
    last = max(float(file.read_text()), now - uptime)
    return (now - last) / 60


def count_connections(table: str) -> int:
    """Count the open connections to JupyterLab and H2O in the kernel's connection table."""
    ports = (PORTS["JupyterLab"], PORTS["H2O"])
    return sum(_port(local) in ports for local, _remote in _established(table))


def rstudio_in_use(table: str) -> bool:
    """Return whether a browser uses an R session, from the kernel's table of Unix sockets.

    RStudio Server connects to an R session only for requests of a user who has logged in.
    """
    rows = [line.split(maxsplit=7) for line in table.splitlines()]
    return any(len(row) == 8 and row[5] == CONNECTED and RSTUDIO_SESSIONS in row[7] for row in rows)


def peers(table: str) -> set[str]:
    """Return the addresses of the hosts that H2O is connected to.

    Reads the kernel's table instead of opening a connection, because an idle connection blocks H2O's receiver.
    """
    return {_address(remote) for local, remote in _established(table) if CLUSTER_PORT in (_port(local), _port(remote))}


def _established(table: str) -> list[tuple[str, str]]:
    """Return the local and remote end of each open connection, in the kernel's format."""
    rows = [line.split() for line in table.splitlines()]
    return [(row[1], row[2]) for row in rows if len(row) > 3 and row[3] == ESTABLISHED]


def _port(end: str) -> int:
    return int(end.rpartition(":")[2], 16)


def _address(end: str) -> str:
    """Return the IPv4 address of an end: the last four bytes, in reverse order, even if mapped to IPv6."""
    return ".".join(str(byte) for byte in reversed(bytes.fromhex(end.rpartition(":")[0][-8:])))


def load(text: str) -> float:
    """Return the 15-minute load average."""
    return float(text.split()[2])


def has_login_session() -> bool:
    """Return whether there is a Session Manager session or a login shell."""
    sessions = subprocess.run(["/usr/bin/pgrep", "-f", "ssm-session-worker"], capture_output=True, check=False)
    users = subprocess.run(["/usr/bin/who"], capture_output=True, check=True)
    return sessions.returncode == 0 or bool(users.stdout.strip())


if __name__ == "__main__":
    main()
