"""Facts about the sandbox's Route 53 and API Gateway: what is healthy, and what a name leads to."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import dns.message
import dns.query
import dns.rcode
import pytest
from ministack.services import route53

from sandbox import Sandbox
from sandbox.route53 import answers, checks, places
from sandbox.target import session, target_of
from walkthroughs.dns_lookup import resolve
from walkthroughs.walkthrough import Target

pytestmark = pytest.mark.enable_socket
TOKEN = "the token"  # noqa: S105  # no secret
CONFIG = {"Type": "HTTP_STR_MATCH", "FullyQualifiedDomainName": "x", "ResourcePath": "/health", "SearchString": TOKEN}
OK = b"HTTP/1.1 200 OK\r\n\r\n"


def probed(reply: bytes, **config: Any) -> tuple[bool, str]:
    """The result of one request to an endpoint that sends `reply`."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        writer.close()

    async def run() -> tuple[bool, str]:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            return await checks.probe({**CONFIG, **config}, {"http": server.sockets[0].getsockname()[1]})

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("reply", "passed"),
    [
        (OK + b"say the token aloud", True),
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
def test_endpoint_passes_with_2xx_or_3xx_and_the_string_in_the_first_5120_bytes(reply: bytes, passed: bool) -> None:
    assert probed(reply)[0] is passed, probed(reply)[1]


def test_without_a_search_string_the_status_decides() -> None:
    assert probed(OK, Type="HTTP")[0]


@pytest.mark.reliability(
    "multi_region_api",
    "Lost",
    fault="nobody listens at a dependency's address, or at the region's",
)
def test_endpoint_to_which_nobody_listens_fails() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        passed, report = asyncio.run(checks.probe(CONFIG, {"http": taken.getsockname()[1]}))
    assert not passed
    assert report.startswith("Failure: "), report


@pytest.mark.reliability(
    "multi_region_api",
    "Late",
    fault="one bad result between good ones",
    expected="only the threshold's number in a row counts",
    observed="with a threshold of two, healthy until the second in a row",
)
def test_threshold_counts_results_in_a_row_in_both_directions() -> None:
    state = checks.State()
    seen = []
    for passed in (True, False, True, False, False, False, True, False, True, True):
        state.take(passed, "", threshold=2)
        seen.append(state.healthy)
    assert seen == [True, True, True, True, False, False, False, False, False, True]


def record(region: str, **more: Any) -> dict[str, Any]:
    return {"Name": "api.example.net.", "Type": "A", "Region": region, "HealthCheckId": region, **more}


@pytest.fixture
def sick(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def make(*regions: str) -> None:
        monkeypatch.setattr(checks, "is_healthy", lambda check_id: check_id not in regions)

    return make


@pytest.mark.parametrize(
    ("caller", "unhealthy", "chosen"),
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
@pytest.mark.reliability("multi_region_api", "Only here", fault="every region is sick")
def test_nearest_healthy_region_is_chosen_and_the_nearest_when_none_is(
    sick: Callable[..., None], caller: str, unhealthy: tuple[str, ...], chosen: str
) -> None:
    sick(*unhealthy)
    found = answers.choose([record(region) for region in ("us-east-1", "us-west-2", "eu-west-1")], caller)
    assert found
    assert found["Region"] == chosen


def test_alias_that_evaluates_its_targets_health_is_as_sick_as_the_target(
    sick: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    behind = {"Name": "east.example.net.", "Type": "A", "TTL": "60", "ResourceRecords": ["192.0.2.200"]}
    zone = {"id": "Z1", "name": "example.net."}
    monkeypatch.setattr(route53, "_zones", {"Z1": zone})
    monkeypatch.setattr(route53, "_records", {"Z1": [behind | {"HealthCheckId": "behind"}]})
    records = [record("us-west-2")]
    for evaluates, chosen in ((True, "us-west-2"), (False, "us-east-1")):
        alias = {"DNSName": "east.example.net.", "EvaluateTargetHealth": evaluates}
        sick("behind")
        found = answers.choose([*records, record("us-east-1", AliasTarget=alias)], "us-east-1")
        assert found
        assert found["Region"] == chosen


def test_caller_is_placed_by_its_address() -> None:
    assert [places.region_of(address) for address in ("3.95.1.2", "35.167.255.255", "203.0.113.1", "")] == [
        "us-east-1", "us-west-2", "us-east-1", "us-east-1",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def target(deployed: Sandbox) -> Target:
    return target_of(deployed)


def rcode(deployed: Sandbox, name: str) -> str:
    answer = dns.query.udp(dns.message.make_query(name, "A"), "127.0.0.1", port=deployed.ports["dns"], timeout=60)
    return dns.rcode.to_text(answer.rcode())


def test_name_server_knows_its_zones_and_no_others(deployed: Sandbox) -> None:
    assert rcode(deployed, "api.example.com") == "NOERROR"
    assert rcode(deployed, "nothing.example.com") == "NXDOMAIN"
    assert rcode(deployed, "example.org") == "REFUSED"


def test_name_server_goes_on_after_nonsense(deployed: Sandbox) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sender:
        sender.sendto(b"nonsense", ("127.0.0.1", deployed.ports["dns"]))
    assert rcode(deployed, "api.example.com") == "NOERROR"


def test_records_with_values_are_answered_with_them(deployed: Sandbox, target: Target) -> None:
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


def test_api_answers_at_its_own_region_and_stage_only(target: Target) -> None:
    url = target.outputs("MultiRegionApi-us-east-1")["RegionalUrl"]
    assert target.get(f"{url}helloworld").status == 200
    assert target.get(f"{url.replace('us-east-1', 'us-west-2')}helloworld").status == 403
    assert target.get(f"{url.replace('/prod/', '/other/')}helloworld").status == 404


@pytest.mark.reliability(
    "multi_region_api",
    "Malformed input",
    fault="a path or a host that does not exist",
    expected="refused, with an answer that a page's script can read",
    observed="403 with CORS headers",
)
def test_custom_domain_answers_below_its_base_path_only_and_errors_can_be_read_by_pages(target: Target) -> None:
    name = urlsplit(target.outputs("MultiRegionApi-us-east-1")["Url"]).netloc
    assert target.get(f"https://{name}/v1/helloworld").status == 200
    assert target.get(f"https://{name}/helloworld").status == 403
    missing = target.get(f"https://{name}/v1/nothing")
    assert (missing.status, missing.headers["access-control-allow-origin"]) == (403, "*")


@pytest.mark.reliability("multi_region_api", "Malformed input", fault="a path or a host that does not exist")
def test_host_that_nobody_has_is_refused(target: Target) -> None:
    assert target.get("https://nobody.example.com/").status == 403
