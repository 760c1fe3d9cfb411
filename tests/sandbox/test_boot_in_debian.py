"""Tests of the boot script's steps in a Debian chroot, where packages have the same names as in Ubuntu.

Skipped by default, because they install 1 GB. Run as root::

    debootstrap --variant=minbase --include=ca-certificates bookworm debian
    mount -t proc proc debian/proc
    DEBIAN=$PWD/debian pytest tests/sandbox/test_boot_in_debian.py

Secret and workgroup are those of the sandbox. Not included: step `home`, which needs EFS, and steps `r` and
`rstudio`, which need CRAN and Posit. `test_boot` checks their commands.
"""

import os
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from sandbox import Sandbox
from sandbox.target import target_of

from ..conftest import ROOT, need

DEBIAN = Path(os.environ.get("DEBIAN", "/nonexistent"))
SOFTWARE = "/opt/analytics-host"
STEPS = ("packages", "proxy", "user", "python", "password", "h2o", "notebooks", "jupyterlab", "tls", "idle")
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
        "DATA_BUCKET": outputs["DataBucketName"], "USER_NAME": "analyst",
        "IDLE_MINUTES": "60", "TLS": "yes", "H2O_NODES": "1", "H2O_R_SHA256": "",
    }  # fmt: skip
    configuration = DEBIAN / "etc/analytics-host"
    configuration.mkdir(exist_ok=True)
    (configuration / "settings").write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    variables = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "AWS_"))}
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


@pytest.mark.parametrize("step", STEPS)
def test_boot_step_succeeds(settings: dict[str, str], step: str) -> None:
    python = {} if step in STEPS[:4] else {"SYSTEM_PYTHON": VENV_PYTHON}
    run = run_in_chroot(settings | python, "/bin/bash", f"{SOFTWARE}/host/boot.sh", step)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]


def test_secret_files_have_owner_and_private_mode(settings: dict[str, str]) -> None:
    files = [f"/etc/analytics-host/{name}" for name in ("h2o.realm", "jupyter_server_config.json", "tls.key")]
    output = run_in_chroot(settings, "/usr/bin/stat", "-c", "%U %a", *files).stdout.splitlines()
    assert output == ["h2o 600", "analyst 600", "root 600"]


def test_installed_versions_are_pinned_versions(settings: dict[str, str]) -> None:
    assert 'openjdk version "17.' in run_in_chroot(settings, "/usr/bin/java", "-version").stderr
    assert "R version 4.2.2" in run_in_chroot(settings, "/usr/bin/R", "--version").stdout
    imported = run_in_chroot(settings, VENV_PYTHON, "-c", "import billboard.report, h2o; print(h2o.__version__)")
    assert imported.stdout.strip() == version("h2o"), imported.stderr
