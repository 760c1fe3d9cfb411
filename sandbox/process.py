"""Starts and stops the emulator as a child process, and runs the CDK CLI against it."""

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[1]
ACCOUNT = "111111111111"
REGION = "us-east-1"
MAILBOX_HOST = "mailbox.localhost"  # host name of the page that shows email notifications
STOP_SECONDS = 20
# Environment variables that could direct requests to a real account or through a proxy.
SCRUBBED_VARIABLES = re.compile("AWS_|CDK_|(HTTPS?|ALL|NO)_PROXY$", re.IGNORECASE)
# `make synth` and the tests validate the same templates.
FAST_SYNTH_ENV = {"CDK_VALIDATION": "false", "PYTHONDONTWRITEBYTECODE": ""}


class SandboxError(Exception):
    """A sandbox error. The message describes the remedy."""


class Sandbox:
    """Runs the emulator during a `with` block.

    It listens only on 127.0.0.1, on `port` or, if that is 0, on a free port. Its schedules run `speed` times faster
    than the clock. The emulator exits when this process exits for any reason, because it watches a pipe from it.
    """

    def __init__(self, *, port: int = 0, speed: float = 1.0) -> None:
        self._arguments = [f"--port={port}", f"--speed={speed}"]
        self._process: subprocess.Popen[str] | None = None
        self.ports: dict[str, int] = {}  # aws: the API; http, https: deployed web endpoints; dns: over UDP
        self.directory = Path()  # the emulator's files; deleted when it stops
        # Random, because other keys are derived from the secret key: see `authentication`.
        self._credentials = {
            "AWS_ACCESS_KEY_ID": f"AKIA{secrets.token_hex(8).upper()}",
            "AWS_SECRET_ACCESS_KEY": secrets.token_hex(20),
        }

    @property
    def url(self) -> str:
        """The endpoint URL of the AWS API."""
        return f"http://127.0.0.1:{self.ports['aws']}"

    @property
    def authority(self) -> Path:
        """The CA certificate that web clients must trust."""
        return self.directory / "authority.pem"

    @property
    def log(self) -> Path:
        return self.directory / "emulator.log"

    def __enter__(self) -> Self:
        self.directory = Path(tempfile.mkdtemp(prefix="sandbox-"))
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "sandbox.emulator", *self._arguments, f"--directory={self.directory}"],
                cwd=ROOT,
                env=_clean_environment() | self._credentials,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # Ctrl-C must not reach it; `stop` ends it in order
            )
        assert self._process.stdout
        ready = self._process.stdout.readline()
        try:
            self.ports = json.loads(ready)
        except ValueError:
            reason = self.log.read_text().strip().splitlines()[-1:]
            self.stop()
            raise SandboxError(f"The sandbox did not start: {' '.join(reason) or 'its log is empty'}") from None
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the emulator and its child processes, and delete its files."""
        if self._process is not None:
            assert self._process.stdin
            self._process.stdin.close()  # signals it to exit
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)  # the process group includes its child processes
            with self._process:  # waits, and closes the pipes
                self._process = None
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that direct AWS tools and SDKs to the sandbox only."""
        variables = {"AWS_ENDPOINT_URL": self.url, "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
        cdk_variables = {"CDK_DEFAULT_ACCOUNT": ACCOUNT, "CDK_DEFAULT_REGION": REGION}
        return _clean_environment() | self._credentials | variables | cdk_variables

    def cdk(self, *arguments: str, progress: Callable[[str], None] | None = None, application: Path = ROOT) -> str:
        """Run the CDK CLI against the sandbox and return its output; also pass each line to `progress`.

        application: folder of `cdk.json`.

        Raises:
            SandboxError: the CLI is missing, or it failed; with its output.
        """
        cli = ROOT / "node_modules" / ".bin" / "cdk"
        if not cli.exists() or not (ROOT / "node_modules" / "@aws-sdk").exists():
            raise SandboxError("The CDK CLI, or the AWS SDK for Node.js functions, is not installed: run `make setup`.")
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        temporary = str(self.directory)  # deleted with the sandbox
        lines: list[str] = []
        with subprocess.Popen(
            [str(cli), *arguments, "--output", str(self.directory / "cdk.out")],
            cwd=application,
            env=self.environment | FAST_SYNTH_ENV | {"PATH": path, "TMPDIR": temporary},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        ) as process:
            assert process.stdout
            try:
                for line in process.stdout:
                    lines.append(line)
                    if progress and line.strip():
                        progress(line.rstrip())
            except BaseException:  # the CLI would continue until it prints something
                os.killpg(process.pid, signal.SIGKILL)
                raise
        output = "".join(lines)
        if process.returncode:
            log = self.log.read_text()[-4000:] if self.log.exists() else ""
            raise SandboxError(f"cdk {' '.join(arguments)} failed:\n{output}\nEnd of the emulator's log:\n{log}")
        return output

    def deploy(
        self,
        *stacks: str,
        settings: Mapping[str, str] | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> dict[str, dict[str, str]]:
        """Run `cdk deploy` for `stacks` with `settings` (CDK context), and return the outputs of each."""
        outputs = self.directory / "outputs.json"
        context = [f"--context={key}={value}" for key, value in (settings or {}).items()]
        self.cdk(
            "deploy", *stacks, *context, "--exclusively", "--require-approval=never", f"--outputs-file={outputs}",
            "--progress=events", "--concurrency=4", progress=progress,
        )  # fmt: skip
        result: dict[str, dict[str, str]] = json.loads(outputs.read_text())
        return result

    def bootstrap(self, *regions: str, progress: Callable[[str], None] | None = None) -> None:
        """Run `cdk bootstrap` for `regions`.

        It runs outside the application folder, where the CLI would synthesize the application unnecessarily.
        """
        environments = (f"aws://{ACCOUNT}/{region}" for region in regions or [REGION])
        self.cdk("bootstrap", *environments, progress=progress, application=self.directory)


def remove_aws_variables() -> None:
    """Remove variables of AWS accounts, the CDK CLI and proxies from the environment of this process."""
    for name in filter(SCRUBBED_VARIABLES.match, list(os.environ)):
        del os.environ[name]


def _clean_environment() -> dict[str, str]:
    """Return the environment without variables of AWS accounts, the CDK CLI and proxies."""
    inherited = {name: value for name, value in os.environ.items() if not SCRUBBED_VARIABLES.match(name)}
    return inherited | {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        "CDK_DISABLE_VERSION_CHECK": "1",  # it would recommend 3.x, which cannot read these cloud assemblies
        "CDK_HOME": str(ROOT / ".cache" / "cdk"),
    }
