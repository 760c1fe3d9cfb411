"""Simulate rollouts of `lambda_canary`, by its rule and by that of the original post.

The calls of each interval are divided between the versions by the weight, and fail independently. The post's rule
reads the errors of the last 60 seconds of an interval of 120, and any error of the new version rolls it back.
"""

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from lambdas.lambda_canary.comparison import Criteria, Figures, compare

ROLLED_BACK, UNDECIDED, PROMOTED = "rolled back", "undecided", "promoted"
SEEN_SHARE = 0.5  # of an interval, by the post's rule


@dataclass(frozen=True)
class Scenario:
    """Calls of the alias per interval, and the error rates of the versions."""

    calls: int
    old_rate: float
    new_rate: float
    weights: Sequence[float]


def binomial(generator: random.Random, count: int, probability: float) -> int:
    """Return how many of `count` independent calls happen with `probability`, by their geometric distances."""
    if probability <= 0:
        return 0
    if probability >= 1:
        return count
    events, position = 0, 0
    scale, uniform, log = math.log1p(-probability), generator.random, math.log
    while True:
        position += 1 + int(log(1 - uniform()) / scale)
        if position > count:
            return events
        events += 1


@cache
def _decision(new: Figures, old: Figures, criteria: Criteria) -> str:
    return compare(new, old, criteria).decision


def project_rule(scenario: Scenario, criteria: Criteria, generator: random.Random) -> str:
    """Evaluate each step up to `criteria.evaluations` times, by all of its calls until then."""
    for weight in scenario.weights:
        new, old = Figures(), Figures()
        for _ in range(criteria.evaluations):
            new_calls = binomial(generator, scenario.calls, weight)
            old_calls = scenario.calls - new_calls
            new = _add(new, new_calls, binomial(generator, new_calls, scenario.new_rate))
            old = _add(old, old_calls, binomial(generator, old_calls, scenario.old_rate))
            decision = _decision(new, old, criteria)
            if decision == "fail":
                return ROLLED_BACK
            if decision == "pass":
                break
        else:
            return UNDECIDED
    return PROMOTED


def post_rule(scenario: Scenario, _criteria: Criteria, generator: random.Random) -> str:
    """Roll back at the first error that is seen; no data counts as healthy."""
    for weight in scenario.weights:
        seen = binomial(generator, scenario.calls, weight * SEEN_SHARE)
        if binomial(generator, seen, scenario.new_rate):
            return ROLLED_BACK
    return PROMOTED


Rule = Callable[[Scenario, Criteria, random.Random], str]


def outcomes(rule: Rule, scenario: Scenario, criteria: Criteria, rollouts: int, seed: int = 1) -> dict[str, float]:
    """Return the share of each outcome among `rollouts`."""
    generator = random.Random(seed)  # noqa: S311  # not for cryptography
    counts = Counter(rule(scenario, criteria, generator) for _ in range(rollouts))
    return {outcome: counts[outcome] / rollouts for outcome in (PROMOTED, UNDECIDED, ROLLED_BACK)}


def _add(figures: Figures, calls: int, errors: int) -> Figures:
    return Figures(figures.calls + calls, figures.errors + errors)
