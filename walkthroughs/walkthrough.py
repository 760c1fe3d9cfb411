"""What the walkthroughs share: steps in their order, waiting, and results."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import boto3
import urllib3
from botocore.config import Config
from botocore.exceptions import ClientError

ROOT = Path(__file__).parents[1]
USABLE = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE"}
RETRIES = Config(retries={"mode": "standard", "max_attempts": 10})  # accounts are throttled while others use them
T = TypeVar("T")


class PreconditionError(Exception):
    """The account lacks something that a walkthrough needs; the message says what, and how to get it.

    Raise it before anything is changed.
    """


class SkipStep(Exception):  # noqa: N818  (it is not an error)
    """A step that cannot be done here, and why; it is not a failure."""


@dataclass(frozen=True)
class LocalEndpoints:
    """Ports on this computer that stand for every web address, and whom to trust there."""

    http: int
    https: int
    dns: int  # name server of every hosted zone, over UDP
    authority: Path

    @property
    def resolver_rules(self) -> str:
        """What Chromium is told (``--host-resolver-rules``) so that every host name leads here."""
        return f"MAP *:443 127.0.0.1:{self.https}, MAP *:80 127.0.0.1:{self.http}"


@dataclass(frozen=True)
class Target:
    """Where a walkthrough plays.

    timeout_seconds: seconds to wait for what AWS does by itself. propagation_seconds: seconds that a change of
    configuration, such as a rule switched off, takes to be in force. pause: seconds between two looks at
    something that is waited for.
    """

    session: boto3.Session
    timeout_seconds: float
    propagation_seconds: float
    pause: float = 0.1
    endpoints: LocalEndpoints | None = None  # where web addresses are found; without, through DNS
    pictures: Path | None = None  # a folder for screenshots; without, none are kept
    instances: Path | None = None  # the sandbox's instances; without, they are reached through Session Manager
    songs: Path | None = None  # the songs file of the published figures; without, made-up songs
    reports: Path = ROOT / ".cache" / "reports"  # a folder for what a walkthrough writes
    progress: Callable[[str], None] = lambda _text: None  # told how far a long step is
    # Deploys a stack with settings (CDK context); without, that is the user's to do.
    deploy: Callable[[str, Mapping[str, str]], None] | None = None

    def client(self, service: str, region: str | None = None) -> Any:
        return self.session.client(service, region_name=region, config=RETRIES)

    def outputs(self, stack: str, region: str | None = None) -> dict[str, str]:
        """The outputs of a deployed stack, by name.

        Raises:
            PreconditionError: the stack is not deployed in this region, or not completely.
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
            raise PreconditionError(f"stack {stack} is {description['StackStatus']}; wait for it, or repair it first")
        return {output["OutputKey"]: output["OutputValue"] for output in description.get("Outputs", [])}

    def get(
        self, url: str, method: str = "GET", *, address: str | None = None, **headers: str
    ) -> urllib3.BaseHTTPResponse:
        """Ask a web address as curl does, without following redirects.

        address: IP address to connect to, as `curl --connect-to` does; without, that of the name.
        """
        parts = urlsplit(url)
        host, port = address or parts.netloc, 443 if parts.scheme == "https" else 80
        options: dict[str, Any] = {}
        if parts.scheme == "https":
            options = {"server_hostname": parts.netloc, "assert_hostname": parts.netloc}
        if self.endpoints:
            host, port = "127.0.0.1", self.endpoints.https if parts.scheme == "https" else self.endpoints.http
            options |= {"ca_certs": str(self.endpoints.authority)} if parts.scheme == "https" else {}
            headers |= {"x-sandbox-address": address} if address else {}
        pool = urllib3.connectionpool.HTTPSConnectionPool if options else urllib3.connectionpool.HTTPConnectionPool
        with pool(host, port, **options) as connection:
            target = url[len(f"{parts.scheme}://{parts.netloc}") :] or "/"
            return connection.request(method, target, headers={"host": parts.netloc, **headers}, redirect=False)

    def wait_until(self, check: Callable[[], T | None], what: str, seconds: float | None = None) -> T:
        """Call `check` until it gives something true, and give that.

        Raises:
            AssertionError: saying `what` did not come in `seconds` (default: the timeout_seconds).
        """
        seconds = self.timeout_seconds if seconds is None else seconds
        deadline = time.monotonic() + seconds
        while True:
            result = check()
            if result:
                return result
            if time.monotonic() > deadline:
                raise AssertionError(f"not seen within {seconds:.0f} s: {what}")
            time.sleep(min(self.pause, seconds / 10))


class Walkthrough(AbstractContextManager["Walkthrough"]):
    """One system's walkthrough; a subclass has its steps as methods marked with `step`.

    `stacks` are the stacks that must be deployed, `regions` those they are in. On entering it prepares what it needs to
    watch, on leaving it takes everything away that it made.
    """

    stacks: tuple[str, ...]
    regions: tuple[str, ...] = ("us-east-1",)

    @classmethod
    def settings(cls, _world: Target) -> dict[str, str]:
        """Make what the stacks take for given, and give the settings that name it (CDK context).

        Called in the sandbox before the stacks are deployed; elsewhere settings are the user's.
        """
        return {}

    def __init__(self, target: Target) -> None:
        self.target = target

    def __exit__(  # a walkthrough that leaves nothing behind has nothing to do
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take away what the walkthrough has made."""

    def steps(self) -> Iterator[Callable[[], str]]:
        """The steps, in the order in which they are written."""
        for name, function in type(self).__dict__.items():
            if getattr(function, "is_step", False):
                yield getattr(self, name)


class RestoringWalkthrough(Walkthrough):
    """A walkthrough that changes things, and puts them back at its end, or when it is interrupted.

    A subclass fills `cleanup` as it goes, from `_prepare` on, which it has in place of ``__enter__``.
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


def step(function: Callable[[Any], str]) -> Callable[[Any], str]:
    """Mark a method as a step: its docstring says what is done, its result what was seen."""
    function.is_step = True  # type: ignore[attr-defined]
    return function


@dataclass(frozen=True)
class Result:
    """How one step went; `error` is None when it went well, or was skipped."""

    title: str
    seen: str
    seconds: float
    error: str | None = None
    skipped: bool = False

    @property
    def mark(self) -> str:
        return "FAILED" if self.error else "skipped" if self.skipped else "ok"


def play(walkthrough: Walkthrough, begin: Callable[[str], None], tell: Callable[[Result], None]) -> list[Result]:
    """Play all steps up to the first that fails; the rest is not run.

    Calls `begin` with the title of each step before it, and `tell` with its result.
    """
    results: list[Result] = []
    for perform in walkthrough.steps():
        title = (perform.__doc__ or "").strip().splitlines()[0].rstrip(".")
        begin(title)
        started, skipped = time.monotonic(), False
        try:
            seen, error = perform(), None
        except SkipStep as reason:
            seen, error, skipped = f"skipped: {reason}", None, True
        except Exception as problem:
            seen, error = "", f"{type(problem).__name__}: {problem}"
        results.append(Result(title, seen, time.monotonic() - started, error, skipped))
        tell(results[-1])
        if error:
            break
    return results
