"""Facts about the services' own files: who runs what, who listens where, and what they may not."""

import re

import pytest

from .conftest import HOST


def settings_of(unit: str) -> dict[str, list[str]]:
    """A unit's settings, each with all its values."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", (HOST / unit).read_text(), re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def test_h2o_runs_as_a_user_of_its_own_that_reaches_no_credentials() -> None:
    h2o = settings_of("h2o.service")
    assert h2o["User"] == ["h2o"]
    assert h2o["IPAddressDeny"] == ["169.254.169.254"], "who reaches H2O could ask for the host's permissions"
    assert (h2o["ProtectSystem"], h2o["ProtectHome"], h2o["NoNewPrivileges"]) == (["strict"], ["yes"], ["yes"])
    assert h2o["ReadWritePaths"] == ["/var/lib/h2o"], "it could write nothing, not even its own files"


def test_jupyterlab_is_the_users_listens_on_the_host_only_and_takes_no_other_port() -> None:
    jupyterlab = settings_of("jupyterlab.service")
    assert jupyterlab["User"] == ["@USER@"]
    (command,) = jupyterlab["ExecStart"]
    assert {"--ServerApp.ip=127.0.0.1", "--ServerApp.port=8888", "--ServerApp.port_retries=0"} <= set(command.split())


@pytest.mark.parametrize(
    ("unit", "target"),
    [("h2o.service", "multi-user"), ("jupyterlab.service", "multi-user"), ("idle.timer", "timers")],
)
def test_services_come_up_by_themselves_after_a_stop(unit: str, target: str) -> None:
    assert settings_of(unit)["WantedBy"] == [f"{target}.target"]


def test_idle_stop_looks_again_and_again() -> None:
    assert settings_of("idle.timer")["OnUnitActiveSec"] == ["1min"]


def test_rstudio_listens_on_the_host_only_and_lets_the_user_in_only() -> None:
    text = (HOST / "boot.sh").read_text()
    assert 'echo "www-address=127.0.0.1"' in text
    assert 'echo "auth-required-user-group=$USER_NAME"' in text


def test_rstudio_is_shown_over_tls_only() -> None:
    nginx = (HOST / "nginx.conf").read_text()
    assert re.findall(r"^\s*listen (.*);", nginx, re.MULTILINE) == ["443 ssl"]
    assert re.findall(r"ssl_protocols (.*);", nginx) == ["TLSv1.2 TLSv1.3"]
    assert re.findall(r"proxy_pass (.*);", nginx) == ["http://127.0.0.1:8787"]


def test_only_the_user_writes_in_the_users_home() -> None:
    """Root would follow the user's links; test_attacks tries."""
    found = [line for name in ("boot.sh", "host.py") for line in (HOST / name).read_text().splitlines()]
    written = [line.strip() for line in found if "/home/" in line]
    assert written
    assert all(line.startswith('runuser -u "$USER_NAME" -- ') for line in written), written


def test_jupyterlab_reads_its_password_from_roots_folder() -> None:
    (command,) = settings_of("jupyterlab.service")["ExecStart"]
    assert "--config=/etc/analytics-host/jupyter_server_config.json" in command.split()
