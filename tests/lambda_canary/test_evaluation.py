"""The evaluation of a step: the figures it reads, and what follows from them."""

from typing import Any

import pytest

from lambdas.lambda_canary.check import plan
from lambdas.lambda_canary.config import Config
from lambdas.lambda_canary.errors import AliasChangedError
from lambdas.lambda_canary.evaluation import Evaluation, EvaluationEvent, evaluate_step
from lambdas.lambda_canary.metrics import Window, read_figures

from .fake_aws import ARN, FakeCloudWatch, FakeLambda
from .rollouts import CONFIG, config

START = 1_795_000_030.5


def evaluate(
    cloudwatch: FakeCloudWatch, settings: Config = CONFIG, client: FakeLambda | None = None, **changes: Any
) -> Evaluation:
    client = client or FakeLambda()
    found = plan(
        client,
        FakeCloudWatch(alarms=dict.fromkeys(settings.targets[0].alarms, "OK")),
        settings,
        {"version": "2"},
        "run",
    )
    event: EvaluationEvent = {"plan": found, "weight": 0.25, "revision": "r0", "shiftedAt": START, "evaluation": 1}
    return evaluate_step(client, cloudwatch, settings, event | changes, START + 125)  # type: ignore[arg-type]


def calls(new: tuple[int, int], old: tuple[int, int] = (900, 0), new_p95: float = 30.0) -> FakeCloudWatch:
    cloudwatch = FakeCloudWatch()
    cloudwatch.set_calls("2", *new, p95=new_p95)
    cloudwatch.set_calls("1", *old)
    return cloudwatch


def test_line_has_the_figures_of_both_versions() -> None:
    assert evaluate(calls((300, 60)))["line"] == (
        "25%: version 2 failed 60 of 300 calls (20.0%, p95 30 ms); version 1 failed 0 of 900 calls (0.0%, p95 30 ms). "
        "Fail: the error rate rose by at least 14.7% (error_margin: 5.0%)"
    )


@pytest.mark.parametrize(
    ("cloudwatch", "decision"),
    [(calls((300, 0)), "pass"), (calls((300, 60)), "fail"), (calls((300, 0), new_p95=99.0), "fail")],
)
def test_decision_follows_from_the_figures(cloudwatch: FakeCloudWatch, decision: str) -> None:
    assert evaluate(cloudwatch)["decision"] == decision


@pytest.mark.reliability(
    "lambda_canary",
    "Delayed or out of order",
    fault="Nobody calls the function, or its metrics are late",
    expected="No data is not health: the rollout waits, and then calls the version itself or is rolled back, as set",
    observed="`wait` up to `max_wait`, then `synthetic` or `undecided`",
)
@pytest.mark.parametrize(
    ("number", "synthetic_calls", "decision"),
    [(1, 0, "wait"), (2, 0, "wait"), (3, 0, "undecided"), (3, 200, "synthetic"), (9, 200, "synthetic")],
)
def test_too_few_calls_wait_and_then_end_as_set(number: int, synthetic_calls: int, decision: str) -> None:
    assert (
        evaluate(FakeCloudWatch(), config(synthetic_calls=synthetic_calls), evaluation=number)["decision"] == decision
    )


@pytest.mark.parametrize(("number", "decision"), [(1, "wait"), (2, "undecided")])
def test_max_wait_also_limits_functions_with_a_long_timeout(number: int, decision: str) -> None:
    """With an interval of 360 seconds instead of 120, a `max_wait` of 400 seconds allows one more evaluation."""
    client = FakeLambda()
    client.versions["2"]["Timeout"] = 300
    assert evaluate(FakeCloudWatch(), config(max_wait=400), client, evaluation=number)["decision"] == decision


def test_window_ends_a_timeout_ago() -> None:
    """Metrics have the time of the call's start, and arrive at its end: later calls would only show the fast ones."""
    client = FakeLambda()
    client.versions["1"]["Timeout"], client.versions["2"]["Timeout"] = 60, 30
    cloudwatch = FakeCloudWatch()
    evaluate(cloudwatch, client=client)
    assert cloudwatch.requests[0]["EndTime"].timestamp() == START // 60 * 60 + 120


