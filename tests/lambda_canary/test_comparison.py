"""The comparison of two versions: its bounds, its decisions, and its error rates by simulation."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from bench.canary_simulation import PROMOTED, ROLLED_BACK, Scenario, outcomes, post_rule, project_rule
from lambdas.lambda_canary.comparison import (
    ERROR_PROBABILITY,
    Criteria,
    Figures,
    Throttling,
    compare,
    deviations,
    increase_bounds,
    needed_calls,
    wilson,
)

CRITERIA = Criteria(minimum_calls=50, error_margin=0.02, duration_ratio=2.0, evaluations=16, steps=9)
LINEAR = tuple(step / 10 for step in range(1, 10))
ROLLOUTS = 300


def test_wilson_interval_matches_published_example() -> None:
    # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3: 81 of 263 is 0.2553 to 0.3662; 1 of 29.
    assert wilson(81, 263, deviations(0.025)) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 0, deviations(0.025)) == (0.0, 1.0), "without calls, nothing is known"
    assert wilson(1, 29, deviations(0.025)) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_increase_bounds_match_published_example() -> None:
    # Newcombe 1998, Statistics in Medicine 17:873, table II, method 10: 56/70 - 48/80 is 0.0524 to 0.3339.
    z = deviations(0.025)
    found = increase_bounds(Figures(70, 56), Figures(80, 48), lower_z=z, upper_z=z)
    assert found == pytest.approx((0.0524, 0.3339), abs=5e-5)


@pytest.mark.parametrize(
    ("new", "old", "decision"),
    [
        (Figures(1000, 0), Figures(9000, 0), "pass"),
        (Figures(1000, 10), Figures(9000, 90), "pass"),  # a fault that both have, for example of a dependency
        (Figures(1000, 200), Figures(9000, 1800), "wait"),  # both fail often: the same, but not yet certain
        (Figures(100, 20), Figures(900, 0), "fail"),
        (Figures(5, 0), Figures(95, 0), "wait"),  # the original post calls this healthy
        (Figures(100, 0), Figures(900, 0), "wait"),  # above minimum_calls, but an increase of 5 % is possible
        (Figures(10, 10), Figures(90, 0), "fail"),  # a clear fault needs no minimum
        (Figures(1, 1), Figures(99, 0), "wait"),  # one failed call can be chance, two of two cannot
        (Figures(2, 2), Figures(98, 0), "fail"),
        (Figures(0, 0), Figures(0, 0), "wait"),
        (Figures(1000, 0), Figures(0, 0), "wait"),
        (Figures(1000, 10), Figures(9000, 900), "pass"),  # it repairs a fault: no absolute alarm can block it
    ],
)
def test_versions_are_compared_by_the_increase_of_the_error_rate(new: Figures, old: Figures, decision: str) -> None:
    assert compare(new, old, CRITERIA).decision == decision


@pytest.mark.reliability(
    "lambda_canary",
    "System-specific",
    fault="A version is slower than the old one",
    expected="The rollout is rolled back",
    observed="A ratio of 95th percentiles above `duration_ratio` fails the step, when it has the calls to pass",
)
@pytest.mark.parametrize(
    ("calls", "p95", "decision"),
    [(1000, 90.0, "fail"), (1000, 79.0, "pass"), (100, 90.0, "wait"), (1000, None, "pass")],
)
def test_slower_version_fails(calls: int, p95: float | None, decision: str) -> None:
    assert compare(Figures(calls, 0, p95), Figures(9000, 0, 40.0), CRITERIA).decision == decision


@pytest.mark.reliability(
    "lambda_canary",
    "Throttling",
    fault="Lambda throttles calls of the alias during the rollout",
    expected="The rollout is rolled back, except if it was so before",
    observed="A throttled share that is larger than before the rollout fails the step",
)
@pytest.mark.parametrize(
    ("before", "now", "decision"),
    [
        (Throttling(10000, 0), Throttling(10000, 1000), "fail"),
        (Throttling(10000, 1000), Throttling(10000, 1000), "pass"),
        (Throttling(0, 0), Throttling(10000, 1000), "fail"),
        (Throttling(10000, 0), Throttling(10000, 1), "pass"),
    ],
)
def test_throttled_alias_fails(before: Throttling, now: Throttling, decision: str) -> None:
    assert compare(Figures(1000), Figures(9000), CRITERIA, before, now).decision == decision


def test_needed_calls_are_the_fewest_with_which_a_step_passes() -> None:
    calls = needed_calls(CRITERIA)
    assert compare(Figures(calls), Figures(9 * calls), CRITERIA).decision == "pass"
    assert compare(Figures(calls - 1), Figures(9 * calls), CRITERIA).decision == "wait"


@given(st.integers(1, 400), st.integers(1, 400), st.integers(0, 400), st.data())
def test_more_errors_never_improve_the_decision(
    new_calls: int, old_calls: int, old_errors: int, data: st.DataObject
) -> None:
    old = Figures(old_calls, min(old_errors, old_calls))
    order = ["pass", "wait", "fail"]
    errors = sorted(data.draw(st.lists(st.integers(0, new_calls), min_size=2, max_size=5)))
    found = [order.index(compare(Figures(new_calls, count), old, CRITERIA).decision) for count in errors]
    assert all(earlier <= later for earlier, later in pairwise(found))


@pytest.mark.parametrize(("old_rate", "increase"), [(0.0, 0.03), (0.01, 0.03), (0.05, 0.04), (0.0, 0.2)])
def test_broken_version_is_promoted_at_most_with_the_error_probability(old_rate: float, increase: float) -> None:
    scenario = Scenario(1000, old_rate, old_rate + increase, LINEAR)
    assert outcomes(project_rule, scenario, CRITERIA, ROLLOUTS)[PROMOTED] <= ERROR_PROBABILITY


def test_version_at_the_margin_passes_a_step_at_most_with_the_error_probability() -> None:
    """The hardest case: one step, and an increase just above the margin."""
    scenario = Scenario(1000, 0.01, 0.0301, (0.5,))
    assert outcomes(project_rule, scenario, CRITERIA, 1000)[PROMOTED] <= ERROR_PROBABILITY


@pytest.mark.parametrize("rate", [0.0, 0.001, 0.01, 0.05])
def test_good_version_is_rolled_back_at_most_with_the_error_probability(rate: float) -> None:
    found = outcomes(project_rule, Scenario(1000, rate, rate, LINEAR), CRITERIA, ROLLOUTS)
    assert found[ROLLED_BACK] <= ERROR_PROBABILITY


@pytest.mark.parametrize("calls", [20, 100])
def test_good_version_with_a_handful_of_calls_is_rarely_rolled_back(calls: int) -> None:
    """Where the interval is least exact: one step at 1 %, and five of a hundred calls of both versions fail."""
    criteria = replace(CRITERIA, steps=1)
    found = outcomes(project_rule, Scenario(calls, 0.05, 0.05, (0.01,)), criteria, 2000)
    assert found[ROLLED_BACK] <= ERROR_PROBABILITY


def test_rule_of_the_post_errs_both_ways() -> None:
    steps = (*LINEAR, 1.0)
    few = outcomes(post_rule, Scenario(10, 0.0, 0.05, steps), CRITERIA, 1000)
    assert few[PROMOTED] > 0.2, "one broken version of five is promoted if there are few calls"
    assert outcomes(project_rule, Scenario(10, 0.0, 0.05, LINEAR), CRITERIA, ROLLOUTS)[PROMOTED] == 0
    many = outcomes(post_rule, Scenario(1000, 0.01, 0.01, steps), CRITERIA, 1000)
    assert many[ROLLED_BACK] > 0.99, "no version is promoted if one call of a hundred fails anyway"
    assert outcomes(project_rule, Scenario(1000, 0.01, 0.01, LINEAR), CRITERIA, ROLLOUTS)[PROMOTED] > 0.95


def test_chance_that_the_post_sees_no_error_in_one_step_is_as_computed() -> None:
    """5 % of 100 calls fail at 5 %, and all are read: no error with 0.95 ** 5 = 0.77; with only half read, 0.88."""
    found = outcomes(post_rule, Scenario(100, 0.0, 0.05, (0.05,)), CRITERIA, 20_000)
    assert found[PROMOTED] == pytest.approx((1 - 0.05 * 0.05 * 0.5) ** 100, abs=0.01)
