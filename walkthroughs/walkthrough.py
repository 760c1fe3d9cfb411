"""Shared by the walkthroughs: targets, steps, waiting and results."""

import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypedDict, TypeVar
from urllib.parse import urlsplit

import boto3
import urllib3
from botocore.config import Config
from botocore.exceptions import ClientError

ROOT = Path(__file__).parents[1]
USABLE = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE"}
RETRIES = Config(retries={"mode": "standard", "max_attempts": 10})  # other users of an account can cause throttling
T = TypeVar("T")


class PreconditionError(Exception):
    """A prerequisite is missing. The message names it and how to provide it.

    Raise it before the walkthrough changes anything.
    """


class SkipStep(Exception):  # noqa: N818  # not an error
    """Raised when a step cannot run on this target. The message gives the reason."""


def session_for(profile: str | None, region: str | None) -> boto3.Session:
    """Return a session in the Region that the CDK CLI deploys to; boto3 does not read AWS_REGION."""
    return boto3.Session(profile_name=profile, region_name=region or os.environ.get("AWS_REGION") or None)


@dataclass(frozen=True)
class LocalEndpoints:
    """Ports on this computer that serve every host name, and the CA certificate to trust."""

    http: int
    https: int
    dns: int  # name server of every hosted zone (UDP)
    ca_certificate: Path

    @property
    def resolver_rules(self) -> str:
        """Chromium's ``--host-resolver-rules`` that map every host name to these ports."""
        return f"MAP *:443 127.0.0.1:{self.https}, MAP *:80 127.0.0.1:{self.http}"


class EmailMessage(TypedDict):
    """An email from Amazon SNS. `confirmation`: URL that confirms the subscription, or empty."""

    to: str
    sender: str
    subject: str
    body: str
    confirmation: str


@dataclass(frozen=True)
class Target:
    """The AWS account or sandbox that a walkthrough runs against.

    timeout_seconds: how long to wait for an asynchronous result. propagation_seconds: how long a configuration
    change, such as a disabled rule, takes to become effective. poll_seconds: time between polls.
    """

    session: boto3.Session
    timeout_seconds: float
    propagation_seconds: float
    poll_seconds: float = 0.1
    endpoints: LocalEndpoints | None = None  # None: resolve host names through DNS
    pictures_folder: Path | None = None  # for screenshots; None: take none
    instances: Path | None = None  # folder of the sandbox's instances; None: connect through Session Manager
    songs_file: Path | None = None  # the original songs; None: synthetic songs
    reports: Path = ROOT / ".cache" / "reports"  # folder for reports that a walkthrough writes
    progress: Callable[[str], None] = lambda _text: None  # called with the progress of a long step
    # Deploys a stack with settings (CDK context); None: the user deploys.
    deploy: Callable[[str, Mapping[str, str]], None] | None = None
    # Makes all AWS API calls in the Region fail, or in none if it is None. None: AWS cannot be impaired.
    impair: Callable[[str | None], None] | None = None
    # Environment variables for programs that a walkthrough starts.
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    # Returns a session with the role of an instance; None: only programs on the instance can have it.
    instance_session: Callable[[str], boto3.Session] | None = None
    # Sets the actual and forecast cost of a budget, in its unit; Budgets then notifies its subscribers. None: only AWS
    # knows the cost.
    set_cost: Callable[[str, float, float | None], None] | None = None
    # Returns the messages of every email address. None: only their recipient can read them.
    mailbox: Callable[[], list[EmailMessage]] | None = None
    # Returns a session with other credentials (as returned by CreateAccessKey or AssumeRole) for the same target:
    # access key ID, secret access key and session token.
    session_with: Callable[[str, str, str | None], boto3.Session] | None = None

    def client(self, service: str, region: str | None = None) -> Any:
        return self.session.client(service, region_name=region, config=RETRIES)

    def outputs(self, stack: str, region: str | None = None) -> dict[str, str]:
        """Return the outputs of a deployed stack, by name.

        Raises:
            PreconditionError: the stack does not exist in this Region, or is not in a usable state.
        """
        client = self.client("cloudformation", region)
        try:
            (description,) = client.describe_stacks(StackName=stack)["Stacks"]
        except ClientError as error:
            if "does not exist" not in str(error):
                raise
            raise PreconditionError(
                f"stack {stack} does not exist in {client.meta.region_name}; deploy it: make deploy STACK={stack}"
            ) from None
        if description["StackStatus"] not in USABLE:
            raise PreconditionError(
                f"stack {stack} is {description['StackStatus']}; wait until it is complete, or repair it"
            )
        return {output["OutputKey"]: output["OutputValue"] for output in description.get("Outputs", [])}

    def get(
        self, url: str, method: str = "GET", *, address: str | None = None, **headers: str
    ) -> urllib3.BaseHTTPResponse:
        """Send an HTTP request without following redirects.

        address: IP address to connect to, like `curl --connect-to` (default: resolve the host name).
        """
        parts = urlsplit(url)
        host, port = address or parts.netloc, 443 if parts.scheme == "https" else 80
        options: dict[str, Any] = {}
        if parts.scheme == "https":
            options = {"server_hostname": parts.netloc, "assert_hostname": parts.netloc}
        if self.endpoints:
            host, port = "127.0.0.1", self.endpoints.https if parts.scheme == "https" else self.endpoints.http
            options |= {"ca_certs": str(self.endpoints.ca_certificate)} if parts.scheme == "https" else {}
            headers |= {"x-sandbox-address": address} if address else {}
        pool = urllib3.connectionpool.HTTPSConnectionPool if options else urllib3.connectionpool.HTTPConnectionPool
        with pool(host, port, **options) as connection:
            target = url[len(f"{parts.scheme}://{parts.netloc}") :] or "/"
            return connection.request(method, target, headers={"host": parts.netloc, **headers}, redirect=False)

    def wait_until(self, check: Callable[[], T | None], what: str, seconds: float | None = None) -> T:
        """Call `check` until its result is true, and return the result.

        Raises:
            AssertionError: naming `what`, after `seconds` (default: timeout_seconds).
        """
        seconds = self.timeout_seconds if seconds is None else seconds
        deadline = time.monotonic() + seconds
        while True:
            result = check()
            if result:
                return result
            if time.monotonic() > deadline:
                raise AssertionError(f"not observed within {seconds:.0f} s: {what}")
            time.sleep(min(self.poll_seconds, seconds / 10))


