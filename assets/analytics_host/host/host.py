"""Commands of the boot script that call AWS and the services on the host.

    host.py log FILE            send new lines of the boot log to CloudWatch Logs
    host.py system-password     set the user's password
    host.py h2o-password [USER] write H2O's login file, readable by USER only
    host.py jupyter-password USER
                                write JupyterLab's configuration with the password hash
    host.py flatfile            find the other hosts of the H2O cluster
    host.py public-name         print the host's public DNS name
    host.py health              wait until every service responds and H2O requires the password
    host.py signal STATUS REASON
                                signal CloudFormation

Settings come from the environment (see `fetch.sh`). The password is read from Secrets Manager and never
written to a command line, the log or a file that others can read.
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
H2O_PORT = "54323"  # the users' port is nginx's, which forwards requests to H2O
METADATA = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254") + "/latest"  # as in AWS SDKs
CLUSTER_SECONDS = 1500  # until all hosts have joined; boot times differ
HEALTH_SECONDS = 300
# A call accepts 1 MB. Each byte that is not valid UTF-8 becomes three.
MAX_BATCH_EVENTS, MAX_LINE_BYTES = 100, 2_000


def main(command: str, *arguments: str) -> None:
    """Run one command."""
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
    """Return the path of a configuration file."""
    return Path(os.environ["CONFIGURATION"], name)


def log(file: str) -> None:
    """Send the complete lines that have not been sent yet; the offset in bytes is stored next to the log."""
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
        {"timestamp": now, "message": line[:MAX_LINE_BYTES].decode(errors="replace")}
        for line in text.splitlines()
        if line
    ]
    for first in range(0, len(events), MAX_BATCH_EVENTS):
        client.put_log_events(**stream, logEvents=events[first : first + MAX_BATCH_EVENTS])
    sent.write_text(str(start + len(text)))


def login() -> tuple[str, str]:
    """Return user name and password from the secret.

    Raises:
        SystemExit: they would set the password of another user, such as root, or add a login to H2O's file.
    """
    value = boto3.client("secretsmanager").get_secret_value(SecretId=os.environ["SECRET"])["SecretString"]
    secret = json.loads(value)
    if secret["username"] != os.environ["USER_NAME"]:
        sys.exit(f"the secret's username is {secret['username']!r}, expected {os.environ['USER_NAME']}")
    if not secret["password"].isprintable():
        sys.exit("the secret's password must be one line of printable characters")
    return secret["username"], secret["password"]


def system_password() -> None:
    """Set the system password, which RStudio uses."""
    subprocess.run(["/usr/sbin/chpasswd"], input=":".join(login()).encode(), check=True)


def h2o_password(owner: str | None = None) -> None:
    """Write H2O's login file.

    MD5 is the strongest hash that Jetty supports here. That is acceptable, because the password has 32 random
    characters and only `owner` can read the file.
    """
    user, password = login()
    digest = hashlib.md5(password.encode(), usedforsecurity=False).hexdigest()
    _write_privately(configuration("h2o.realm"), f"{user}: MD5:{digest}\n", owner)


def jupyter_password(owner: str) -> None:
    """Write JupyterLab's configuration with the password hash.

    It is not in the user's home directory, where the user could make root follow a link.
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
            _change_owner(file.fileno(), owner)


def _change_owner(file: int, owner: str) -> None:
    """Make `owner` the owner of an open file. Does nothing if ROOT is set, because that user does not exist."""
    if not os.environ.get("ROOT"):
        account = pwd.getpwnam(owner)
        os.chown(file, account.pw_uid, account.pw_gid)


def flatfile() -> None:
    """Publish this host's address in the cluster bucket, and write the addresses of all hosts started so far.

    Each host only needs to know those that started before it, and H2O ignores addresses of deleted hosts.
    Hosts of another deployment have another cluster ID.
    """
    address = "127.0.0.1"
    addresses = {address: _node()}
    if int(os.environ["H2O_NODES"]) > 1:
        address = _until(partial(metadata, "local-ipv4"), "local-ipv4 of the instance metadata", HEALTH_SECONDS)
        key = f"{_cluster_prefix()}{address}"
        boto3.client("s3").put_object(Bucket=os.environ["CLUSTER_BUCKET"], Key=key, Body=_node().encode())
        addresses = _cluster()
    port = os.environ.get("H2O_PORT", H2O_PORT)
    configuration("h2o.flatfile").write_text("".join(f"{host}:{port}\n" for host in sorted(addresses)))
    configuration("h2o.address").write_text(f"H2O_IP={address}\n")


