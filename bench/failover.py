"""Faults in one Region of multi_region_api in the sandbox, and clients that call the API all the time.

The plain client sends each call once. The sample client is the one in assets/, unchanged; only its connections lead to
the sandbox.
"""

import http.client
import importlib.util
import json
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

from sandbox.process import ROOT
from walkthroughs.client_networks import CLIENT_NETWORKS
from walkthroughs.dns_lookup import resolve
from walkthroughs.polling import poll_in_background
from walkthroughs.walkthrough import Target

SYSTEM, REGION, OTHER_REGION = "multi_region_api", "us-east-1", "us-west-2"  # the clients are near the first one
CLIENT = ROOT / "assets" / SYSTEM / "client" / "client.py"
CLIENT_ADDRESS = CLIENT_NETWORKS[REGION].partition("/")[0]
FUNCTIONS = ("HelloFunctionName", "HealthFunctionName")
TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class Call:
    """A call of a client: when it started and ended (seconds since 1970), and the Region that sent the last response.

    region: "none" without a response.
    """

    started: float
    ended: float
    region: str
    failed: bool

    @property
    def seconds(self) -> float:
        return self.ended - self.started


class Resolver:
    """Resolves names as a client near `REGION` does, and keeps each address for `ttl_seconds`."""

    def __init__(self, target: Target, zone_id: str, ttl_seconds: float) -> None:
        self.target, self.zone_id, self.ttl_seconds = target, zone_id, ttl_seconds
        self._addresses: dict[str, tuple[float, str]] = {}

    def address(self, name: str) -> str:
        expires, address = self._addresses.get(name, (0.0, ""))
        if time.monotonic() >= expires:
            (address, *_) = resolve(self.target, self.zone_id, name, "A", CLIENT_ADDRESS)
            self._addresses[name] = (time.monotonic() + self.ttl_seconds, address)
        return address


class Deployment:
    """The deployed Regions: calls them, breaks one of them, and drains it."""

    def __init__(self, target: Target, regions: tuple[str, ...], ttl_seconds: float = 0) -> None:
        self.target = target
        self.outputs = {region: target.outputs(f"MultiRegionApi-{region}", region) for region in regions}
        own = self.outputs[REGION]
        self.url, self.check_id = f"{own['Url']}helloworld", own["HealthCheckId"]
        name = self.url.split("/")[2]
        self.regional_urls = [self.url.replace(name, f"{region}.{name}") for region in regions]
        self.resolver = Resolver(target, own["HostedZoneId"], ttl_seconds)
        self.route53, self.lambda_ = target.client("route53"), target.client("lambda", REGION)
        config = self.route53.get_health_check(HealthCheckId=self.check_id)["HealthCheck"]["HealthCheckConfig"]
        self.interval, self.threshold = config["RequestInterval"], config["FailureThreshold"]
        self.client = sample_client(target, self.resolver)

    def call(self) -> Call:
        """Send a request once, as a client without retries."""
        started, region, failed = time.time(), "none", True
        try:
            with urllib.request.urlopen(self.url, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310  # an output
                region, failed = json.load(response)["region"], False
        except urllib.error.HTTPError as error:
            region = error.headers.get("X-Region", "none")
            error.close()
        except OSError:
            pass
        return Call(started, time.time(), region, failed)

    def call_with_sample_client(self) -> Call:
        started, region, failed = time.time(), "none", True
        with suppress(OSError, http.client.HTTPException):
            region, failed = self.client.get(self.url, *self.regional_urls)["region"], False
        return Call(started, time.time(), region, failed)

    @contextmanager
    def calls(self, interval: float, sample_clients: int) -> Iterator[tuple[list[Call], list[list[Call]]]]:
        """Call the API until the context is left; yield the calls of the plain client, and of each sample client."""
        with ExitStack() as stack:
            poll: Callable[[Callable[[], Call]], list[Call]] = lambda call: stack.enter_context(  # noqa: E731
                poll_in_background(call, interval)
            )
            yield poll(self.call), [poll(self.call_with_sample_client) for _ in range(sample_clients)]

    def wait_for(self, calls: list[Call], wanted: Callable[[Call], bool], what: str) -> None:
        self.target.wait_until(lambda: calls and wanted(calls[-1]), what, TIMEOUT_SECONDS * 10)

    @contextmanager
    def broken_region(self) -> Iterator[None]:
        """Leave no concurrency to the Region's functions, so each call, and each health check, gets a 429."""
        names = [self.outputs[REGION][output] for output in FUNCTIONS]
        try:
            for name in names:
                self.lambda_.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
            yield
        finally:
            for name in names:
                self.lambda_.delete_function_concurrency(FunctionName=name)

    def first_failure(self) -> float:
        """Wait for a failed health check, and return its time."""

        def failed_at() -> float | None:
            status = self.route53.get_health_check_status(HealthCheckId=self.check_id)
            report = status["HealthCheckObservations"][0]["StatusReport"]
            at: datetime = report["CheckedTime"]
            return at.astimezone(UTC).timestamp() if report["Status"].startswith("Failure") else None

        return self.target.wait_until(failed_at, "a failed health check", TIMEOUT_SECONDS * 10)

    def drain(self, action: str) -> None:
        """Send `drain` or `undrain`, for `REGION`, to the other Region."""
        function = self.outputs[OTHER_REGION]["DrainFunctionName"]
        payload = json.dumps({action: REGION})
        response = self.target.client("lambda", OTHER_REGION).invoke(FunctionName=function, Payload=payload)
        result = json.loads(response["Payload"].read())
        if (REGION in result.get("drained", [])) != (action == "drain"):
            raise RuntimeError(f"{function} returned {result}")


def sample_client(target: Target, resolver: Resolver) -> ModuleType:
    """Import the sample client, and let `urllib.request` connect to the sandbox."""
    endpoints = target.endpoints
    if not endpoints:
        raise RuntimeError("the clients call only the sandbox")
    port = endpoints.https
    context = ssl.create_default_context(cafile=str(endpoints.ca_certificate))

    class Connection(http.client.HTTPSConnection):
        def connect(self) -> None:
            plain = socket.create_connection(("127.0.0.1", port), self.timeout)
            self.sock = context.wrap_socket(plain, server_hostname=self.host)

        def putrequest(self, *arguments: Any, **options: Any) -> None:
            super().putrequest(*arguments, **options)
            self.putheader("x-sandbox-address", resolver.address(self.host))

    class Handler(urllib.request.HTTPSHandler):
        def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(Connection, request)

    urllib.request.install_opener(urllib.request.build_opener(Handler))
    spec = importlib.util.spec_from_file_location("sample_client", CLIENT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
