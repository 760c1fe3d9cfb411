"""Start and stop the emulator as a child process, and run the CDK CLI against it."""

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
from types import TracebackType
from typing import Self

ROOT = Path(__file__).parents[1]
ACCOUNT = "111111111111"
REGION = "us-east-1"
STOP_SECONDS = 20
ELSEWHERE = re.compile("AWS_|CDK_|(HTTPS?|ALL|NO)_PROXY$", re.IGNORECASE)  # names of variables that lead there
# The templates are those of `make synth` and of the tests, which have CDK's own validation look at them.
QUICKER = {"CDK_VALIDATION": "false", "PYTHONDONTWRITEBYTECODE": ""}


class SandboxError(Exception):
    """The sandbox cannot do what was asked, and what to do about it."""


class Sandbox:
    """The emulator, running while the `with` block runs.

    It listens on 127.0.0.1 only, on `port`, or a free port with 0. It ends by itself when
    this process ends, however that happens: it watches a pipe from here.
    `speed` is how many times faster than the clock its schedules run.
    """

    def __init__(self, *, port: int = 0, speed: float = 1.0) -> None:
        self._arguments = [f"--port={port}", f"--speed={speed}"]
        self._process: subprocess.Popen[str] | None = None
        self.ports: dict[str, int] = {}  # aws: the API; http, https: viewers; dns: names, over UDP
        self.directory = Path()  # where it keeps its files; gone when it stops
        # Of the one user. Unguessable, as is everything that is derived from it: see `authentication`.
        self._credentials = {
            "AWS_ACCESS_KEY_ID": f"AKIA{secrets.token_hex(8).upper()}",
            "AWS_SECRET_ACCESS_KEY": secrets.token_hex(20),
        }

    @property
    def url(self) -> str:
        """The endpoint of AWS's API."""
        return f"http://127.0.0.1:{self.ports['aws']}"

    @property
    def authority(self) -> Path:
        """Certificate of the authority that viewers have to trust."""
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
                start_new_session=True,  # Ctrl-C is for us; we stop it in order
            )
        assert self._process.stdout
        ready = self._process.stdout.readline()
        try:
            self.ports = json.loads(ready)
        except ValueError:
            reason = self.log.read_text().strip().splitlines()[-1:]
            self.stop()
            raise SandboxError(f"The sandbox did not start: {' '.join(reason) or 'no reason given'}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the emulator and the functions it runs, and remove its files."""
        if self._process is not None:
            assert self._process.stdin
            self._process.stdin.close()  # which it takes as the sign to end
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)  # it leads a group of what it has started
            with self._process:  # waits, and closes the pipes
                self._process = None
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables with which AWS's tools and SDKs reach the sandbox, and only it."""
        return (
            _clean_environment()
            | self._credentials
            | {
                "AWS_ENDPOINT_URL": self.url,
                "AWS_REGION": REGION,
                "AWS_DEFAULT_REGION": REGION,
                "CDK_DEFAULT_ACCOUNT": ACCOUNT,
                "CDK_DEFAULT_REGION": REGION,
            }
        )

    def cdk(self, *arguments: str, progress: Callable[[str], None] | None = None, application: Path = ROOT) -> str:
        """Run the CDK CLI against the sandbox; give its output, or each line to `progress` too.

        application: folder of the `cdk.json`.

        Raises:
            SandboxError: the CLI is missing, or failed; with its output.
        """
        cli = ROOT / "node_modules" / ".bin" / "cdk"
        if not cli.exists() or not (ROOT / "node_modules" / "@aws-sdk").exists():
            raise SandboxError("The CDK CLI, or the AWS SDK for functions in Node, is not installed: run `make setup`.")
        python = Path(sys.executable).parent
        temporary = {"TMPDIR": str(self.directory)}  # what it leaves when it is ended goes with the sandbox
        lines: list[str] = []
        with subprocess.Popen(
            [str(cli), *arguments, "--output", str(self.directory / "cdk.out")],
            cwd=application,
            env=self.environment | QUICKER | {"PATH": f"{python}{os.pathsep}{os.environ.get('PATH', '')}"} | temporary,
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
            except BaseException:  # while it says nothing it would go on
                os.killpg(process.pid, signal.SIGKILL)
                raise
        output = "".join(lines)
        if process.returncode:
            log = self.log.read_text()[-4000:] if self.log.exists() else ""
            raise SandboxError(f"cdk {' '.join(arguments)} failed:\n{output}\nThe emulator's log ends:\n{log}")
        return output

    def deploy(
        self,
        *stacks: str,
        settings: Mapping[str, str] | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> dict[str, dict[str, str]]:
        """Deploy stacks with `cdk deploy` and `settings` (CDK context); give the outputs of each."""
        outputs = self.directory / "outputs.json"
        context = [f"--context={key}={value}" for key, value in (settings or {}).items()]
        self.cdk(
            "deploy", *stacks, *context, "--exclusively", "--require-approval=never", f"--outputs-file={outputs}",
            "--progress=events", "--concurrency=4", progress=progress,
        )  # fmt: skip
        result: dict[str, dict[str, str]] = json.loads(outputs.read_text())
        return result

    def bootstrap(self, *regions: str, progress: Callable[[str], None] | None = None) -> None:
        """Run `cdk bootstrap` for `regions`, as once in every real account and region.

        Outside of the application, which the CLI would synthesize, and not look at.
        """
        environments = (f"aws://{ACCOUNT}/{region}" for region in regions or [REGION])
        self.cdk("bootstrap", *environments, progress=progress, application=self.directory)


def _clean_environment() -> dict[str, str]:
    """The environment without anything that leads elsewhere: to a real account, or through a proxy."""
    kept = {name: value for name, value in os.environ.items() if not ELSEWHERE.match(name)}
    return kept | {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        "CDK_DISABLE_VERSION_CHECK": "1",  # it would advise 3.x, which cannot read today's assemblies
        "CDK_HOME": str(ROOT / ".cache" / "cdk"),
    }
