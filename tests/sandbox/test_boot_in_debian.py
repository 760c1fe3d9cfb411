"""Tests of the boot script's steps in a Debian chroot, where packages have the same names as in Ubuntu.

Skipped by default, because they install 1 GB. Run as root::

    debootstrap --variant=minbase --include=ca-certificates bookworm debian
    mount -t proc proc debian/proc
    DEBIAN=$PWD/debian pytest tests/sandbox/test_boot_in_debian.py

Secret and workgroup are those of the sandbox. Steps `r` and `rstudio` install Debian's packages, but stand-ins for the
packages of CRAN, H2O and Posit. Not included: step `home`, which needs EFS; step `ssh` does nothing without systemd.
`test_boot` checks their commands. Each step runs twice, because every step can be repeated.

With ``BOOT_LOG=file``, the first runs are written to that file, from which ``BOOT_LOG=file python -m bench
analytics_host`` takes the seconds of each step.
"""

import os
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest

from sandbox import Sandbox
from sandbox.target import target_of

from ..conftest import ROOT, need

DEBIAN = Path(os.environ.get("DEBIAN", "/nonexistent"))
SOFTWARE = "/opt/analytics-host"
STEPS = (
    "packages", "proxy", "user", "python", "password", "r", "rstudio", "h2o", "notebooks", "jupyterlab", "tls", "ssh",
    "idle",
)  # fmt: skip
VENV_PYTHON = f"{SOFTWARE}/venv/bin/python"  # Debian's boto3 is too old for AWS_ENDPOINT_URL

pytestmark = [
    pytest.mark.enable_socket,
    pytest.mark.skipif(
        not DEBIAN.is_dir(), reason="requires root and a Debian chroot: DEBIAN=folder, see the module docstring"
    ),
]


@pytest.fixture(scope="module")
def settings(deployed: Sandbox) -> dict[str, str]:
    need("h2o")  # otherwise the stack is not deployed
    outputs = target_of(deployed).outputs("AnalyticsHost")
    for folder in ("host", "billboard", "notebooks"):
        source = ROOT / "assets" / "analytics_host" / folder
        shutil.copytree(source, DEBIAN / SOFTWARE.lstrip("/") / folder, dirs_exist_ok=True)
    values = {
        "AWS_DEFAULT_REGION": "us-east-1", "STACK": "AnalyticsHost", "LOGICAL_ID": "Host", "CLUSTER_ID": "test",
        "LOG_GROUP": outputs["LogGroupName"], "SECRET": outputs["SecretArn"], "WORK_GROUP": outputs["WorkGroupName"],
        "DATABASE": outputs["DatabaseName"], "CLUSTER_BUCKET": outputs["DataBucketName"],
        "DATA_BUCKET": outputs["DataBucketName"], "HOME_ADDRESS": "10.90.0.9", "USER_NAME": "analyst",
        "IDLE_MINUTES": "60", "TLS": "yes", "H2O_NODES": "1", "H2O_R_SHA256": "",
    }  # fmt: skip
    configuration = DEBIAN / "etc/analytics-host"
    configuration.mkdir(exist_ok=True)
    (configuration / "settings").write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    variables = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    variables |= {name: value for name, value in deployed.environment.items() if name.startswith("AWS_")}
    return variables | {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "R_VERSION": "4.2.2",
    }


def run_in_chroot(settings: dict[str, str], *command: str, timeout: float = 900) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/usr/sbin/chroot", str(DEBIAN), *command],
        env=settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )


STAND_INS = {
    "curl": 'while [[ $1 != --output ]]; do shift; done; cp /opt/stand-ins/package.deb "$2"',
    "sha256sum": '. /opt/analytics-host/host/versions.sh; echo "$RSTUDIO_SHA256  $1"',
    "systemctl": "exit 0",
    "R": "exit 0",
    "Rscript": "exit 0",
}
CONTROL = "Package: rstudio-server\nVersion: 1\nArchitecture: all\nMaintainer: none\nDescription: none\n"


@pytest.fixture(scope="module")
def stand_ins(settings: dict[str, str]) -> str:
    """Return a folder with programs in the place of downloads, and of commands that need them."""
    folder = DEBIAN / "opt/stand-ins"
    (folder / "package/DEBIAN").mkdir(parents=True, exist_ok=True)
    (folder / "package/etc/rstudio").mkdir(parents=True, exist_ok=True)
    (folder / "package/DEBIAN/control").write_text(CONTROL)
    for name, body in STAND_INS.items():
        (folder / name).write_text(f"#!/bin/bash\n{body}\n")
        (folder / name).chmod(0o755)
    build = run_in_chroot(
        settings, "/usr/bin/dpkg-deb", "--build", "/opt/stand-ins/package", "/opt/stand-ins/package.deb"
    )
    assert build.returncode == 0, build.stderr
    return "/opt/stand-ins"


@pytest.mark.parametrize("step", STEPS)
def test_boot_step_succeeds_twice(settings: dict[str, str], stand_ins: str, step: str) -> None:
    variables = settings if step in STEPS[:4] else settings | {"SYSTEM_PYTHON": VENV_PYTHON}
    if step in ("r", "rstudio"):
        variables = variables | {"PATH": f"{stand_ins}:{settings['PATH']}"}
    for number in range(2):
        run = run_in_chroot(variables, "/bin/bash", f"{SOFTWARE}/host/boot.sh", step)
        assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
        if number == 0 and "BOOT_LOG" in os.environ:
            with Path(os.environ["BOOT_LOG"]).open("a") as log:
                log.write(run.stdout + f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} == end\n")


@pytest.mark.usefixtures("stand_ins")
def test_repeated_steps_leave_one_user_and_one_line_each() -> None:
    accounts = (DEBIAN / "etc/passwd").read_text().splitlines()
    assert len([line for line in accounts if line.startswith("analyst:")]) == 1
    assert len((DEBIAN / "etc/rstudio/rserver.conf").read_text().splitlines()) == 2
    assert (DEBIAN / "etc/R/Rprofile.site").read_text().count("repos = ") == 1
    assert not list((DEBIAN / SOFTWARE.lstrip("/")).glob("*.deb"))


def test_secret_files_have_owner_and_private_mode(settings: dict[str, str]) -> None:
    files = [f"/etc/analytics-host/{name}" for name in ("h2o.realm", "jupyter_server_config.json", "tls.key")]
    output = run_in_chroot(settings, "/usr/bin/stat", "-c", "%U %a", *files).stdout.splitlines()
    assert output == ["h2o 600", "analyst 600", "root 600"]


def test_installed_versions_are_pinned_versions(settings: dict[str, str]) -> None:
    assert 'openjdk version "17.' in run_in_chroot(settings, "/usr/bin/java", "-version").stderr
    assert "R version 4.2.2" in run_in_chroot(settings, "/usr/bin/R", "--version").stdout
    imported = run_in_chroot(settings, VENV_PYTHON, "-c", "import billboard.report, h2o; print(h2o.__version__)")
    assert imported.stdout.strip() == version("h2o"), imported.stderr
