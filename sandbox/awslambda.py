"""Lambda: functions run with credentials of their roles, as on AWS.

Implements: an access key for each function, which STS knows as a session of its role (MiniStack would use the
account's credentials for all); error types named after the exception class; layers under /opt; the AWS SDK for Node.js
functions (the packages in package.json); physical ids of published versions that end with the version number.

Not implemented: permissions of the role (the template tests check them); the runtime's Python and Node.js (this
computer's are used); memory limits.
"""

import hashlib
import re
import subprocess
import zipfile
from pathlib import Path
from threading import Lock
from types import SimpleNamespace
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import lambda_svc, sts
from ministack.services.cloudformation import provisioners
from ministack.services.lambda_svc import _get_func_record_for_ref

from .authentication import secret_of
from .process import ROOT

_unpack_lock = Lock()


def install() -> None:
    """Start function processes with the credentials of their roles, and add the other features."""
    lambda_runtime.subprocess = SimpleNamespace(
        Popen=_popen, PIPE=subprocess.PIPE, TimeoutExpired=subprocess.TimeoutExpired, run=subprocess.run
    )
    lambda_runtime.zipfile = SimpleNamespace(
        ZipFile=_Package, BadZipFile=zipfile.BadZipFile, LargeFileError=zipfile.LargeZipFile
    )
    lambda_svc.logger.setLevel("WARNING")
    execute = lambda_svc._execute_function_warm

    def execute_function(*arguments: Any, **options: Any) -> Any:
        result = execute(*arguments, **options)
        body = result.get("body")
        if result.get("error") and isinstance(body, dict) and body.get("errorType") == "Runtime.HandlerError":
            body["errorType"] = _class_name(result.get("log", ""), body["errorMessage"])
        return result

    lambda_svc._execute_function_warm = execute_function
    provisioners._RESOURCE_HANDLERS["AWS::Lambda::Version"] = {"create": _create_version}


class _Package(zipfile.ZipFile):
    """A function's code or a layer. A layer is unpacked once and shared by its functions."""

    def extractall(self, path: Any = None, *arguments: Any) -> None:
        folder = Path(path)
        if not folder.name.startswith("layer_"):
            return super().extractall(path, *arguments)
        content = hashlib.sha256(Path(str(self.filename)).read_bytes()).hexdigest()
        unpacked = folder.parents[1] / f"layer-{content}"
        with _unpack_lock:
            if unpacked.exists():
                folder.rmdir()
            else:
                super().extractall(folder)
                folder.rename(unpacked)  # only when it is complete
        folder.symlink_to(unpacked)


def _class_name(log: str, message: str) -> str:
    """Return the name of the exception class in the last line of the traceback."""
    suffix = f": {message}".splitlines()[0] if message else ""
    for line in reversed(log.splitlines()):
        if line.endswith(suffix) and re.fullmatch(r"[A-Za-z_][\w.]*", line.removesuffix(suffix)):
            return line.removesuffix(suffix).rpartition(".")[2]
    return "Runtime.HandlerError"


def _create_version(logical_id: str, properties: dict[str, Any], stack: str) -> tuple[str, dict[str, str]]:
    arn, attributes = provisioners._lambda_version_create(logical_id, properties, stack)
    return f"{arn}:{attributes['Version']}", attributes


def _popen(command: list[str], *, env: dict[str, str], **options: Any) -> subprocess.Popen[str]:
    arn = env["_LAMBDA_FUNCTION_ARN"]
    _, config, _ = _get_func_record_for_ref(arn)
    environment = {
        "PYTHONDONTWRITEBYTECODE": "1",
        "NODE_PATH": str(ROOT / "node_modules"),
        "PYTHONPATH": str(Path(__file__).with_name("awslambda_opt")),
    }
    credentials = role_credentials(config["Role"], session=arn.split(":")[6])
    return subprocess.Popen(command, env=env | credentials | environment, **options)


def role_credentials(role_arn: str, session: str) -> dict[str, str]:
    """Issue credentials of a role, and return them as environment variables."""
    account, role_name = role_arn.split(":")[4], role_arn.rsplit("/", 1)[-1]
    digest = hashlib.sha256(f"{role_arn} {session}".encode()).hexdigest().upper()
    key = f"ASIA{digest[:16]}"
    secret = secret_of(key)
    sts._sessions[key] = {
        "Arn": f"arn:aws:sts::{account}:assumed-role/{role_name}/{session}",
        "UserId": f"AROA{digest[16:33]}:{session}",
        "SecretAccessKey": secret,
        "RoleArn": role_arn,
    }
    return {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": "sandbox"}
