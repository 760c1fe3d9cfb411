"""Facts about health: who decides, how long it takes, and what cannot look healthy."""

import json
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import example, given, strategies as st

from lambdas.multi_region_api.answer import answer
from lambdas.multi_region_api.health import (
    LONGEST_REASON,
    MOST_THREADS,
    TOKEN,
    Check,
    failures,
    healthy_body,
    judge,
    sick_body,
)

SEARCHED_BYTES = 5120  # of Route 53
ANY_TEXT = st.text() | st.sampled_from([TOKEN, f"x{TOKEN}", TOKEN.upper(), "healthy", "=", "ok", '"', "\\u003d"])


def fails(message: str = "gone") -> Callable[[], None]:
    def ask() -> None:
        raise ConnectionError(message)

    return ask


def passes() -> None:
    pass


@pytest.fixture
def endless() -> Iterator[Callable[[], None]]:
    """A dependency that never answers, until the test is over."""
    over, before = threading.Event(), set(threading.enumerate())
    yield lambda: (over.wait(60), None)[1]
    over.set()
    for asked in set(threading.enumerate()) - before:
        asked.join(10)


def test_region_without_dependencies_is_healthy() -> None:
    assert judge("check", []) == {}


def test_status_ok_is_healthy_whatever_the_dependencies_say() -> None:
    assert judge("ok", [Check("orders", 1, fails())]) == {}


@pytest.mark.parametrize("status", ["fail", "not ok", "okay", "lookup", "healthy", TOKEN, "0"])
@pytest.mark.reliability(
    "multi_region_api",
    "Malformed input",
    fault="`STATUS` is anything but what is known",
    expected="sick",
    observed='"okay" is not "ok"',
)
def test_every_other_status_is_sick_whatever_the_dependencies_say(status: str) -> None:
    assert judge(status, [Check("orders", 1, passes)]) == {"STATUS": f"is {status}"}


@pytest.mark.parametrize("status", ["check", "", " Check "])
@pytest.mark.reliability(
    "multi_region_api",
    "Partial failure",
    fault="one dependency of several fails",
    expected="sick, and the answer names that one",
    observed="that one, and no other",
)
def test_status_check_or_none_leaves_it_to_the_dependencies(status: str) -> None:
    checks = [Check("orders", 1, passes), Check("payments", 1, fails("refused"))]
    assert judge(status, checks) == {"payments": "ConnectionError: refused"}


@pytest.mark.reliability(
    "multi_region_api",
    "Timeout mid-way",
    fault="a dependency never answers, or never ends its answer",
    expected="sick after the check's own time",
    observed="after 0.2 s; other checks are not held up",
)
def test_dependency_that_never_answers_fails_after_its_own_time(endless: Callable[[], None]) -> None:
    started = time.monotonic()
    failed = failures([Check("slow", 0.2, endless), Check("fine", 60, passes), Check("gone", 60, fails())])
    assert time.monotonic() - started < 30
    assert failed == {"slow": "no answer within 0.2 s", "gone": "ConnectionError: gone"}


@pytest.mark.reliability("multi_region_api", "Late", fault="a dependency answers too late")
def test_dependencies_are_asked_side_by_side(endless: Callable[[], None]) -> None:
    started = time.monotonic()
    failed = failures([Check(str(number), 0.5, endless) for number in range(10)])
    assert time.monotonic() - started < 4, "one after the other they take five seconds"
    assert len(failed) == 10


@pytest.mark.reliability(
    "multi_region_api",
    "Late",
    fault="a dependency answers too late",
    expected="it counts as gone: sick",
    observed='"no answer within 0.05 s"',
)
def test_answer_that_comes_too_late_does_not_count() -> None:
    """The time of a check is its own, also while another one is waited for."""
    checks = [Check("late", 0.05, lambda: time.sleep(0.3)), Check("other", 30, lambda: time.sleep(0.6))]
    assert failures(checks) == {"late": "no answer within 0.05 s"}


@pytest.mark.reliability("multi_region_api", "Access denied", fault="the health function may not read a table")
def test_sick_answer_tells_the_world_what_failed_and_nothing_of_why() -> None:
    failed = failures([Check("orders", 1, fails("arn:aws:sts::111111111111:assumed-role/x is not authorized"))])
    assert sick_body("us-east-1", failed)["failed"] == ["orders"]
    assert "111111111111" in failed["orders"], "the log has it"


@pytest.mark.reliability(
    "multi_region_api",
    "Duplicate",
    fault="twenty health checkers ask at once, again and again",
    expected="checks of a dependency that never answers do not pile up",
    observed="a hundred threads at most",
)
def test_checks_that_never_end_do_not_pile_up_for_ever(endless: Callable[[], None]) -> None:
    for _ in range(MOST_THREADS):
        failed = failures([Check("slow", 0.001, endless)])
    assert failed == {"slow": "earlier checks have not ended"}
    assert threading.active_count() <= MOST_THREADS


def test_long_reason_is_cut() -> None:
    (reason,) = failures([Check("orders", 1, fails("x" * 10_000))]).values()
    assert len(reason) == LONGEST_REASON


def test_healthy_answer_has_the_token_where_route_53_looks() -> None:
    body = answer(200, healthy_body("us-east-1"), "*")["body"]
    assert TOKEN.encode() in body.encode()[:SEARCHED_BYTES]


@given(st.text(), st.lists(ANY_TEXT))
@example("us-east-1", [TOKEN])
@example("us-east-1", [TOKEN[:10], TOKEN[10:]])
@pytest.mark.reliability(
    "multi_region_api",
    "Hostile input",
    fault="a dependency whose name or error has the token in it",
    expected="a sick answer never has it",
    observed="with any names and errors",
)
def test_sick_answer_never_has_the_token(region: str, failed: list[str]) -> None:
    body = answer(503, sick_body(region.replace("=", ""), failed), "*")["body"]
    assert TOKEN not in body
    assert json.loads(body)["health"] == "sick"


@given(ANY_TEXT, st.lists(st.tuples(ANY_TEXT, ANY_TEXT)))
@pytest.mark.reliability(
    "multi_region_api",
    "Hostile input",
    fault="a dependency whose name or error has the token in it",
)
def test_whatever_fails_with_whatever_words_is_sick(status: str, dependencies: list[tuple[str, str]]) -> None:
    checks = [Check(name, 1, fails(message)) for name, message in dependencies]
    failed = judge(status, checks)
    if status.strip().lower() == "ok":
        assert not failed
    elif checks or status.strip().lower() not in ("", "check"):
        assert failed
        assert TOKEN not in answer(503, sick_body("us-east-1", failed), "*")["body"]


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
    "Timeout mid-way",
    fault="the health function itself runs out of time or fails",
    expected="what API Gateway answers then is not healthy",
    observed="it has no token; another region takes over",
)
def test_bodies_of_api_gateway_and_lambda_do_not_have_the_token(body: str) -> None:
    assert TOKEN not in body
