"""Tests of the user data, which fetches the host's files and starts the boot script."""

import os
import subprocess
from pathlib import Path

from .conftest import HOST, Computer


def test_ssh_is_disabled_before_the_boot(computer: Computer) -> None:
    """Ubuntu's image accepts keys of EC2 Instance Connect for a user with sudo, and users can forward any port.

    The boot takes minutes, and a connection outlasts the end of the service.
    """
    (computer.root / "run/systemd/system").mkdir(parents=True)
    computer.program("install", "exit 1")  # the first command that changes the host
    environment = {"ROOT": str(computer.root), "PATH": f"{computer.programs}:{os.environ['PATH']}"}
    run = subprocess.run(["/bin/bash", str(HOST / "fetch.sh")], env=environment, capture_output=True, check=False)
    assert run.returncode == 1
    calls = computer.calls.read_text().splitlines()
    assert [line.split()[0] for line in calls] == ["systemctl", "install"]
    assert calls[0] == "systemctl mask --now ssh.socket ssh.service"


def test_user_data_without_package_stops(tmp_path: Path) -> None:
    boot = tmp_path / "opt/analytics-host/host/boot.sh"
    boot.parent.mkdir(parents=True)
    boot.write_text("touch $ROOT/booted")
    for python, boots in (("false", False), ("true", True)):
        environment = {"ROOT": str(tmp_path), "SYSTEM_PYTHON": python, "PATH": os.environ["PATH"]}
        user_data = (HOST / "fetch.sh").read_text().replace("@SETTINGS@", "STACK=stack")
        run = subprocess.run(["/bin/bash", "-c", user_data], env=environment, capture_output=True, check=False)
        assert (tmp_path / "booted").exists() is boots, run.stderr
        assert (run.returncode == 0) is boots
