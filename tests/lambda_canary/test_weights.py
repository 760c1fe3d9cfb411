"""Weights of the new version: whole percents that grow, and end in 1."""

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from lambdas.lambda_canary.weights import MAX_STEPS, PERCENT, RolloutType, weights

TYPES: tuple[RolloutType, ...] = ("linear", "exponential", "canary", "all_at_once")
percents = st.integers(1, 50).map(lambda percent: Decimal(percent) / 100)


def percentages(rollout_type: RolloutType, steps: int = 10, first: str = "0.05") -> list[int]:
    return [int(weight * 100) for weight in weights(rollout_type, steps, Decimal(first))]


@pytest.mark.parametrize(
    ("rollout_type", "steps", "expected"),
    [
        ("linear", 10, [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]),
        ("linear", 3, [33, 67, 100]),  # the original post: 0.33, 0.67, 1.0, which ends only because of rounding
        ("linear", 2, [50, 100]),
        ("exponential", 5, [5, 11, 22, 47, 100]),
        ("canary", 10, [5, 100]),
        ("all_at_once", 10, [100]),
    ],
)
def test_weights_of_each_type(rollout_type: RolloutType, steps: int, expected: list[int]) -> None:
    assert percentages(rollout_type, steps) == expected


def test_exponential_weights_that_round_alike_are_one_step() -> None:
    assert percentages("exponential", 20, "0.01") == [1, 2, 3, 4, 5, 7, 9, 11, 14, 18, 23, 30, 38, 48, 62, 78, 100]


@given(st.sampled_from(TYPES), st.integers(2, MAX_STEPS), percents)
def test_weights_are_growing_whole_percents_that_end_in_one(
    rollout_type: RolloutType, steps: int, first: Decimal
) -> None:
    found = weights(rollout_type, steps, first)
    assert found[-1] == 1
    assert all(earlier < later for earlier, later in pairwise((Decimal(0), *found)))
    assert all(weight % PERCENT == 0 for weight in found)
    assert len(found) <= steps
    assert all(Decimal(str(float(weight))) == weight for weight in found), "Lambda receives another number"
