"""The sandbox process: start, stop, errors, and the environment of AWS clients."""

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox import Sandbox, SandboxError
from sandbox.target import session
from walkthroughs.catalog import WALKTHROUGHS

from ..conftest import ROOT

pytestmark = pytest.mark.enable_socket
TIMEOUT_SECONDS = 120  # for a busy computer; functions that must be stopped sleep for 600


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not observed within {TIMEOUT_SECONDS} s: {what}"
        time.sleep(0.05)


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1])


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def listening_addresses(port: int) -> set[str]:
    """Return the local addresses, in the kernel's hexadecimal format, with a listener on `port`."""
    addresses = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            address, state = line.split()[1], line.split()[3]
            if state == "0A" and int(address.split(":")[1], 16) == port:
                addresses.add(address.split(":")[0])
    return addresses


def processes_with(text: str) -> list[str]:
    """Return the command lines of running processes that contain `text`."""
    commands = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if text in command:
            commands.append(command)
    return commands


def test_sandbox_listens_on_loopback_only_and_cleans_up() -> None:
    with Sandbox() as sandbox:
        directory = sandbox.directory
        port = port_of(sandbox.url)
        socket.create_connection(("127.0.0.1", port), timeout=60).close()
        if sys.platform == "linux":
            assert listening_addresses(port) == {"0100007F"}
    assert is_free(port)
    assert not directory.exists()
    assert not processes_with(str(directory))


def test_exception_in_with_block_stops_sandbox() -> None:
    with pytest.raises(ZeroDivisionError), Sandbox() as sandbox:
        raise ZeroDivisionError
    assert is_free(port_of(sandbox.url))
    assert not processes_with(str(sandbox.directory))


def test_stop_ends_deployment_that_waits_for_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.process.STOP_SECONDS", TIMEOUT_SECONDS)
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("slow.py", "import time\ndef handler(event, context):\n    time.sleep(600)\n")
    with Sandbox() as sandbox:
        clients = session(sandbox)
        role = "arn:aws:iam::111111111111:role/any"
        function = {"FunctionName": "slow", "Runtime": "python3.13", "Role": role, "Handler": "slow.handler"}
        clients.client("lambda").create_function(**function, Code={"ZipFile": code.getvalue()}, Timeout=900)
        service = "arn:aws:lambda:us-east-1:111111111111:function:slow"
        template = {"Resources": {"Slow": {"Type": "Custom::Slow", "Properties": {"ServiceToken": service}}}}
        clients.client("cloudformation").create_stack(StackName="slow", TemplateBody=json.dumps(template))
        wait_until(lambda: processes_with(f"{sandbox.directory}/ministack-lambda-slow"), "the function starts")
        started = time.monotonic()
    assert time.monotonic() - started < TIMEOUT_SECONDS, "the emulator had to be killed"
    assert not processes_with(str(sandbox.directory))
    assert not sandbox.directory.exists()


def test_port_in_use_is_a_clear_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SandboxError, match=f"port {port} on 127.0.0.1 cannot be used .* choose another"):
            Sandbox(port=port).__enter__()


def test_missing_cdk_cli_is_a_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sandbox.process.ROOT", tmp_path)
    with pytest.raises(SandboxError, match="run `make setup`"):
        Sandbox().cdk("ls")


def test_failed_cdk_command_is_an_error_with_its_output() -> None:
    with Sandbox() as sandbox, pytest.raises(SandboxError, match=r"(?s)cdk nonsense failed.*Unknown command: nonsense"):
        sandbox.cdk("nonsense")


def emulator_of(parent: int) -> str:
    """Return the folder of the emulator that process `parent` has started."""
    for status in Path("/proc").glob("[0-9]*/status"):
        if f"PPid:\t{parent}\n" in status.read_text():
            arguments = (status.parent / "cmdline").read_bytes().decode().split("\0")
            directories = [argument for argument in arguments if argument.startswith("--directory=")]
            if directories:
                return directories[0].removeprefix("--directory=")
    raise AssertionError(f"process {parent} has no emulator")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted_demo_cleans_up(number: signal.Signals) -> None:
    command = [sys.executable, "-u", "-m", "sandbox", "demo"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as demo:
        try:
            assert demo.stdout
            port = port_of(demo.stdout.readline().strip())
            directory = emulator_of(demo.pid)
            wait_until(lambda: processes_with(f"{directory}/cdk.out"), "`cdk bootstrap` starts")
            # Ctrl-C is sent to the process group, the other signals to one process.
            (os.killpg if number is signal.SIGINT else os.kill)(demo.pid, number)
            demo.wait(TIMEOUT_SECONDS)
        finally:
            if demo.poll() is None:
                os.killpg(demo.pid, signal.SIGKILL)
    # The CDK CLI retries before it stops.
    wait_until(lambda: not processes_with(directory), "every process of the demo ends")
    assert is_free(port), "the emulator is still listening"
    if number is signal.SIGKILL:  # no process is left to delete the last files of the CDK CLI
        shutil.rmtree(directory, ignore_errors=True)
    assert not Path(directory).exists(), "its files were not deleted"
    assert demo.returncode != 0


def test_unknown_system_is_a_clear_error() -> None:
    command = [sys.executable, "-m", "sandbox", "demo", "nonsense"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert f"unknown system: nonsense (valid: {', '.join(WALKTHROUGHS)})" in run.stderr


def test_session_ignores_configuration_of_other_endpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {
        "HTTP_PROXY": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
        "AWS_ENDPOINT_URL_EC2": "http://127.0.0.1:9",
        "AWS_PROFILE": "nonexistent",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with Sandbox() as sandbox:
        assert session(sandbox).client("ec2").describe_vpcs()["Vpcs"]
        assert not [name for name in sandbox.environment if name.lower().endswith("_proxy")]
        assert os.environ["AWS_PROFILE"] == "nonexistent", "the session changed the environment of this process"


def test_up_prints_boto3_environment_and_runs_walkthrough() -> None:
    command = [sys.executable, "-u", "-m", "sandbox", "up", "security_group_revert"]
    lines: list[str] = []
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as up:
        try:
            assert up.stdout
            assert up.stdin
            for line in up.stdout:
                lines.append(line)
                if "Press Ctrl-C" in line:
                    break
            exports = [line.split("export ")[1].strip().split("=", 1) for line in lines if "export " in line]
            environment = {"PATH": os.environ["PATH"], **dict(exports)}
            program = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
            done = subprocess.run(
                [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
            )
            assert done.stdout.strip() == "arn:aws:iam::111111111111:user/sandbox-user", done.stderr
            up.stdin.write("\nstatic_site\nsecurity_group_revert\n")
            up.stdin.flush()
            line = up.stdout.readline()
            assert line == "static_site: not a deployed system (valid: security_group_revert)\n"
            assert "ok Read the rules of the Web Server group" in up.stdout.readline()
            assert any("Press Ctrl-C" in line for line in up.stdout), "the hint was not printed again"
        finally:
            up.send_signal(signal.SIGINT)
            up.wait(TIMEOUT_SECONDS)
    assert up.returncode == 0, "Ctrl-C is the regular end"
