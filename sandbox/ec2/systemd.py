"""systemd: ``systemctl`` on the sandbox's instances.

``restart UNIT`` starts a service's ExecStart as a process on this computer, with the variables of its environment
files. In `ADDRESS_FILES`, addresses of instances are replaced by ports of this computer. Not implemented: everything
else, such as users, hardening, restarts, dependencies and timers.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

ADDRESS_FILES = ("h2o.env", "h2o.flatfile")  # in etc/analytics-host
PORTS = "ports"  # next to the instances' folders: a file for each private address, with the port that stands for it


def main(command: str, *units: str) -> None:
    """Run a ``systemctl`` command."""
    if command in ("start", "restart"):
        for unit in units:
            if unit.endswith(".service"):
                _restart(Path(os.environ["ROOT"]), unit)


def _restart(root: Path, unit: str) -> None:
    process_id = root / "run" / f"{unit}.pid"
    if process_id.exists():
        with suppress(ProcessLookupError):
            os.kill(int(process_id.read_text()), signal.SIGTERM)
    _localize(root)
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    settings: dict[str, list[str]] = {}
    for line in (root / "etc/systemd/system" / unit).read_text().splitlines():
        key, separator, value = line.partition("=")
        if separator:
            settings.setdefault(key, []).append(value)
    for file in settings.get("EnvironmentFile", []):
        pairs = (line.partition("=") for line in (root / file.lstrip("/")).read_text().splitlines())
        environment |= {name: value for name, separator, value in pairs if separator}
    (command,) = settings["ExecStart"]
    words = [re.sub(r"\$\{(\w+)\}", lambda name: environment[name[1]], word) for word in shlex.split(command)]
    with (root / "var/log" / f"{unit}.log").open("w") as log:
        process = subprocess.Popen(words, env=environment, cwd=root, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    process_id.write_text(str(process.pid))


def _localize(root: Path) -> None:
    for file in (root / "etc/analytics-host" / name for name in ADDRESS_FILES):
        text = file.read_text() if file.exists() else ""
        for address in (root.parent / PORTS).glob("*"):
            text = re.sub(rf"\b{re.escape(address.name)}:\d+", f"127.0.0.1:{address.read_text()}", text)
            text = re.sub(rf"\b{re.escape(address.name)}\b", "127.0.0.1", text)
        if text:
            file.write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
