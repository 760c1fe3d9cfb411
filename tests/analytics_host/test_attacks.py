"""Attacks of the analyst on root: the boot script runs again after the analyst has prepared the home directory.

The real script runs as root in a mount namespace with separate folders for /etc, /home and /opt, against a local
server in place of Secrets Manager. Requires Linux, root and unshare.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from .conftest import HOST, PASSWORD, SETTINGS

PROGRAMS = ("unshare", "useradd", "runuser", "mount")
NAMESPACE = ["unshare", "--mount", "bash", "-euc"]

pytestmark = [
    pytest.mark.enable_socket,
    pytest.mark.skipif(
        not hasattr(os, "geteuid") or os.geteuid() != 0 or not all(map(shutil.which, PROGRAMS)),
        reason=f"needs root and {', '.join(PROGRAMS)}",
    ),
]

SETUP = """
mount -t tmpfs none /mnt
cp -a /etc /mnt/etc
mount --bind /mnt/etc /etc
for folder in /home /opt /run; do mount -t tmpfs none $folder; done
mkdir -p /etc/analytics-host /etc/R /opt/analytics-host /etc/trap
cp -r "$HOST_FILES" /opt/analytics-host/host
cp -r "$HOST_FILES/../notebooks" /opt/analytics-host/notebooks
cp "$FOLDER/settings" /etc/analytics-host/settings
useradd --create-home --shell /bin/bash analyst
echo original >/etc/trap/jupyter_server_config.json
as_analyst() { runuser -u analyst -- bash -c "cd; $1"; }
"""


class SecretsManager(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        secret = json.dumps({"username": "analyst", "password": PASSWORD})
        body = json.dumps({"Name": "password", "SecretString": secret}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), SecretsManager) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def run(folder: Path, endpoint: str, script: str) -> str:
    """Run `script` after SETUP, in a separate namespace, and return its output."""
    (folder / "settings").write_text("".join(f"{name}={value}\n" for name, value in SETTINGS.items()))
    python = folder / "python"  # with a fake jupyter_server, which may not be installed
    python.write_text(f'#!/bin/sh\nPYTHONPATH={folder} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    (folder / "jupyter_server").mkdir()
    (folder / "jupyter_server/__init__.py").touch()
    (folder / "jupyter_server/auth.py").write_text("def passwd(text):\n    return 'a hash'\n")
    environment = {
        "PATH": os.environ["PATH"], "FOLDER": str(folder), "HOST_FILES": str(HOST), "PYTHON": str(python),
        "SYSTEM_PYTHON": sys.executable, "AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing", "JAVA": "/bin/true",
    }  # fmt: skip
    process = subprocess.run([*NAMESPACE, SETUP + script], env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


BOOT = "bash /opt/analytics-host/host/boot.sh"


@pytest.mark.reliability(
    "analytics_host",
    "Hostile input",
    fault="the analyst plants links or Python files before root runs the boot script",
    expected="root follows no link and runs none of the files",
    observed="the target's files are unchanged",
)
def test_root_does_not_follow_jupyter_link(tmp_path: Path, endpoint: str) -> None:
    output = run(
        tmp_path, endpoint,
        f"""
        as_analyst 'ln -s /etc/trap .jupyter'
        {BOOT} jupyterlab
        cat /etc/trap/jupyter_server_config.json
        stat -c '%n %U %a' /etc/trap /etc/trap/* /etc/analytics-host/jupyter_server_config.json
        grep -c hash /etc/analytics-host/jupyter_server_config.json
        """,
    )  # fmt: skip
    assert output.splitlines()[-5:] == [
        "original",
        "/etc/trap root 755",
        "/etc/trap/jupyter_server_config.json root 644",
        "/etc/analytics-host/jupyter_server_config.json analyst 600",
        "1",
    ]


SWAP = """
import os, pwd
account = pwd.getpwnam("analyst")
os.chdir(account.pw_dir)
os.setgid(account.pw_gid)
os.setuid(account.pw_uid)
os.makedirs("notebooks", exist_ok=True)  # the script can be faster
os.symlink("/etc/trap", "link")
while True:
    try:
        os.rename("notebooks", "aside"); os.rename("link", "notebooks")
        os.rename("notebooks", "link"); os.rename("aside", "notebooks")
    except OSError:
        pass
"""


@pytest.mark.reliability(
    "analytics_host",
    "Hostile input",
    fault="the analyst plants links or Python files before root runs the boot script",
)
def test_link_swapped_for_notebooks_is_not_followed_by_root(tmp_path: Path, endpoint: str) -> None:
    (tmp_path / "swap.py").write_text(SWAP)
    output = run(
        tmp_path,
        endpoint,
        f"""
        {sys.executable} "$FOLDER/swap.py" &
        for try in $(seq 80); do {BOOT} notebooks || true; done >/dev/null 2>&1
        kill $!
        stat -c '%n %U' /etc/trap /etc/trap/*
        """,
    )
    assert output.splitlines() == ["/etc/trap root", "/etc/trap/jupyter_server_config.json root"]


def test_notebooks_belong_to_user_and_keep_changes(tmp_path: Path, endpoint: str) -> None:
    output = run(
        tmp_path, endpoint,
        f"""
        {BOOT} notebooks
        as_analyst 'echo mine >notebooks/billboard.Rmd'
        {BOOT} notebooks
        cat /home/analyst/notebooks/billboard.Rmd
        stat -c '%U' /home/analyst/notebooks /home/analyst/notebooks/*
        """,
    )  # fmt: skip
    assert output.splitlines()[-4:] == ["mine", "analyst", "analyst", "analyst"]


@pytest.mark.needs("h2o")
@pytest.mark.reliability(
    "analytics_host",
    "Hostile input",
    fault="the analyst plants links or Python files before root runs the boot script",
)
def test_python_files_in_current_folder_are_not_run_by_root(tmp_path: Path, endpoint: str) -> None:
    """Root can run the script from the analyst's home directory in a Session Manager shell."""
    output = run(
        tmp_path, endpoint,
        f"""
        as_analyst 'mkdir h2o; touch h2o/__init__.py; echo "open(\\"/etc/trap/taken\\", \\"w\\")" >sysconfig.py'
        cp /home/analyst/sysconfig.py /home/analyst/importlib.py
        cd /home/analyst
        {BOOT} h2o
        ls /etc/trap
        grep H2O_JAR /etc/analytics-host/h2o.env
        """,
    )  # fmt: skip
    files, jar = output.splitlines()[-2:]
    assert files == "jupyter_server_config.json"
    assert "/home/analyst" not in jar
