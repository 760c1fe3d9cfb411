"""The sandbox as a target of walkthroughs: a boto3 session, local endpoints, Regions and settings."""

import json
import os
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import boto3
import botocore.session
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from walkthroughs.catalog import WALKTHROUGHS
from walkthroughs.walkthrough import EmailMessage, LocalEndpoints, Target

from .process import MAILBOX_HOST, REGION, Sandbox

SPEED = 60  # a schedule of 5 minutes fires every 5 seconds
TIMEOUT_SECONDS = 60
# Configuration of the user's AWS account that must not apply to the sandbox.
IGNORED_CONFIGURATION = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


class SandboxSession(boto3.Session):
    """A session whose clients always call the sandbox, regardless of environment variables."""

    def __init__(self, sandbox: Sandbox, credentials: Mapping[str, str]) -> None:
        core = botocore.session.Session(session_vars=IGNORED_CONFIGURATION)
        core.set_default_client_config(Config(proxies={}))
        super().__init__(
            aws_access_key_id=credentials["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=credentials["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=credentials.get("AWS_SESSION_TOKEN"),
            region_name=REGION,
            botocore_session=core,
        )
        self._url = sandbox.url

    def client(self, *arguments: Any, **options: Any) -> Any:
        return super().client(*arguments, **options | {"endpoint_url": self._url})


def session(sandbox: Sandbox) -> boto3.Session:
    """Return a session whose clients call the sandbox."""
    return SandboxSession(sandbox, sandbox.environment)


def target_of(sandbox: Sandbox) -> Target:
    """Return the sandbox as a target of walkthroughs."""

    def deploy(stack: str, settings: Mapping[str, str]) -> None:
        sandbox.deploy(stack, settings=settings)

    def instance_session(instance_id: str) -> boto3.Session:
        file = sandbox.directory / "instances" / instance_id / "credentials.json"
        return SandboxSession(sandbox, json.loads(file.read_text()))

    def session_with(access_key: str, secret: str, token: str | None) -> boto3.Session:
        names = {"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret}
        return SandboxSession(sandbox, names | ({"AWS_SESSION_TOKEN": token} if token else {}))

    return Target(
        session(sandbox),
        TIMEOUT_SECONDS,
        propagation_seconds=0,
        poll_seconds=0.02,
        mailbox=partial(read_mailbox, sandbox),
        endpoints=endpoints_of(sandbox),
        deploy=deploy,
        impair=partial(impair_region, sandbox),
        instances=sandbox.directory / "instances",
        environment=sandbox.environment,
        instance_session=instance_session,
        set_cost=partial(set_cost, sandbox),
        session_with=session_with,
    )


def read_mailbox(sandbox: Sandbox) -> list[EmailMessage]:
    """Return the messages that the sandbox delivered; see `sandbox/sns.py`."""
    url = f"http://127.0.0.1:{sandbox.ports['http']}/messages.json"
    messages: list[EmailMessage] = urllib3.PoolManager().request("GET", url, headers={"Host": MAILBOX_HOST}).json()
    return messages


def impair_region(sandbox: Sandbox, region: str | None) -> None:
    """Make all AWS API calls in `region` fail, or in no Region; see `sandbox/emulator/fault_injection.py`."""
    control(sandbox, "Inject", impaired_regions=[region] if region else [])


def set_cost(sandbox: Sandbox, budget: str, actual: float, forecast: float | None = None) -> None:
    """Set the cost of a budget; see `sandbox/budgets.py`."""
    control(sandbox, "SetCost", budget=budget, actual=actual, forecast=forecast)


def control(sandbox: Sandbox, operation: str, **parameters: Any) -> Any:
    """Call an operation that only the sandbox has, and return the response."""
    body = json.dumps(parameters)
    request = AWSRequest("POST", f"{sandbox.url}/", data=body, headers={"X-Amz-Target": f"Sandbox.{operation}"})
    keys = sandbox.environment["AWS_ACCESS_KEY_ID"], sandbox.environment["AWS_SECRET_ACCESS_KEY"]
    SigV4Auth(Credentials(*keys), "sandbox", REGION).add_auth(request)
    response = urllib3.PoolManager().request(
        "POST", f"{sandbox.url}/", body=body, headers=dict(request.headers.items())
    )
    if response.status != 200:
        raise RuntimeError(f"Sandbox.{operation} returned {response.status}: {response.data!r}")
    return response.json()


def endpoints_of(sandbox: Sandbox) -> LocalEndpoints:
    """Return the local ports that stand for every web address and name server."""
    ports = sandbox.ports
    return LocalEndpoints(ports["http"], ports["https"], ports["dns"], sandbox.authority)


def regions_of(systems: Iterable[str]) -> list[str]:
    """Return the Regions that the walkthroughs of `systems` use."""
    return sorted({region for system in systems for region in WALKTHROUGHS[system].regions})


def settings_for(sandbox: Sandbox, systems: Iterable[str]) -> dict[str, str]:
    """Create the prerequisites of `systems` and return the settings to deploy their stacks with."""
    target = target_of(sandbox)
    return {key: value for system in systems for key, value in WALKTHROUGHS[system].settings(target).items()}
