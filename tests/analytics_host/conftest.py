"""Fixtures: a folder in which the boot script runs, a fake of AWS for the host, and templates."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from assets.analytics_host.host import host

from ..conftest import ROOT, need, resources_of_type, synthesize

STACK = "AnalyticsHost"
HOST = ROOT / "assets" / "analytics_host" / "host"
SETTINGS = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "STACK": "AnalyticsHost",
    "LOGICAL_ID": "Host",
    "LOG_GROUP": "boot",
    "SECRET": "password",
    "WORK_GROUP": "AnalyticsHost",
    "DATABASE": "analytics_host",
    "CLUSTER_BUCKET": "results",
    "DATA_BUCKET": "data",
    "HOME_ADDRESS": "10.90.0.9",
    "USER_NAME": "analyst",
    "IDLE_MINUTES": "60",
    "TLS": "no",
    "H2O_NODES": "1",
    "H2O_R_SHA256": "",
    "CLUSTER_ID": "0123456789abcdef",
}


class Computer:
    """A folder in which the boot script runs, with fake programs first in its PATH.

    By default every fake program succeeds.
    """

    def __init__(self, folder: Path) -> None:
        self.root, self.calls = folder / "root", folder / "calls"
        self.programs, self.software = folder / "bin", folder / "software"
        self.programs.mkdir()
        (self.root / "etc/analytics-host").mkdir(parents=True)
        (self.root / "etc/analytics-host/h2o.address").write_text("H2O_IP=127.0.0.1\n")  # host.py writes it
        shutil.copytree(HOST, self.software / "host", ignore=shutil.ignore_patterns("__pycache__"))
        self.calls.touch()
        for name in ("apt-get", "systemctl", "python"):
            self.program(name, "exit 0")

    def program(self, name: str, body: str) -> None:
        """Install a fake program that records its arguments and then runs `body`."""
        path = self.programs / name
        path.write_text(f'#!/bin/bash\necho "{name} $*" >> {self.calls}\n{body}\n')
        path.chmod(0o755)

    def boot(self, *steps: str, environment: dict[str, str] | None = None, **settings: str) -> Any:
        """Run these steps, or all that need neither root nor the internet; `settings` override the defaults."""
        if not steps or "h2o" in steps:
            need("h2o")  # the step needs its JAR file
        lines = "".join(f"{name}={value}\n" for name, value in (SETTINGS | settings).items())
        (self.root / "etc/analytics-host/settings").write_text(lines)
        programs = {"SYSTEM_PYTHON": str(self.programs / "python"), "PYTHON": sys.executable}
        variables = {"PATH": f"{self.programs}:{os.environ['PATH']}", "ROOT": str(self.root), **programs}
        return subprocess.run(
            ["/bin/bash", str(self.software / "host/boot.sh"), *steps],
            env=variables | (environment or {}),
            capture_output=True,
            text=True,
            check=False,
        )

    def calls_of(self, program: str) -> list[str]:
        return [line for line in self.calls.read_text().splitlines() if line.split()[0] == program]

    def host_commands(self) -> list[str]:
        """Return the arguments of each call of host.py, in order."""
        return [line.split("host.py ")[1] for line in self.calls_of("python")]

    def file(self, name: str) -> str:
        return (self.root / "etc/analytics-host" / name).read_text()


@pytest.fixture
def computer(tmp_path: Path) -> Computer:
    return Computer(tmp_path)


PASSWORD = "0123456789abcdefghijklmnopqrstuv"  # noqa: S105


class FakeAws:
    """The API calls that the host makes; a missing object or log stream is an error."""

    def __init__(self) -> None:
        self.streams: set[str] = set()
        self.lines: list[str] = []
        self.objects: dict[str, bytes] = {}
        self.signals: list[dict[str, str]] = []
        self.exceptions = SimpleNamespace(ResourceAlreadyExistsException=FileExistsError)

    def create_log_stream(self, *, logStreamName: str, **_request: str) -> None:
        if logStreamName in self.streams:
            raise FileExistsError
        self.streams.add(logStreamName)

    def put_log_events(self, *, logEvents: list[dict[str, Any]], **_request: str) -> None:
        assert sum(len(event["message"].encode()) + 26 for event in logEvents) <= 1_048_576, (
            "the batch exceeds the limit of the API"
        )
        self.lines += [event["message"] for event in logEvents]

    def get_secret_value(self, SecretId: str) -> dict[str, str]:
        assert SecretId == "secret"
        return {"SecretString": json.dumps({"username": "analyst", "password": PASSWORD})}

    def put_object(self, *, Key: str, Body: bytes, **_request: str) -> None:
        self.objects[Key] = Body

    def get_object(self, *, Key: str, **_request: str) -> dict[str, Any]:
        return {"Body": io.BytesIO(self.objects[Key])}

    def list_objects_v2(self, *, Prefix: str, **_request: str) -> dict[str, Any]:
        return {"Contents": [{"Key": key} for key in self.objects if key.startswith(Prefix)]}

    def get_work_group(self, WorkGroup: str) -> dict[str, Any]:
        return {"WorkGroup": {"Name": WorkGroup, "State": "ENABLED"}}

    def signal_resource(self, **request: str) -> None:
        self.signals.append(request)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeAws:
    fake = FakeAws()
    monkeypatch.setattr(f"{host.__name__}.boto3.client", lambda _service: fake)
    settings = {
        "CONFIGURATION": str(tmp_path), "LOGICAL_ID": "Host", "LOG_GROUP": "boot", "SECRET": "secret", "STACK": "stack",
        "CLUSTER_BUCKET": "data", "CLUSTER_ID": "new", "H2O_NODES": "1", "WORK_GROUP": "group", "CHECK": "",
        "H2O_PORT": "54323", "USER_NAME": "analyst",
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return fake


EXISTING_VPC = {
    "analytics_host:vpc_id": "vpc-0123456789abcdef0",
    "analytics_host:subnet_id": "subnet-0123456789abcdef0",
    "analytics_host:parquet": "false",
    "analytics_host:allowed_cidr": "203.0.113.7/24",
    "analytics_host:h2o_r_sha256": "a" * 64,
}


@pytest.fixture(scope="session")
def existing_vpc(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return synthesize(tmp_path_factory.mktemp("existing_vpc"), EXISTING_VPC, STACK).template(STACK)


@pytest.fixture(scope="session")
def zone_b(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Another zone, and an instance type without CPU credits."""
    context = {"analytics_host:availability_zone": "us-east-1b", "analytics_host:instance_type": "m6i.large"}
    return synthesize(tmp_path_factory.mktemp("zone"), context, STACK).template(STACK)


def user_data(template: dict[str, Any]) -> list[str]:
    """Return the user data of each launch template, with unresolved values in angle brackets."""
    scripts = []
    for launch in resources_of_type(template, "AWS::EC2::LaunchTemplate"):
        _, parts = launch["LaunchTemplateData"]["UserData"]["Fn::Base64"]["Fn::Join"]
        scripts.append("".join(part if isinstance(part, str) else f"<{json.dumps(part)}>" for part in parts))
    return scripts
