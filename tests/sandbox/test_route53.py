"""Route 53 and API Gateway of the sandbox: health checks, routing and domain names."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import dns.message
import dns.query
import dns.rcode
import pytest

from sandbox import Sandbox
from sandbox.ministack import route53
from sandbox.route53 import health_checks, latency, routing
from sandbox.target import session, target_of
from walkthroughs.dns_lookup import resolve
from walkthroughs.walkthrough import Target

pytestmark = pytest.mark.enable_socket
TOKEN = "the token"  # noqa: S105  # no secret
CONFIG = {"Type": "HTTP_STR_MATCH", "FullyQualifiedDomainName": "x", "ResourcePath": "/health", "SearchString": TOKEN}
OK = b"HTTP/1.1 200 OK\r\n\r\n"


def probe(reply: bytes, **config: Any) -> tuple[bool, str]:
    """Return the result of one health check of an endpoint that sends `reply`."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        writer.close()

    async def run() -> tuple[bool, str]:
        server = await asyncio.start_server(respond, "127.0.0.1", 0)
        async with server:
            return await health_checks.probe({**CONFIG, **config}, {"http": server.sockets[0].getsockname()[1]})

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("reply", "passed"),
    [
        (OK + b"before the token after", True),
        (OK + b"." * (5120 - len(TOKEN)) + TOKEN.encode(), True),
        (OK + b"." * (5121 - len(TOKEN)) + TOKEN.encode(), False),
        (OK + b"The Token", False),
        (OK, False),
        (b"HTTP/1.1 302 Found\r\n\r\nthe token", True),
        (b"HTTP/1.1 400 Bad Request\r\n\r\nthe token", False),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\nthe token", False),
        (b"nonsense\r\n\r\n", False),
        (b"", False),
    ],
)
def test_probe_needs_2xx_or_3xx_and_token_in_first_5120_bytes(reply: bytes, passed: bool) -> None:
    assert probe(reply)[0] is passed, probe(reply)[1]


def test_probe_without_search_string_uses_the_status() -> None:
    assert probe(OK, Type="HTTP")[0]


@pytest.mark.reliability(
    "multi_region_api",
    "Lost event or response",
    fault="a dependency or a Region's endpoint rejects connections",
)
def test_health_check_with_refused_connection_fails() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        passed, report = asyncio.run(health_checks.probe(CONFIG, {"http": unused.getsockname()[1]}))
    assert not passed
    assert report.startswith("Failure: "), report


@pytest.mark.reliability(
    "multi_region_api",
    "Delayed or out of order",
    fault="one failed health check between successful ones",
    expected="the status changes only after `failure_threshold` consecutive results",
    observed="with a threshold of two, healthy until the second consecutive failure",
)
def test_threshold_counts_consecutive_results_both_ways() -> None:
    state = health_checks.State()
    statuses = []
    for passed in (True, False, True, False, False, False, True, False, True, True):
        state.record_result(passed, "", threshold=2)
        statuses.append(state.healthy)
    assert statuses == [True, True, True, True, False, False, False, False, False, True]


@pytest.mark.parametrize(
    ("own", "drained", "healthy"),
    [
        (True, (False, False), True),
        (False, (False, False), False),
        (True, (True, False), False),
        (True, (True, True), False),
    ],
)
def test_calculated_check_needs_all_children_and_inverts_drains(
    monkeypatch: pytest.MonkeyPatch, own: bool, drained: tuple[bool, ...], healthy: bool
) -> None:
    endpoints = {"own": False, "drained0": True, "drained1": True}
    checks = {
        name: {"config": {"Type": "HTTPS_STR_MATCH", "Inverted": inverted}} for name, inverted in endpoints.items()
    }
    calculated = {"Type": "CALCULATED", "ChildHealthChecks": list(endpoints), "HealthThreshold": 3, "Inverted": False}
    monkeypatch.setattr(route53, "health_checks", {**checks, "all": {"config": calculated}})
    states = {
        name: health_checks.State(healthy=status) for name, status in zip(endpoints, (own, *drained), strict=True)
    }
    monkeypatch.setattr(health_checks, "STATES", states)
    assert health_checks.is_healthy("all") is healthy


def test_new_inverted_check_is_unhealthy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route53, "health_checks", {"new": {"config": {"Type": "HTTPS", "Inverted": True}}})
    assert not health_checks.is_healthy("new")


def record(region: str, **more: Any) -> dict[str, Any]:
    return {"Name": "api.example.net.", "Type": "A", "Region": region, "HealthCheckId": region, **more}


