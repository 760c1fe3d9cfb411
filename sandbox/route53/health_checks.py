"""Health checks in templates, and over HTTP and HTTPS, as Route 53's health checkers send them.

There is one health checker, whose result is the status of the health check (on AWS an endpoint is healthy if more than
18% of the checkers report it as healthy). The sandbox's speed shortens the intervals, but not the time limits: 4 s to
connect, and 2 s without data of the response, whose first 5,120 bytes must contain the search string (on AWS 2 s for
the status, and 2 s for the body). Source: Route 53 developer guide, how Amazon Route 53 determines whether a health
check is healthy. Not implemented: GetHealthCheckLastFailureReason.
"""

import asyncio
import ssl
import uuid
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from xml.sax.saxutils import escape

from ..ministack import route53
from ..ministack.cloudformation import resource_handlers

CONNECT_SECONDS, RESPONSE_SECONDS = 4, 2
SEARCHED_BYTES = 5120
CHECKER = ("15.177.2.1", "us-east-1")  # an address of Route 53's health checkers, and its Region
UNVERIFIED = ssl.create_default_context()  # HTTPS health checks do not validate certificates
UNVERIFIED.check_hostname, UNVERIFIED.verify_mode = False, ssl.CERT_NONE


@dataclass
class State:
    """The status of an endpoint.

    consecutive: number of consecutive results that differ from `healthy`.
    """

    healthy: bool = True  # until there is enough data
    consecutive: int = 0
    report: str = ""
    checked: str = ""

    def record_result(self, passed: bool, report: str, threshold: int) -> None:
        """Update the status with the result of one request."""
        self.report, self.checked = report, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        self.consecutive = 0 if passed == self.healthy else self.consecutive + 1
        if self.consecutive >= threshold:
            self.healthy, self.consecutive = passed, 0


STATES: dict[str, State] = {}


def is_healthy(health_check_id: str) -> bool:
    """Return whether a health check is healthy; unknown and new health checks are."""
    config = route53.health_checks.get(health_check_id, {}).get("config", {})
    if config.get("Type") == "CALCULATED":
        healthy = sum(map(is_healthy, config.get("ChildHealthChecks", []))) >= int(config.get("HealthThreshold", 0))
    else:
        healthy = STATES[health_check_id].healthy if health_check_id in STATES else True
    inverted: bool = config.get("Inverted", False)
    return healthy != inverted  # so a new inverted health check is unhealthy


async def run(ports: dict[str, int], speed: float) -> None:
    """Run all health checks, including those created later, until cancelled."""
    tasks: dict[str, asyncio.Task[None]] = {}
    while True:
        for check_id in list(route53.health_checks):
            if check_id not in tasks:
                STATES[check_id] = State()
                tasks[check_id] = asyncio.create_task(_repeat(check_id, ports, speed))
        for check_id in [check_id for check_id, task in tasks.items() if task.done()]:
            del tasks[check_id]
        await asyncio.sleep(0.1)


async def _repeat(check_id: str, ports: dict[str, int], speed: float) -> None:
    """Send requests, each one interval after the previous response, until the health check is deleted."""
    while check := route53.health_checks.get(check_id):
        config = check["config"]
        if config["Type"].startswith("HTTP"):
            passed, report = await probe(config, ports)
            STATES[check_id].record_result(passed, report, int(config.get("FailureThreshold", 3)))
        await asyncio.sleep(int(config.get("RequestInterval", 30)) / speed)
    STATES.pop(check_id, None)


async def probe(config: dict[str, Any], ports: dict[str, int]) -> tuple[bool, str]:
    """Send one request; return whether it passed, and its status report."""
    try:
        status, body = await asyncio.to_thread(_get, config, ports)
    except (OSError, HTTPException) as error:
        return False, f"Failure: {type(error).__name__}: {error or 'the endpoint did not respond in time'}"
    phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else ""
    status_text = f"HTTP Status Code {status}, {phrase}"
    if not 200 <= status < 400:
        return False, f"Failure: {status_text}"
    wanted = config.get("SearchString", "").encode()
    if config["Type"].endswith("_STR_MATCH") and wanted not in body:
        return False, f"Failure: {status_text}. The search string was not found in the first {SEARCHED_BYTES} bytes"
    return True, f"Success: {status_text}"


def _get(config: dict[str, Any], ports: dict[str, int]) -> tuple[int, bytes]:
    if config["Type"].startswith("HTTPS"):
        connection: HTTPConnection = HTTPSConnection("127.0.0.1", ports["https"], context=UNVERIFIED)
    else:
        connection = HTTPConnection("127.0.0.1", ports["http"])
    connection.timeout = CONNECT_SECONDS
    agent = "Amazon-Route53-Health-Check-Service (sandbox)"
    with closing(connection):
        connection.connect()
        connection.sock.settimeout(RESPONSE_SECONDS)
        headers = {"Host": config["FullyQualifiedDomainName"], "User-Agent": agent, "Connection": "close"}
        connection.request("GET", config.get("ResourcePath", "/"), headers=headers)
        response = connection.getresponse()
        return response.status, response.read(SEARCHED_BYTES)


def install() -> None:
    """Add health checks to CloudFormation, and GetHealthCheckStatus to the API."""
    route53.handle_request.extend(_with_status)
    resource_handlers["AWS::Route53::HealthCheck"] = {
        "create": _create,
        "update": _update,
        "delete": lambda check_id, _properties: route53.health_checks.pop(check_id, None),
    }


def _create(_logical_id: str, properties: dict[str, Any], _stack: str) -> Any:
    check_id, reference = str(uuid.uuid4()), str(uuid.uuid4())
    config = properties["HealthCheckConfig"]
    route53.health_checks[check_id] = {"id": check_id, "caller_reference": reference, "config": config, "version": 1}
    route53.health_check_references[reference] = check_id
    tags = {tag["Key"]: tag["Value"] for tag in properties.get("HealthCheckTags", [])}
    route53.tags[("healthcheck", check_id)] = tags
    return check_id, {"HealthCheckId": check_id}


def _update(check_id: str, _old: dict[str, Any], new: dict[str, Any], _stack: str) -> Any:
    check = route53.health_checks[check_id]
    check.update(config=new["HealthCheckConfig"], version=check["version"] + 1)
    return check_id, {"HealthCheckId": check_id}


async def _with_status(
    handle_other_request: Callable[..., Any], method: str, path: str, headers: Any, body: bytes, query: Any
) -> Any:
    check_id, _, operation = path.partition("/healthcheck/")[2].partition("/")
    if (method, operation) == ("GET", "status") and check_id in route53.health_checks:
        return 200, {"Content-Type": "text/xml"}, _status(STATES.get(check_id, State()))
    return await handle_other_request(method, path, headers, body, query)


def _status(state: State) -> bytes:
    observation = (
        f"<HealthCheckObservation><Region>{CHECKER[1]}</Region><IPAddress>{CHECKER[0]}</IPAddress><StatusReport>"
        f"<Status>{escape(state.report)}</Status><CheckedTime>{state.checked}</CheckedTime>"
        "</StatusReport></HealthCheckObservation>"
    )
    observations = f"<HealthCheckObservations>{observation if state.report else ''}</HealthCheckObservations>"
    name = "GetHealthCheckStatusResponse"
    return f'<{name} xmlns="{route53.xml_namespace}">{observations}</{name}>'.encode()
