"""Forward a port of an instance to this computer with Session Manager."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from .walkthrough import PreconditionError, SkipStep, Target

AGENT_SECONDS = 120  # for the SSM Agent of a newly started host to connect

SESSION_SECONDS = 120


@contextmanager
def forwarded_port(target: Target, instance_id: str, port: int) -> Iterator[int]:
    """Yield a port on 127.0.0.1 that is forwarded to `port` of an instance.

    In the sandbox an instance is a process on this computer, and a file has its port.

    Raises:
        SkipStep: the AWS CLI or its plugin is not installed.
        AssertionError: the session did not start.
    """
    if target.instances:
        yield int((target.instances / instance_id / f"port-{port}").read_text())
        return
    cli = shutil.which("aws")
    if not cli or not shutil.which("session-manager-plugin"):
        raise SkipStep("port forwarding needs the AWS CLI and its session-manager-plugin")
    local = _free_port()
    parameters = f"portNumber={port},localPortNumber={local}"
    command = [cli, "ssm", "start-session", "--target", instance_id, "--parameters", parameters]
    command += ["--document-name", "AWS-StartPortForwardingSession"]
    process = subprocess.Popen(
        command, env=_environment(target), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        _wait_for(local, process)
        yield local
    finally:
        process.terminate()
        process.wait()


def _environment(target: Target) -> dict[str, str]:
    """Pass the walkthrough's credentials to the CLI."""
    source = target.session.get_credentials()
    assert source  # the walkthrough's earlier calls were signed with them
    credentials = source.get_frozen_credentials()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    variables = {
        "AWS_ACCESS_KEY_ID": credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
        "AWS_SESSION_TOKEN": credentials.token,
        "AWS_DEFAULT_REGION": target.session.region_name,
    }
    return inherited | {name: value for name, value in variables.items() if value}


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + SESSION_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            assert process.stderr
            raise AssertionError(f"the session ended: {process.stderr.read().decode().strip()}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"the session did not start within {SESSION_SECONDS} s")


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port: int = server.getsockname()[1]
        return port


def wait_for_session_manager(target: Target, instance_id: str) -> None:
    """Wait until the host's agent is connected; the host may have just been started."""
    filters = [{"Key": "InstanceIds", "Values": [instance_id]}]

    def online() -> bool:
        instances = target.client("ssm").describe_instance_information(Filters=filters)["InstanceInformationList"]
        return any(instance["PingStatus"] == "Online" for instance in instances)

    try:
        target.wait_until(online, "", seconds=min(target.timeout_seconds, AGENT_SECONDS))
    except AssertionError:
        raise PreconditionError(
            f"the agent of {instance_id} is not connected to Session Manager after {AGENT_SECONDS} s; "
            "check that its subnet has a route to the internet"
        ) from None