@pytest.fixture
def set_unhealthy(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def set_regions(*regions: str) -> None:
        monkeypatch.setattr(health_checks, "is_healthy", lambda check_id: check_id not in regions)

    return set_regions


@pytest.mark.parametrize(
    ("client_region", "unhealthy", "selected"),
    [
        ("us-east-1", (), "us-east-1"),
        ("eu-central-1", (), "eu-west-1"),
        ("ap-northeast-1", (), "us-west-2"),
        ("us-east-1", ("us-east-1",), "us-west-2"),
        ("eu-west-2", ("eu-west-1",), "us-east-1"),
        ("us-east-1", ("us-east-1", "us-west-2"), "eu-west-1"),
        ("us-west-1", ("us-east-1", "us-west-2", "eu-west-1"), "us-west-2"),
    ],
)
@pytest.mark.reliability("multi_region_api", "System-specific", fault="every Region is unhealthy")
def test_nearest_healthy_region_is_selected_or_nearest_if_none(
    set_unhealthy: Callable[..., None], client_region: str, unhealthy: tuple[str, ...], selected: str
) -> None:
    set_unhealthy(*unhealthy)
    result = routing.select_record([record(name) for name in ("us-east-1", "us-west-2", "eu-west-1")], client_region)
    assert result
    assert result["Region"] == selected


def test_alias_with_evaluate_target_health_follows_its_target(
    set_unhealthy: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    target_record = {"Name": "east.example.net.", "Type": "A", "TTL": "60", "ResourceRecords": ["192.0.2.200"]}
    zone = {"id": "Z1", "name": "example.net."}
    monkeypatch.setattr(route53, "hosted_zones", {"Z1": zone})
    monkeypatch.setattr(route53, "records", {"Z1": [target_record | {"HealthCheckId": "target"}]})
    records = [record("us-west-2")]
    for evaluates, selected in ((True, "us-west-2"), (False, "us-east-1")):
        alias = {"DNSName": "east.example.net.", "EvaluateTargetHealth": evaluates}
        set_unhealthy("target")
        result = routing.select_record([*records, record("us-east-1", AliasTarget=alias)], "us-east-1")
        assert result
        assert result["Region"] == selected


def test_region_near_client_is_found_by_address() -> None:
    assert [latency.region_near(address) for address in ("3.95.1.2", "35.167.255.255", "203.0.113.1", "")] == [
        "us-east-1", "us-west-2", "us-east-1", "us-east-1",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def target(deployed: Sandbox) -> Target:
    return target_of(deployed)


def rcode(deployed: Sandbox, name: str) -> str:
    response = dns.query.udp(dns.message.make_query(name, "A"), "127.0.0.1", port=deployed.ports["dns"], timeout=60)
    return dns.rcode.to_text(response.rcode())


def test_name_server_refuses_names_outside_its_zones(deployed: Sandbox) -> None:
    assert rcode(deployed, "api.example.com") == "NOERROR"
    assert rcode(deployed, "nothing.example.com") == "NXDOMAIN"
    assert rcode(deployed, "example.org") == "REFUSED"


def test_name_server_survives_an_invalid_query(deployed: Sandbox) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sender:
        sender.sendto(b"nonsense", ("127.0.0.1", deployed.ports["dns"]))
    assert rcode(deployed, "api.example.com") == "NOERROR"


def test_record_with_values_resolves_to_them(deployed: Sandbox, target: Target) -> None:
    client = session(deployed).client("route53")
    zone = client.create_hosted_zone(Name="values.example.com", CallerReference="values")["HostedZone"]["Id"]
    change = {
        "Action": "CREATE",
        "ResourceRecordSet": {
            "Name": "a.values.example.com",
            "Type": "A",
            "TTL": 5,
            "ResourceRecords": [{"Value": "192.0.2.201"}],
        },
    }
    client.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": [change]})
    assert resolve(target, zone, "a.values.example.com", "A", "203.0.113.1") == ["192.0.2.201"]
    assert resolve(target, zone, "a.values.example.com", "AAAA", "203.0.113.1") == []


def test_api_responds_only_in_its_region_and_stage(target: Target) -> None:
    url = target.outputs("MultiRegionApi-us-east-1")["RegionalUrl"]
    assert target.get(f"{url}helloworld").status == 200
    assert target.get(f"{url.replace('us-east-1', 'us-west-2')}helloworld").status == 403
    assert target.get(f"{url.replace('/prod/', '/other/')}helloworld").status == 403


@pytest.mark.reliability(
    "multi_region_api",
    "Malformed input",
    fault="a path or host name that does not exist",
    expected="rejected, with a response that scripts can read",
    observed="403 with CORS headers",
)
def test_custom_domain_needs_base_path_and_errors_have_cors(target: Target) -> None:
    name = urlsplit(target.outputs("MultiRegionApi-us-east-1")["Url"]).netloc
    assert target.get(f"https://{name}/v1/helloworld").status == 200
    assert target.get(f"https://{name}/helloworld").status == 403
    missing = target.get(f"https://{name}/v1/nothing")
    assert (missing.status, missing.headers["access-control-allow-origin"]) == (403, "*")


@pytest.mark.reliability("multi_region_api", "Malformed input", fault="a path or host name that does not exist")
def test_unknown_host_is_rejected(target: Target) -> None:
    assert target.get("https://nobody.example.com/").status == 403
