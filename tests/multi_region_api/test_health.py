"""Health of a Region: STATUS, dependencies with their timeouts, and the token."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping

import pytest
from hypothesis import example, given, strategies as st

from lambdas.multi_region_api.health import (
    MAX_REASON_CHARACTERS,
    MAX_THREADS,
    TOKEN,
    DependencyCheck,
    check_dependencies,
    evaluate,
    healthy_body,
    unhealthy_body,
)
from lambdas.multi_region_api.responses import ProxyEvent, json_response

SEARCHED_BYTES = 5120  # by Route 53
ANY_TEXT = st.text() | st.sampled_from([TOKEN, f"x{TOKEN}", TOKEN.upper(), "healthy", "=", "ok", '"', "\\u003d"])


def respond(status: int, body: Mapping[str, object]) -> str:
    """Return the body of the response of a Region."""
    event: ProxyEvent = {"headers": None, "pathParameters": {}, "requestContext": {"requestId": "r-1"}}
    return json_response(status, body, event, region="us-east-1", allowed_origins=["*"])["body"]


def fails(message: str = "gone") -> Callable[[], None]:
    def check() -> None:
        raise ConnectionError(message)

    return check


def passes() -> None:
    pass


@pytest.fixture
def endless() -> Iterator[Callable[[], None]]:
    """Return a check that does not end before the test does."""
    stop, before = threading.Event(), set(threading.enumerate())
    yield lambda: (stop.wait(60), None)[1]
    stop.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(10)


def test_region_without_dependencies_is_healthy() -> None:
    assert evaluate("check", []) == {}


def test_status_ok_overrides_failed_dependencies() -> None:
    assert evaluate("ok", [DependencyCheck("orders", 1, fails())]) == {}


@pytest.mark.parametrize("status", ["fail", "not ok", "okay", "lookup", "healthy", TOKEN, "0"])
@pytest.mark.reliability(
    "multi_region_api",
    "Malformed input",
    fault="`STATUS` has an unknown value",
    expected="unhealthy",
    observed='"okay" is not "ok"',
)
def test_unknown_status_is_unhealthy_without_checks(status: str) -> None:
    assert evaluate(status, [DependencyCheck("orders", 1, passes)]) == {"STATUS": f"is {status}"}


@pytest.mark.parametrize("status", ["check", "", " Check "])
@pytest.mark.reliability(
    "multi_region_api",
    "Partial failure",
    fault="one dependency of several fails",
    expected="unhealthy, and the response names it",
    observed="only the failed one is named",
)
def test_status_check_or_empty_checks_dependencies(status: str) -> None:
    dependencies = [DependencyCheck("orders", 1, passes), DependencyCheck("payments", 1, fails("refused"))]
    assert evaluate(status, dependencies) == {"payments": "ConnectionError: refused"}


@pytest.mark.reliability(
    "multi_region_api",
    "Timeout",
    fault="a dependency never responds, or never ends its response",
    expected="unhealthy after its timeout",
    observed="after 0.2 s; other checks are not delayed",
)
def test_endless_check_fails_after_its_timeout(endless: Callable[[], None]) -> None:
    started = time.monotonic()
    failed = check_dependencies(
        [
            DependencyCheck("slow", 0.2, endless),
            DependencyCheck("fine", 60, passes),
            DependencyCheck("gone", 60, fails()),
        ]
    )
    assert time.monotonic() - started < 30
    assert failed == {"slow": "no response within 0.2 s", "gone": "ConnectionError: gone"}


@pytest.mark.reliability("multi_region_api", "Delayed or out of order", fault="a dependency responds too late")
def test_dependencies_are_checked_in_parallel(endless: Callable[[], None]) -> None:
    started = time.monotonic()
    failed = check_dependencies([DependencyCheck(str(number), 0.5, endless) for number in range(40)])
    assert time.monotonic() - started < 15, "in sequence they take 20 s"
    assert len(failed) == 40


@pytest.mark.reliability(
    "multi_region_api",
    "Delayed or out of order",
    fault="a dependency responds too late",
    expected="it counts as failed, and the Region is unhealthy",
    observed='"no response within 0.05 s"',
)
def test_late_check_fails_while_others_run() -> None:
    """The timeout of a check applies even while another one takes longer."""
    dependencies = [
        DependencyCheck("late", 0.05, lambda: time.sleep(0.3)),
        DependencyCheck("other", 30, lambda: time.sleep(0.6)),
    ]
    assert check_dependencies(dependencies) == {"late": "no response within 0.05 s"}


@pytest.mark.reliability(
    "multi_region_api", "Access denied", fault="the health function is not allowed to read a table"
)
def test_unhealthy_body_has_names_without_reasons() -> None:
    failed = check_dependencies(
        [DependencyCheck("orders", 1, fails("arn:aws:sts::111111111111:assumed-role/x is not authorized"))]
    )
    assert unhealthy_body("us-east-1", failed)["failed"] == ["orders"]
    assert "111111111111" in failed["orders"], "it is in the log"


@pytest.mark.reliability(
    "multi_region_api",
    "Duplicate",
    fault="twenty health checkers call at once, repeatedly",
    expected="checks that never end do not pile up",
    observed="at most 100 threads",
)
def test_endless_checks_do_not_exceed_max_threads(endless: Callable[[], None]) -> None:
    for _ in range(MAX_THREADS):
        failed = check_dependencies([DependencyCheck("slow", 0.001, endless)])
    assert failed == {"slow": "earlier checks have not ended"}
    assert threading.active_count() <= MAX_THREADS


@pytest.mark.parametrize(("running", "failed"), [(MAX_THREADS - 1, {}), (MAX_THREADS, {"orders"})])
def test_checks_use_up_to_max_threads(monkeypatch: pytest.MonkeyPatch, running: int, failed: set[str]) -> None:
    monkeypatch.setattr("lambdas.multi_region_api.health.active_count", lambda: running)
    assert check_dependencies([DependencyCheck("orders", 5, passes)]).keys() == set(failed)


def test_endless_check_does_not_keep_the_process(endless: Callable[[], None]) -> None:
    before = set(threading.enumerate())
    check_dependencies([DependencyCheck("slow", 0.001, endless)])
    assert all(thread.daemon for thread in set(threading.enumerate()) - before)


def test_token_marker_is_removed_from_names() -> None:
    assert unhealthy_body("us-east-1", ["a=b"])["failed"] == ["a b"]


def test_long_reason_is_truncated() -> None:
    (reason,) = check_dependencies([DependencyCheck("orders", 1, fails("x" * 10_000))]).values()
    assert len(reason) == MAX_REASON_CHARACTERS


def test_healthy_body_has_token_in_searched_bytes() -> None:
    body = respond(200, healthy_body("us-east-1"))
    assert TOKEN.encode() in body.encode()[:SEARCHED_BYTES]


@given(st.text(), st.lists(ANY_TEXT))
@example("us-east-1", [TOKEN])
@example("us-east-1", [TOKEN[:10], TOKEN[10:]])
@pytest.mark.reliability(
    "multi_region_api",
    "Hostile input",
    fault="a dependency whose name or error contains the token",
    expected="the response of an unhealthy Region never contains it",
    observed="with generated names and errors",
)
def test_unhealthy_body_never_contains_token(region: str, failed: list[str]) -> None:
    body = respond(503, unhealthy_body(region.replace("=", ""), failed))
    assert TOKEN not in body
    assert json.loads(body)["health"] == "unhealthy"


@given(ANY_TEXT, st.lists(st.tuples(ANY_TEXT, ANY_TEXT)))
@pytest.mark.reliability(
    "multi_region_api",
    "Hostile input",
    fault="a dependency whose name or error contains the token",
)
def test_any_failure_with_any_error_is_unhealthy(status: str, errors: list[tuple[str, str]]) -> None:
    dependencies = [DependencyCheck(name, 1, fails(message)) for name, message in errors]
    failed = evaluate(status, dependencies)
    if status.strip().lower() == "ok":
        assert not failed
    elif dependencies or status.strip().lower() not in ("", "check"):
        assert failed
        assert TOKEN not in respond(503, unhealthy_body("us-east-1", failed))


@pytest.mark.parametrize(
    "body",
    [
        '{"message": "Internal server error"}',
        '{"message": "Endpoint request timed out"}',
        '{"message": "Missing Authentication Token"}',
        '{"message": "Too Many Requests"}',
        '{"message":"Forbidden"}',
        '{"errorMessage": "Task timed out after 3.00 seconds"}',
        "not ok",
        "lookup",
    ],
)
@pytest.mark.reliability(
    "multi_region_api",
    "Timeout",
    fault="the health function times out or fails",
    expected="the error response of API Gateway is unhealthy",
    observed="it has no token; another Region takes over",
)
def test_error_bodies_of_api_gateway_do_not_contain_token(body: str) -> None:
    assert TOKEN not in body
