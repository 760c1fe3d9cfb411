"""Tests of an H2O cluster of two hosts in separate network namespaces. Requires root and iproute2."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import h2o
import pytest

from assets.analytics_host.host.idle import peers
from sandbox.ec2 import systemd
from sandbox.ec2.instances import java

from .conftest import HOST
from .test_h2o_proxy import start_nginx

UNIT = HOST / "h2o.service"
ADDRESSES = {"first": "10.90.0.1", "second": "10.90.0.2"}
DELETED_HOST = "10.90.0.77"  # a host of an earlier deployment
LOGIN = "analyst:characters"
TIMEOUT_SECONDS = 300  # enough for two JVMs on a busy computer
CONNECTION_REFUSED = 7  # exit status of curl
NETWORK = f"h2o-{os.getpid()}"


def run(*command: str, check: bool = True) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=check).stdout


def inside(host: str, *command: str, check: bool = True) -> str:
    return run("ip", "netns", "exec", f"{NETWORK}-{host}", *command, check=check)


@pytest.fixture(scope="module")
def namespaces() -> Iterator[dict[str, str]]:
    """Two network namespaces that reach each other and nothing else."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("network namespaces require root and iproute2")
    try:
        for host in ADDRESSES:
            run("ip", "netns", "add", f"{NETWORK}-{host}")
        first, second = (f"{NETWORK}-{host}" for host in ADDRESSES)
        run("ip", "link", "add", "c1", "netns", first, "type", "veth", "peer", "name", "c2", "netns", second)
        for (host, address), end in zip(ADDRESSES.items(), ("c1", "c2"), strict=True):
            inside(host, "ip", "address", "add", f"{address}/24", "dev", end)
            inside(host, "ip", "link", "set", "lo", "up")
            inside(host, "ip", "link", "set", end, "up")
        yield ADDRESSES
    finally:
        for host in ADDRESSES:
            run("ip", "netns", "delete", f"{NETWORK}-{host}", check=False)