def _cluster_prefix() -> str:
    return f"cluster/{os.environ['CLUSTER_ID']}/"


def _cluster() -> dict[str, str]:
    """Return the logical ID of each host of this cluster, by address."""
    s3, bucket, prefix = boto3.client("s3"), os.environ["CLUSTER_BUCKET"], _cluster_prefix()
    objects = s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    names = (s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read().decode() for item in objects)
    return {item["Key"].removeprefix(prefix): name for item, name in zip(objects, names, strict=True)}


def health() -> None:
    """Wait until H2O's cluster is complete, H2O requires the password, and the other services respond.

    Raises:
        SystemExit: a service is not healthy; the message names it.
    """
    url = f"http://127.0.0.1:{os.environ.get('H2O_PORT', H2O_PORT)}/3/Cloud"
    user, password = login()
    nodes = int(os.environ["H2O_NODES"])
    authorization = {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}

    def cluster_is_complete() -> bool:
        try:
            cloud = json.loads(_get(url, headers=authorization)[1])
        except ValueError:  # no response yet, or an incomplete one
            return False
        return bool(cloud.get("cloud_healthy")) and cloud.get("cloud_size") == nodes

    _until(cluster_is_complete, f"H2O with {nodes} nodes", HEALTH_SECONDS if nodes == 1 else CLUSTER_SECONDS)
    if _node().startswith("Worker"):
        first_hosts = [address for address, name in _cluster().items() if not name.startswith("Worker")]
        configuration("first-hosts").write_text("\n".join(first_hosts))  # a worker without a connection to them stops
    status, _ = _get(url)
    if status != 401:
        sys.exit(f"H2O returned {status} without the password, expected 401")
    print(f"H2O: {nodes} nodes, healthy, 401 without the password")
    services = {
        "Proxy": partial(_rejects_web_pages, authorization),
        "RStudio": partial(_responds, 8787),
        "JupyterLab": partial(_responds, 8888),
    }
    for name in os.environ.get("CHECK", "" if _node().startswith("Worker") else " ".join(services)).split():
        _until(services[name], name, HEALTH_SECONDS)
        print(f"{name}: healthy")
    workgroup = boto3.client("athena").get_work_group(WorkGroup=os.environ["WORK_GROUP"])["WorkGroup"]
    print(f"Athena: workgroup {workgroup['Name']} is {workgroup['State']}")


def _rejects_web_pages(authorization: dict[str, str]) -> bool:
    """Return whether nginx forwards requests of programs to H2O, and rejects requests of another web page."""
    url = "http://127.0.0.1:54321/3/Cloud"
    page = authorization | {"Origin": "https://example.com"}
    return _get(url, headers=authorization)[0] == 200 and _get(url, headers=page)[0] == 403


def _responds(port: int) -> bool:
    return _get(f"http://127.0.0.1:{port}/")[0] == 200  # after a redirect to the login page


def signal(status: str, reason: str) -> None:
    """Signal the result of the boot to CloudFormation. `reason` is only logged, because the API does not accept one.

    The unique ID must be the instance ID; CloudFormation can ignore other IDs for an instance.
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
    """Return an item of the instance metadata; an empty string if there is no metadata service."""
    if os.environ.get("AWS_EC2_METADATA_DISABLED"):
        return ""
    _, token = _get(f"{METADATA}/api/token", "PUT", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
    return _get(f"{METADATA}/meta-data/{name}", headers={"X-aws-ec2-metadata-token": token})[1]


def _get(url: str, method: str = "GET", headers: dict[str, str] | None = None) -> tuple[int, str]:
    """Return status and body. The body of an error is empty; the status is 0 without a valid response."""
    request = urllib.request.Request(url, method=method, headers=headers or {})  # noqa: S310  # every URL is http
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as response:
            return response.status, response.read().decode()
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
            sys.exit(f"not ready within {seconds:.0f} s: {what}")
        time.sleep(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
