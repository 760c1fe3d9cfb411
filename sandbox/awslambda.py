"""Lambda: the credentials of a function are those of its role.

MiniStack runs the functions, with the account's own credentials. Here each function gets an
access key of its own, known to STS as a session of its role, so that what it does can be told
from what others do. An error has the name of its exception's class. What layers bring is found
under /opt, and Node functions find the AWS SDK, as on Lambda (the part of it that package.json has). A
version that a template publishes is named by its number.

Left out: the policies of the role (that it may do what it needs, and no more, is for the template tests), the
Python and Node of the runtime (this computer's are taken), limits of memory.
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

_unpacking = Lock()


def install() -> None:
    """Give every function process that MiniStack starts the credentials of its role."""
    lambda_runtime.subprocess = SimpleNamespace(
        Popen=_popen, PIPE=subprocess.PIPE, TimeoutExpired=subprocess.TimeoutExpired, run=subprocess.run
    )
    lambda_runtime.zipfile = SimpleNamespace(
        ZipFile=_Package, BadZipFile=zipfile.BadZipFile, LargeFileError=zipfile.LargeZipFile
    )
    lambda_svc.logger.setLevel("WARNING")
    execute = lambda_svc._execute_function_warm

    def execute_function(*arguments: Any, **named: Any) -> Any:
        result = execute(*arguments, **named)
        body = result.get("body")
        if result.get("error") and isinstance(body, dict) and body.get("errorType") == "Runtime.HandlerError":
            body["errorType"] = _class_name(result.get("log", ""), body["errorMessage"])
        return result

    lambda_svc._execute_function_warm = execute_function
    provisioners._RESOURCE_HANDLERS["AWS::Lambda::Version"] = {"create": _create_version}


class _Package(zipfile.ZipFile):
    """A function's code, or a layer, which is unpacked once, however many functions have it."""

    def extractall(self, path: Any = None, *arguments: Any) -> None:
        folder = Path(path)
        if not folder.name.startswith("layer_"):
            return super().extractall(path, *arguments)
        content = hashlib.sha256(Path(str(self.filename)).read_bytes()).hexdigest()
        unpacked = folder.parents[1] / f"layer-{content}"
        with _unpacking:
            if unpacked.exists():
                folder.rmdir()
            else:
                super().extractall(folder)
                folder.rename(unpacked)  # only when it is whole
        folder.symlink_to(unpacked)


def _class_name(log: str, message: str) -> str:
    """Take the name of the exception's class out of the traceback, the last line of which has it."""
    said = f": {message}".splitlines()[0] if message else ""
    for line in reversed(log.splitlines()):
        if line.endswith(said) and re.fullmatch(r"[A-Za-z_][\w.]*", line.removesuffix(said)):
            return line.removesuffix(said).rpartition(".")[2]
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
    """Make credentials of a role known to STS; give them as environment variables."""
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
