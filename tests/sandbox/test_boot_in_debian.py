"""The boot script's steps, as root, in a Debian whose packages have the names of Ubuntu's.

Not by itself, for it installs a gigabyte. As root::

    debootstrap --variant=minbase --include=ca-certificates bookworm debian
    mount -t proc proc debian/proc
    DEBIAN=$PWD/debian pytest tests/sandbox/test_boot_in_debian.py

Secret and workgroup are those of the sandbox. `r` and `rstudio` download from CRAN and Posit, and
fail where these cannot be reached; what they would install is checked by `test_boot`.
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
STEPS = ("packages", "user", "python", "password", "h2o", "notebooks", "jupyterlab", "tls", "idle")
OWN_PYTHON = f"{SOFTWARE}/venv/bin/python"  # Debian's boto3 is too old to be led to the sandbox

pytestmark = [
    pytest.mark.enable_socket,
    pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs root and a Debian: DEBIAN=folder, see the file"),
]


@pytest.fixture(scope="module")
def settings(deployed: Sandbox) -> dict[str, str]:
    need("h2o")  # without it the stack is not deployed
    outputs = target_of(deployed).outputs("AnalyticsHost")
    for folder in ("host", "billboard", "notebooks"):
        source = ROOT / "assets" / "analytics_host" / folder
        shutil.copytree(source, DEBIAN / SOFTWARE.lstrip("/") / folder, dirs_exist_ok=True)
    told = {
        "AWS_DEFAULT_REGION": "us-east-1", "STACK": "AnalyticsHost", "LOGICAL_ID": "Host", "GENERATION": "test",
        "LOG_GROUP": outputs["LogGroupName"], "SECRET": outputs["SecretArn"], "WORK_GROUP": outputs["WorkGroupName"],
        "DATABASE": outputs["DatabaseName"], "CLUSTER_BUCKET": outputs["DataBucketName"], "USER_NAME": "analyst",
        "IDLE_MINUTES": "60", "TLS": "yes", "H2O_NODES": "1", "H2O_R_SHA256": "",
    }  # fmt: skip
    configuration = DEBIAN / "etc/analytics-host"
    configuration.mkdir(exist_ok=True)
    (configuration / "settings").write_text("".join(f"{name}={value}\n" for name, value in told.items()))
    variables = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "AWS_"))}
    return variables | {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "R_VERSION": "4.2.2",
    }


def inside(settings: dict[str, str], *command: str, timeout: float = 900) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/usr/sbin/chroot", str(DEBIAN), *command],
        env=settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )


@pytest.mark.parametrize("step", STEPS)
def test_step_runs(settings: dict[str, str], step: str) -> None:
    python = {} if step in STEPS[:3] else {"SYSTEM_PYTHON": OWN_PYTHON}
    run = inside(settings | python, "/bin/bash", f"{SOFTWARE}/host/boot.sh", step)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]


def test_secrets_are_for_their_owners_only(settings: dict[str, str]) -> None:
    files = [f"/etc/analytics-host/{name}" for name in ("h2o.realm", "jupyter_server_config.json", "tls.key")]
    said = inside(settings, "/usr/bin/stat", "-c", "%U %a", *files).stdout.splitlines()
    assert said == ["h2o 600", "analyst 600", "root 600"]


def test_what_was_installed_is_what_is_pinned(settings: dict[str, str]) -> None:
    assert 'openjdk version "17.' in inside(settings, "/usr/bin/java", "-version").stderr
    assert "R version 4.2.2" in inside(settings, "/usr/bin/R", "--version").stdout
    imported = inside(settings, OWN_PYTHON, "-c", "import billboard.report, h2o; print(h2o.__version__)")
    assert imported.stdout.strip() == version("h2o"), imported.stderr


def test_r_notebook_is_r(settings: dict[str, str]) -> None:
    script = (
        "lines <- readLines('/opt/analytics-host/notebooks/billboard.Rmd');"
        "starts <- grep('^```[{]r', lines); ends <- grep('^```$', lines);"
        "code <- unlist(Map(function(a, b) lines[(a + 1):(b - 1)], starts, ends));"
        "cat(length(parse(text = code)))"
    )
    run = inside(settings, "/usr/bin/Rscript", "-e", script)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) > 40
