"""What the boot script asks of AWS and of the services it has started.

    host.py log FILE            send what is new in the boot log to CloudWatch Logs
    host.py system-password     set the user's password
    host.py h2o-password [USER] write H2O's login file, for USER's eyes only
    host.py jupyter-password USER
    host.py flatfile            find the other hosts of H2O's cluster
    host.py public-name         print the host's public DNS name
    host.py health              wait until every service answers, and refuses strangers
    host.py signal STATUS REASON

Settings come from the environment (see `fetch.sh`); the password goes from Secrets Manager to
where it is needed, and never to a command line, the log or a file that others can read.
"""

import base64
import hashlib
import http.client
import json
import os
import pwd
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import boto3

T = TypeVar("T")
METADATA = "http://169.254.169.254/latest"
CLUSTER_SECONDS = 1500  # for all hosts to come; some take longer to boot
HEALTH_SECONDS = 300
LOG_BATCH, LOG_LINE = 100, 2_000  # events, bytes: a call takes 1 MB, and a byte that is no UTF-8 becomes three


def main(command: str, *arguments: str) -> None:
    """Run what the command line names."""
    commands: dict[str, Callable[..., None]] = {
        "log": log,
        "system-password": system_password,
        "h2o-password": h2o_password,
        "jupyter-password": jupyter_password,
        "flatfile": flatfile,
        "public-name": lambda: print(metadata("public-hostname") or socket.getfqdn()),
        "health": health,
        "signal": signal,
    }
    commands[command](*arguments)


def configuration(name: str) -> Path:
    """A file of the host's configuration."""
    return Path(os.environ["CONFIGURATION"], name)


def log(file: str) -> None:
    """Send the lines that have not been sent yet; how far that is, in bytes, is kept beside the log."""
    client = boto3.client("logs")
    stream, sent = {"logGroupName": os.environ["LOG_GROUP"], "logStreamName": _node()}, Path(f"{file}.sent")
    start = int(sent.read_text()) if sent.exists() else 0
    if not start:
        with suppress(client.exceptions.ResourceAlreadyExistsException):
            client.create_log_stream(**stream)
    with Path(file).open("rb") as lines:
        lines.seek(start)
        text = lines.read()
    text = text[: text.rfind(b"\n") + 1]
    now = int(time.time() * 1000)
    events = [
        {"timestamp": now, "message": line[:LOG_LINE].decode(errors="replace")} for line in text.splitlines() if line
    ]
    for first in range(0, len(events), LOG_BATCH):
        client.put_log_events(**stream, logEvents=events[first : first + LOG_BATCH])
    sent.write_text(str(start + len(text)))


def login() -> tuple[str, str]:
    """User name and password.

    Raises:
        SystemExit: they would set the password of another user, such as root, or add a login to H2O's file.
    """
    value = boto3.client("secretsmanager").get_secret_value(SecretId=os.environ["SECRET"])["SecretString"]
    found = json.loads(value)
    if found["username"] != os.environ["USER_NAME"]:
        sys.exit(f"the secret's username: {found['username']!r} given, accepted is {os.environ['USER_NAME']}")
    if not found["password"].isprintable():
        sys.exit("the secret's password: accepted is one line of printable characters")
    return found["username"], found["password"]


def system_password() -> None:
    """Set the password with which the user logs in to RStudio."""
    subprocess.run(["/usr/sbin/chpasswd"], input=":".join(login()).encode(), check=True)


def h2o_password(owner: str | None = None) -> None:
    """Write the file of H2O's hash login.

    Jetty knows no better hash than MD5 here. It is no less safe for that: nobody finds 32 random
    characters from it, and only `owner` can read the file.
    """
    user, password = login()
    digest = hashlib.md5(password.encode(), usedforsecurity=False).hexdigest()
    _write_privately(configuration("h2o.realm"), f"{user}: MD5:{digest}\n", owner)


def jupyter_password(owner: str) -> None:
    """Write JupyterLab's configuration, with the hash of the password.

    Root writes nothing in the user's home, where the user decides what a path leads to.
    """
    from jupyter_server.auth import passwd

    _, password = login()
    settings = {"PasswordIdentityProvider": {"hashed_password": passwd(password), "password_required": True}}
    _write_privately(configuration("jupyter_server_config.json"), json.dumps(settings), owner)


def _write_privately(path: Path, text: str, owner: str | None) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        if owner:
            _give(file.fileno(), owner)


def _give(file: int, owner: str) -> None:
    """Make `owner` the owner of an open file; with ROOT, there is no such user."""
    if not os.environ.get("ROOT"):
        account = pwd.getpwnam(owner)
        os.chown(file, account.pw_uid, account.pw_gid)


