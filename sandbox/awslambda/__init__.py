"""Lambda: functions run with credentials of their roles, as on AWS.

Implements: an access key for each function, which STS knows as a session of its role (MiniStack would use the account's
credentials for all); error types named after the exception class; layers under /opt; the AWS SDK for Node.js functions
(the packages in package.json); the deployed web endpoints as hosts of Python functions; JSON logs of Python functions,
which `opt/sitecustomize.py` formats, with the request ID in each line. `aliases`, `versions`, `metrics` and `quotas`
have those features. Source: Lambda developer guide, "Log and monitor Python Lambda functions".

A function runs in at most `MAX_PROCESSES` processes, and further invocations wait. AWS starts an execution environment
for each concurrent invocation, but a hundred processes that start at once occupy a computer for minutes.

Not implemented: the runtime's Python and Node.js (this computer's are used); memory limits; JSON for START, END and
REPORT, and for Node.js.
"""

import fcntl
import hashlib
import json
import os
import re
import subprocess
import tempfile
import termios
import time
import zipfile
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock, Semaphore
from types import SimpleNamespace
from typing import Any

from ..emulator.authentication import secret_of
from ..ministack import lambda_functions, sts
from ..process import ROOT
from . import aliases, metrics, quotas, versions

MAX_PROCESSES = 4
LAYERS = ROOT / ".cache/layers"
_processes: defaultdict[str, Semaphore] = defaultdict(lambda: Semaphore(MAX_PROCESSES))  # by ARN
_unpack_lock = Lock()


def install() -> None:
    """Start function processes with the credentials of their roles, and add the other features."""
    lambda_functions.subprocess_module.replace(SimpleNamespace(**{**vars(subprocess), "Popen": _popen}))
    lambda_functions.zipfile_module.replace(SimpleNamespace(**{**vars(zipfile), "ZipFile": Package}))
    lambda_functions.logger.setLevel("WARNING")
    lambda_functions.execute.extend(_with_class_name)
    lambda_functions.execute.extend(_with_few_processes)
    lambda_functions.emit_logs.extend(_with_request_id)
    metrics.install()  # before the aliases, so that metrics name the version that runs
    aliases.install()
    versions.install()
    quotas.install()  # after the metrics, which count each throttled attempt


def _with_few_processes(execute: Callable[..., Any], function: dict[str, Any], *arguments: Any, **options: Any) -> Any:
    with _processes[(function.get("config") or function)["FunctionArn"]]:
        return execute(function, *arguments, **options)


def _with_class_name(execute: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Report the name of the exception class as the error type."""
    result = execute(*arguments, **options)
    body = result.get("body")
    if result.get("error") and isinstance(body, dict) and body.get("errorType") == "Runtime.HandlerError":
        body["errorType"] = _class_name(result.get("log", ""), body["errorMessage"])
    return result


class Package(zipfile.ZipFile):
    """A function's code or a layer. A layer is unpacked once, and kept with its bytecode for later sandboxes."""

    def extractall(self, path: Any = None, *arguments: Any) -> None:
        folder = Path(path)
        if not folder.name.startswith("layer_"):
            return super().extractall(path, *arguments)
        unpacked = LAYERS / hashlib.sha256(Path(str(self.filename)).read_bytes()).hexdigest()
        with _unpack_lock:
            if not unpacked.exists():
                self._unpack(unpacked)
        folder.rmdir()
        folder.symlink_to(unpacked)

    def _unpack(self, destination: Path) -> None:
        LAYERS.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=LAYERS) as temporary:
            super().extractall(Path(temporary, "layer"))
            with suppress(OSError):  # another sandbox has unpacked it
                Path(temporary, "layer").rename(destination)  # only when it is complete


def _class_name(log: str, message: str) -> str:
    """Return the name of the exception class in the last line of the traceback."""
    suffix = f": {message}".splitlines()[0] if message else ""
    for line in reversed(log.splitlines()):
        if line.endswith(suffix) and re.fullmatch(r"[A-Za-z_][\w.]*", line.removesuffix(suffix)):
            return line.removesuffix(suffix).rpartition(".")[2]
    return "Runtime.HandlerError"


def _popen(command: list[str], *, env: dict[str, str], **options: Any) -> subprocess.Popen[str]:
    arn = env["_LAMBDA_FUNCTION_ARN"]
    _, config, _ = lambda_functions.find_function(arn)
    environment = {
        "NODE_PATH": str(ROOT / "node_modules"),
        "PYTHONPATH": str(Path(__file__).with_name("opt")),
        "SANDBOX_WEB_PORTS": f"{os.environ['WEB_PORT']} {os.environ['HTTPS_PORT']}",
        "SSL_CERT_FILE": os.environ["AUTHORITY"],
    } | _logging_environment(config)
    credentials = role_credentials(config["Role"], session=arn.split(":")[6])
    process = subprocess.Popen(command, env=env | credentials | environment, **options)
    process.stdout = Responses(process)  # type: ignore[assignment]
    return process


class Responses:
    """The responses of a function's process, its standard output.

    Each waits until MiniStack's thread has read the log from the standard error: MiniStack records what it has read
    a few milliseconds after a response, and on a busy computer lines would be missing.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        assert process.stderr
        self._responses, self._log = process.stdout, process.stderr

    def readline(self) -> str:
        line = self._responses.readline()
        while self._has_unread_log():
            time.sleep(0.001)
        return line

    def _has_unread_log(self) -> bool:
        count = bytearray(4)
        with suppress(OSError, ValueError):  # the process has ended
            fcntl.ioctl(self._log.fileno(), termios.FIONREAD, count)
        return any(count)


def _logging_environment(config: dict[str, Any]) -> dict[str, str]:
    """Return the environment variables with which Lambda configures the runtime's logs."""
    logging = config.get("LoggingConfig") or {}
    names = {"LogFormat": "AWS_LAMBDA_LOG_FORMAT", "ApplicationLogLevel": "AWS_LAMBDA_LOG_LEVEL"}
    return {variable: logging[name] for name, variable in names.items() if name in logging}


def _with_request_id(
    emit: Callable[..., Any], record: dict[str, Any], request_id: str, text: str, *arguments: Any, **options: Any
) -> None:
    lines = (_add_request_id(line, request_id) for line in text.splitlines())
    emit(record, request_id, "\n".join(lines), *arguments, **options)


def _add_request_id(line: str, request_id: str) -> str:
    if not line.startswith('{"timestamp": '):
        return line
    return json.dumps(json.loads(line) | {"requestId": request_id})


def role_credentials(role_arn: str, session: str) -> dict[str, str]:
    """Issue credentials of a role, and return them as environment variables."""
    account, role_name = role_arn.split(":")[4], role_arn.rsplit("/", 1)[-1]
    digest = hashlib.sha256(f"{role_arn} {session}".encode()).hexdigest().upper()
    key = f"ASIA{digest[:16]}"
    secret = secret_of(key)
    sts.sessions[key] = {
        "Arn": f"arn:aws:sts::{account}:assumed-role/{role_name}/{session}",
        "UserId": f"AROA{digest[16:33]}:{session}",
        "SecretAccessKey": secret,
        "RoleArn": role_arn,
    }
    return {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": "sandbox"}
