"""Tests of unit files and nginx: users, addresses and restrictions."""

import re

import pytest

from assets.analytics_host.host import host
from assets.analytics_host.host.idle import H2O_PORT, PORTS

from .conftest import HOST


def settings_of(unit: str) -> dict[str, list[str]]:
    """Return all values of each setting of a unit."""
    settings: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", (HOST / unit).read_text(), re.MULTILINE):
        settings.setdefault(name, []).append(value)
    return settings


@pytest.mark.reliability(
    "analytics_host",
    "Hostile input",
    fault="code in H2O connects to the file system with the analyst's user ID",
    expected="the service cannot connect to it, or to the metadata service",
    observed="unit: `IPAddressDeny` with both addresses",
)
def test_h2o_runs_as_dedicated_user_without_credentials() -> None:
    h2o = settings_of("h2o.service")
    assert h2o["User"] == ["h2o"]
    assert h2o["IPAddressDeny"] == ["169.254.169.254 @HOME_ADDRESS@"], "H2O could get credentials, or mount home"
    assert (h2o["ProtectSystem"], h2o["ProtectHome"], h2o["NoNewPrivileges"]) == (["strict"], ["yes"], ["yes"])
    assert h2o["ReadWritePaths"] == ["/var/lib/h2o"], "H2O could not write its files"


def test_h2o_cannot_start_services_without_its_limits() -> None:
    """Every user may enable lingering for itself: systemd then starts the services in the user's home directory."""
    h2o = settings_of("h2o.service")
    assert h2o["InaccessiblePaths"] == ["/run/dbus"], "logind would start the services in /var/lib/h2o/.config/systemd"


def test_jupyterlab_runs_as_user_on_loopback_port_8888() -> None:
    jupyterlab = settings_of("jupyterlab.service")
    assert jupyterlab["User"] == ["@USER@"]
    (command,) = jupyterlab["ExecStart"]
    assert {"--ServerApp.ip=127.0.0.1", "--ServerApp.port=8888", "--ServerApp.port_retries=0"} <= set(command.split())


@pytest.mark.parametrize(
    ("unit", "target"),
    [("h2o.service", "multi-user"), ("jupyterlab.service", "multi-user"), ("idle.timer", "timers")],
)
def test_services_start_at_boot(unit: str, target: str) -> None:
    assert settings_of(unit)["WantedBy"] == [f"{target}.target"]


def test_idle_timer_runs_every_minute() -> None:
    assert settings_of("idle.timer")["OnUnitActiveSec"] == ["1min"]


def test_rstudio_listens_on_loopback_for_one_group() -> None:
    text = (HOST / "boot.sh").read_text()
    assert 'echo "www-address=127.0.0.1"' in text
    assert 'echo "auth-required-user-group=$USER_NAME"' in text


def test_nginx_serves_rstudio_over_tls_only() -> None:
    nginx = (HOST / "nginx_rstudio.conf").read_text()
    assert re.findall(r"^\s*listen (.*);", nginx, re.MULTILINE) == ["443 ssl"]
    assert re.findall(r"ssl_protocols (.*);", nginx) == ["TLSv1.2 TLSv1.3"]
    assert re.findall(r"proxy_pass (.*);", nginx) == ["http://127.0.0.1:8787"]


def test_nginx_forwards_loopback_port_to_h2o() -> None:
    nginx = (HOST / "nginx_h2o.conf").read_text()
    assert re.findall(r"^\s*listen (.*);", nginx, re.MULTILINE) == [f"127.0.0.1:{PORTS['H2O']}"]
    assert re.findall(r"proxy_pass (.*);", nginx) == [f"http://127.0.0.1:{H2O_PORT}"]
    assert str(H2O_PORT) == host.H2O_PORT


def test_scripts_write_to_home_as_user_only() -> None:
    """Otherwise root would follow the user's links; see test_attacks.

    Root mounts the folder itself and changes its owner. The user cannot replace it by a link, because root owns /home.
    """
    lines = [line for name in ("boot.sh", "host.py") for line in (HOST / name).read_text().splitlines()]
    folder = ("local folder=", "useradd ", "install -d ")
    written = [line.strip() for line in lines if "/home/" in line and not line.strip().startswith(folder)]
    assert written
    assert not any(re.search(r"/home/\$USER_NAME/", line) for line in lines), "a path in the home directory"
    assert all(line.startswith('runuser -u "$USER_NAME" -- ') for line in written), written


def test_jupyterlab_reads_password_from_system_folder() -> None:
    (command,) = settings_of("jupyterlab.service")["ExecStart"]
    assert "--config=/etc/analytics-host/jupyter_server_config.json" in command.split()