@pytest.fixture(scope="module")
def cluster(namespaces: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Start H2O on both hosts with the host's unit file. The first host knows only itself.

    Yields the folder of each host's files.
    """
    roots = {host: tmp_path_factory.mktemp(host) for host in namespaces}
    known = {"first": [ADDRESSES["first"]], "second": [*ADDRESSES.values(), DELETED_HOST]}
    for host, root in roots.items():
        _prepare(root, ADDRESSES[host], known[host])
        inside(host, "env", f"ROOT={root}", sys.executable, systemd.__file__, "restart", "h2o.service")
    yield roots
    for root in roots.values():
        stop(root)


def stop(root: Path) -> None:
    with suppress(ProcessLookupError):
        os.kill(int((root / "run/h2o.service.pid").read_text()), 15)


def _prepare(root: Path, address: str, known: list[str]) -> None:
    for folder in ("etc/systemd/system", "etc/analytics-host", "run", "var/log", "var/lib/h2o"):
        (root / folder).mkdir(parents=True)
    files = root / "etc/analytics-host"
    (root / "etc/systemd/system/h2o.service").write_text(UNIT.read_text())
    (files / "h2o.flatfile").write_text("".join(f"{host}:54323\n" for host in known))
    user, password = LOGIN.split(":")
    digest = hashlib.md5(password.encode(), usedforsecurity=False).hexdigest()
    (files / "h2o.realm").write_text(f"{user}: MD5:{digest}\n")
    settings = {
        "JAVA": java(),
        "H2O_JAR": Path(h2o.__file__).parent / "backend/bin/h2o.jar",
        "H2O_MEMORY": "500m",
        "H2O_THREADS": "1",
        "H2O_NAME": "test",
        "H2O_PORT": "54323",
        "H2O_FILES": files,
        "H2O_TEMPORARY": root / "var/lib/h2o",
        "H2O_IP": address,
    }
    (files / "h2o.env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))


def get_cloud(host: str, url: str, *options: str) -> str:
    """Return H2O's response; the timeout is long because the computer can be busy."""
    return inside(host, "curl", "--silent", "--max-time", str(TIMEOUT_SECONDS), *options, f"{url}/3/Cloud", check=False)


@pytest.mark.usefixtures("cluster")
@pytest.mark.reliability(
    "analytics_host", "Delayed or out of order", fault="one host of a cluster boots later than the others"
)
def test_later_host_joins_earlier_host() -> None:
    def complete() -> bool:
        return all('"cloud_size":2' in get_cloud(host, "http://127.0.0.1:54323", "--user", LOGIN) for host in ADDRESSES)

    wait_for(complete, "no cluster of two")


@pytest.mark.usefixtures("cluster")
@pytest.mark.reliability("analytics_host", "Hostile input", fault="a request to H2O without the password")
def test_rest_port_is_local_and_requires_password() -> None:
    code = ("--output", "/dev/null", "--write-out", "%{http_code}")
    assert get_cloud("first", "http://127.0.0.1:54323", *code) == "401"
    assert get_cloud("first", "http://127.0.0.1:54323", "--user", LOGIN, *code) == "200"
    assert refused("second", f"http://{ADDRESSES['first']}:54323")
    listening = [line.split()[3] for line in inside("first", "ss", "-ltnH").splitlines()]
    outside = [address for address in listening if "127.0.0.1" not in address]
    assert [address.rsplit(":", 1)[1] for address in outside] == ["54324"], listening


CLIENT = """
import h2o
h2o.connect(url="http://127.0.0.1:54321", auth=("analyst", "characters"), verbose=False)
frame = h2o.H2OFrame({"x": list(range(50_000))})
print("result:", frame.nrows, frame["x"].sum(), len(frame.as_data_frame(use_pandas=False)), h2o.cluster().cloud_size)
"""


@pytest.mark.usefixtures("cluster")
@pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not installed")
@pytest.mark.reliability(
    "analytics_host",
    "Hostile input",
    fault="a web page sends requests to H2O with the browser's stored password",
)
def test_proxy_serves_client_and_rejects_web_pages(tmp_path: Path) -> None:
    prefix = ("ip", "netns", "exec", f"{NETWORK}-first")
    nginx = start_nginx(tmp_path, (HOST / "nginx_h2o.conf").read_text(), *prefix)
    try:
        url, code = "http://localhost:54321", ("--user", LOGIN, "--output", "/dev/null", "--write-out", "%{http_code}")
        wait_for(lambda: get_cloud("first", url, *code) == "200", "no response through nginx")
        assert "result: 50000 1249975000.0 50001 2" in inside("first", sys.executable, "-c", CLIENT)
        flow = ("--header", f"Origin: {url}", "--header", "Sec-Fetch-Site: same-origin")
        assert get_cloud("first", url, *code, *flow) == "200"
        page = ("--header", "Origin: https://evil.example")
        assert get_cloud("first", "http://127.0.0.1:54323", *code, *page) == "200", "H2O itself rejects web pages now"
        assert get_cloud("first", url, *code, *page) == "403"
        assert get_cloud("first", url, *code, "--header", "Sec-Fetch-Site: cross-site") == "403"
        assert get_cloud("first", url, *code, "--header", "Host: evil.example") == "403"
    finally:
        nginx.terminate()
        nginx.wait()


def test_worker_detects_lost_head_in_kernel_table(cluster: dict[str, Path]) -> None:
    def connected() -> bool:
        return ADDRESSES["first"] in peers(inside("second", "cat", "/proc/net/tcp", "/proc/net/tcp6"))

    wait_for(connected, "no connection to the first host")
    stop(cluster["first"])
    wait_for(lambda: not connected(), "the connection to the stopped host is still open")


def refused(host: str, url: str) -> bool:
    """Return whether the connection is refused, which differs from a timeout."""
    status = inside(host, "sh", "-c", f"curl --silent --max-time {TIMEOUT_SECONDS} {url}/3/Cloud >/dev/null; echo $?")
    return int(status) == CONNECTION_REFUSED


def wait_for(condition: Callable[[], bool], message: str) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, message
        time.sleep(0.5)