@pytest.mark.parametrize(
    ("errors", "decision"), [((0, 0), "pass"), ((40, 0), "fail"), ((40, 40), "undecided"), ((4, 0), "undecided")]
)
def test_synthetic_calls_are_added_to_the_figures(errors: tuple[int, int], decision: str) -> None:
    results = {version: {"calls": 200, "errors": count} for version, count in zip(("2", "1"), errors, strict=True)}
    found = evaluate(calls((10, 0), (30, 0)), config(synthetic_calls=200), synthetic=results, evaluation=4)
    assert found["decision"] == decision
    assert "with synthetic calls: version 2 failed" in found["line"]
    assert "of 210 calls" in found["line"]


@pytest.mark.reliability(
    "lambda_canary",
    "Deleted externally",
    fault="An alarm of the settings is deleted during a rollout",
    expected="The rollout is rolled back, because nothing watches the version",
    observed="The step fails with the name of the alarm",
)
def test_deleted_alarm_fails_the_step() -> None:
    found = evaluate(calls((300, 0)), config("Orders"))
    assert found["decision"] == "fail"
    assert "alarms deleted: Orders" in found["line"]


def test_alarm_that_goes_on_fails_the_step() -> None:
    cloudwatch = calls((300, 0))
    cloudwatch.alarms = {"Orders": "ALARM", "Latency": "INSUFFICIENT_DATA"}
    found = evaluate(cloudwatch, config("Orders", "Latency"))
    assert found["decision"] == "fail"
    assert "in ALARM: Orders" in found["line"]


@pytest.mark.reliability("lambda_canary", "System-specific", fault="Somebody else changes the alias during a rollout")
def test_foreign_change_is_found_by_the_next_evaluation() -> None:
    with pytest.raises(AliasChangedError, match="Somebody else changed the alias"):
        evaluate(calls((300, 0)), revision="r7")


def test_window_has_whole_minutes_that_contain_the_step() -> None:
    window = Window(START, START + 125)
    assert window.seconds % 60 == 0
    assert window.times["StartTime"].timestamp() <= START < START + 125 < window.times["EndTime"].timestamp()
    assert window.times["EndTime"].timestamp() - window.times["StartTime"].timestamp() == window.seconds == 180


def test_figures_are_summed_over_minutes_and_pages() -> None:
    cloudwatch = FakeCloudWatch(page_size=1)
    cloudwatch.values = {
        ("Invocations", "Sum", "2"): [10.0, 20.0],
        ("Errors", "Sum", "2"): [1.0],
        ("Duration", "p95", "2"): [100.0, 40.0],  # a window that CloudWatch divides into two periods
        ("Duration", "SampleCount", "2"): [10.0, 20.0],
    }
    new, old, throttling = read_figures(cloudwatch, ARN, "live", ("2", "1"), Window(START, START + 125))
    assert (new.calls, new.errors, new.p95_ms) == (30, 1, 60.0)
    assert (old.calls, old.errors, old.p95_ms, throttling.throttles) == (0, 0, None, 0)


@pytest.mark.reliability(
    "lambda_canary",
    "Delayed or out of order",
    fault="The errors of a minute arrive before its invocations",
    expected="The figures stay valid",
    observed="There are never fewer calls than errors",
)
def test_errors_without_invocations_count_as_calls() -> None:
    cloudwatch = FakeCloudWatch()
    cloudwatch.values = {("Errors", "Sum", "2"): [10.0], ("Invocations", "Sum", "2"): [4.0]}
    new, _, _ = read_figures(cloudwatch, ARN, "live", ("2", "1"), Window(START, START + 125))
    assert (new.calls, new.errors) == (10, 10)


def test_figures_need_one_request_with_one_period_for_percentiles() -> None:
    cloudwatch = FakeCloudWatch()
    read_figures(cloudwatch, ARN, "live", ("2", "1"), Window(START, START + 125))
    (request,) = cloudwatch.requests
    periods = {query["MetricStat"]["Stat"]: query["MetricStat"]["Period"] for query in request["MetricDataQueries"]}
    assert periods == {"Sum": 60, "p95": 180, "SampleCount": 180}