def flatfile() -> None:
    """Say the own address in the cluster's bucket, and write those of all hosts that have come so far.

    Of two hosts the later one knows the earlier; that is enough for H2O, and the address of a
    host that is gone does no harm. Hosts of another deployment are of another generation.
    """
    own = "127.0.0.1"
    addresses = {own: _node()}
    if int(os.environ["H2O_NODES"]) > 1:
        own = _until(partial(metadata, "local-ipv4"), "its address", HEALTH_SECONDS)
        key = f"{_cluster_prefix()}{own}"
        boto3.client("s3").put_object(Bucket=os.environ["CLUSTER_BUCKET"], Key=key, Body=_node().encode())
        addresses = _cluster()
    port = os.environ.get("H2O_PORT", "54321")
    configuration("h2o.flatfile").write_text("".join(f"{address}:{port}\n" for address in sorted(addresses)))
    configuration("h2o.address").write_text(f"H2O_IP={own}\n")


def _cluster_prefix() -> str:
    return f"cluster/{os.environ['GENERATION']}/"


def _cluster() -> dict[str, str]:
    """The name of each host of this generation, by its address."""
    s3, bucket, prefix = boto3.client("s3"), os.environ["CLUSTER_BUCKET"], _cluster_prefix()
    found = s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    names = (s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read().decode() for item in found)
    return {item["Key"].removeprefix(prefix): name for item, name in zip(found, names, strict=True)}


def health() -> None:
    """Wait until H2O is whole and asks for a password, and the rest answers.

    Raises:
        SystemExit: saying what did not come.
    """
    url = f"http://127.0.0.1:{os.environ.get('H2O_PORT', '54321')}/3/Cloud"
    user, password = login()
    nodes = int(os.environ["H2O_NODES"])
    authorization = {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}

    def cluster_is_whole() -> bool:
        try:
            cloud = json.loads(_get(url, headers=authorization)[1])
        except ValueError:  # none yet, or one that broke off
            return False
        return bool(cloud.get("cloud_healthy")) and cloud.get("cloud_size") == nodes

    _until(cluster_is_whole, f"H2O with {nodes} nodes", HEALTH_SECONDS if nodes == 1 else CLUSTER_SECONDS)
    if _node().startswith("Worker"):
        heads = [address for address, name in _cluster().items() if not name.startswith("Worker")]
        configuration("heads").write_text("\n".join(heads))  # when none is left, the worker stops
    status, _ = _get(url)
    if status != 401:
        sys.exit(f"H2O answers {status} to a stranger, not 401")
    print(f"H2O: {nodes} nodes, healthy, 401 without the password")
    services = {"RStudio": 8787, "JupyterLab": 8888}
    for name in os.environ.get("CHECK", "" if _node().startswith("Worker") else "RStudio JupyterLab").split():
        _until(partial(_answers, services[name]), name, HEALTH_SECONDS)
        print(f"{name}: answers")
    workgroup = boto3.client("athena").get_work_group(WorkGroup=os.environ["WORK_GROUP"])["WorkGroup"]
    print(f"Athena: workgroup {workgroup['Name']} is {workgroup['State']}")


def _answers(port: int) -> bool:
    return _get(f"http://127.0.0.1:{port}/")[0] == 200  # after a redirect to the page that asks for the password


def signal(status: str, reason: str) -> None:
    """Send the result of the boot to CloudFormation. The call takes no `reason`, which goes to the log.

    The id must be the instance's own: signals for an instance with another id can be ignored.
    """
    boto3.client("cloudformation").signal_resource(
        StackName=os.environ["STACK"],
        LogicalResourceId=_node(),
        UniqueId=metadata("instance-id") or socket.gethostname(),
        Status=status,
    )
    print(f"{status}: {reason}")


def _node() -> str:
    return os.environ["LOGICAL_ID"]


def metadata(name: str) -> str:
    """What the instance's metadata say of `name`; nothing where there is no such service."""
    if os.environ.get("AWS_EC2_METADATA_DISABLED"):
        return ""
    _, token = _get(f"{METADATA}/api/token", "PUT", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
    return _get(f"{METADATA}/meta-data/{name}", headers={"X-aws-ec2-metadata-token": token})[1]


def _get(url: str, method: str = "GET", headers: dict[str, str] | None = None) -> tuple[int, str]:
    """Status and body, which is empty with an error; status 0 when nobody answers."""
    request = urllib.request.Request(url, method=method, headers=headers or {})  # noqa: S310  # all are http
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""
    except (OSError, http.client.HTTPException):
        return 0, ""


def _until(check: Callable[[], T | None], what: str, seconds: float) -> T:
    deadline = time.monotonic() + seconds
    while True:
        result = check()
        if result:
            return result
        if time.monotonic() > deadline:
            sys.exit(f"not seen within {seconds:.0f} s: {what}")
        time.sleep(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