@dataclass(frozen=True)
class Step:
    """A step of a walkthrough: its title, and the method that performs it and returns what it observed."""

    title: str
    method: Callable[[Any], str]


class Walkthrough(AbstractContextManager["Walkthrough"]):
    """The walkthrough of one system. Subclasses list their methods in `steps`, in the order to run.

    `stacks` must be deployed in `regions`. Entering the context prepares the walkthrough; leaving it deletes what the
    walkthrough has created.
    """

    stacks: tuple[str, ...]
    steps: tuple[Step, ...]
    regions: tuple[str, ...] = ("us-east-1",)

    @classmethod
    def settings(cls, _target: Target) -> dict[str, str]:
        """Create the prerequisites of the stacks, and return the settings (CDK context) that name them.

        Called before the stacks are deployed in the sandbox. On AWS, the user chooses the settings.
        """
        return {}

    def __init__(self, target: Target) -> None:
        self.target = target

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Delete what the walkthrough has created; by default, it creates nothing."""


class RestoringWalkthrough(Walkthrough):
    """A walkthrough that restores what it changes when it ends or is interrupted.

    Subclasses implement `_prepare` instead of ``__enter__``, and add callbacks to `cleanup` before each change.
    """

    cleanup: ExitStack

    def __enter__(self) -> Self:
        self.cleanup = ExitStack()
        try:
            self._prepare()
        except BaseException:
            self.cleanup.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cleanup.close()

    def _prepare(self) -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class Result:
    """The result of one step. `observed` can continue with a picture after an empty line."""

    title: str
    observed: str
    seconds: float
    error: str | None = None
    skipped: bool = False

    @property
    def summary(self) -> str:
        return self.observed.partition("\n\n")[0]

    @property
    def picture(self) -> str:
        return self.observed.partition("\n\n")[2]

    @property
    def status(self) -> str:
        return "FAILED" if self.error else "skipped" if self.skipped else "ok"


def run(walkthrough: Walkthrough, on_start: Callable[[str], None], on_result: Callable[[Result], None]) -> list[Result]:
    """Run the steps in order, up to the first that fails.

    Calls `on_start` with the title of each step, and `on_result` with its result.
    """
    results: list[Result] = []
    for step in walkthrough.steps:
        on_start(step.title)
        result = _run_step(walkthrough, step)
        results.append(result)
        on_result(result)
        if result.error:
            break
    return results


def _run_step(walkthrough: Walkthrough, step: Step) -> Result:
    started = time.monotonic()
    observed, error, skipped = "", None, False
    try:
        observed = step.method(walkthrough)
    except SkipStep as reason:
        observed, skipped = f"skipped: {reason}", True
    except Exception as problem:
        error = f"{type(problem).__name__}: {problem}"
    return Result(step.title, observed, time.monotonic() - started, error, skipped)
