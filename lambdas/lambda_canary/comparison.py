"""Decide from two versions' figures whether the new one is worse than the old one.

The versions serve the same callers in the same minutes, so a fault outside of them affects both. The increase of the
error rate, new minus old, is estimated with Newcombe's hybrid score interval for the difference between two proportions
(R. G. Newcombe, Statistics in Medicine 17, 1998, method 10), which combines two Wilson score intervals:

- the whole interval is above `error_margin`, and at least two calls failed: the version is worse, and the rollout is
  rolled back;
- the whole interval is at or below `error_margin`, with `minimum_calls`: the version has earned the next step;
- the interval contains `error_margin`: the calls do not suffice yet. No failures among few calls prove nothing.

Each evaluation of growing figures is a chance to err. Therefore a rollout's chance of an error, `ERROR_PROBABILITY`, is
divided by its number of evaluations (Bonferroni): by those of one step for a step that must not pass, and by those of
all steps for a rollout that must not be rolled back. docs/lambda_canary.md shows the error rates by simulation.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

ERROR_PROBABILITY = 0.05  # of promoting a version that is worse, and of rolling back one that is not
MIN_ERRORS = 2  # for a rollback: with a handful of calls, the interval is too narrow for a single error
Decision = Literal["pass", "fail", "wait"]


@dataclass(frozen=True)
class Figures:
    """Calls of one version in a step. p95_ms: 95th percentile of the duration, or None if there is none."""

    calls: int = 0
    errors: int = 0
    p95_ms: float | None = None

    @property
    def error_rate(self) -> float:
        return self.errors / self.calls if self.calls else 0.0


@dataclass(frozen=True)
class Throttling:
    """Calls of the alias, of both versions, and how many more were throttled."""

    calls: int = 0
    throttles: int = 0


@dataclass(frozen=True)
class Criteria:
    """Limits of a comparison. evaluations: maximum per step. steps: evaluated steps of the rollout."""

    minimum_calls: int
    error_margin: float
    duration_ratio: float
    evaluations: int
    steps: int

    @property
    def pass_deviations(self) -> float:
        """Standard deviations of the one-sided bound that a version must stay below to pass."""
        return deviations(ERROR_PROBABILITY / self.evaluations)

    @property
    def fail_deviations(self) -> float:
        """Standard deviations of the one-sided bound that a version must exceed to fail."""
        return deviations(ERROR_PROBABILITY / (self.evaluations * self.steps))


@dataclass(frozen=True)
class Comparison:
    """The decision, and its reasons in words."""

    decision: Decision
    reasons: tuple[str, ...]


def deviations(probability: float) -> float:
    """Return how many standard deviations a normal variable exceeds with `probability`."""
    return NormalDist().inv_cdf(1 - probability)


def wilson(errors: int, calls: int, z: float) -> tuple[float, float]:
    """Return Wilson's score interval for the error rate. Without calls, nothing is known: 0 to 1."""
    if not calls:
        return 0.0, 1.0
    rate, square = errors / calls, z * z
    center = (rate + square / (2 * calls)) / (1 + square / calls)
    half = z * math.sqrt(rate * (1 - rate) / calls + square / (4 * calls * calls)) / (1 + square / calls)
    return max(0.0, center - half), min(1.0, center + half)


def increase_bounds(new: Figures, old: Figures, *, lower_z: float, upper_z: float) -> tuple[float, float]:
    """Return Newcombe's lower and upper bounds of the increase of the error rate, from `old` to `new`."""
    increase = new.error_rate - old.error_rate
    new_low, _ = wilson(new.errors, new.calls, lower_z)
    _, old_high = wilson(old.errors, old.calls, lower_z)
    lower = increase - math.hypot(new.error_rate - new_low, old_high - old.error_rate)
    _, new_high = wilson(new.errors, new.calls, upper_z)
    old_low, _ = wilson(old.errors, old.calls, upper_z)
    upper = increase + math.hypot(new_high - new.error_rate, old.error_rate - old_low)
    return max(-1.0, lower), min(1.0, upper)


def needed_calls(criteria: Criteria) -> int:
    """Return the calls of the new version, none of which fails, that let a step pass if the old one fails never."""
    square = criteria.pass_deviations**2
    bound = math.ceil(square * (1 - criteria.error_margin) / criteria.error_margin)
    return max(criteria.minimum_calls, bound)


def compare(
    new: Figures, old: Figures, criteria: Criteria, before: Throttling | None = None, now: Throttling | None = None
) -> Comparison:
    """Compare the versions. `before` and `now` are the alias's throttling before the rollout and in this step."""
    lower, upper = increase_bounds(new, old, lower_z=criteria.fail_deviations, upper_z=criteria.pass_deviations)
    margin = criteria.error_margin
    failures = []
    if lower > margin and new.errors >= MIN_ERRORS:
        failures.append(f"the error rate rose by at least {lower:.1%} (error_margin: {margin:.1%})")
    failures += _slower(new, old, criteria)
    failures += _throttled(before or Throttling(), now or Throttling(), criteria)
    if failures:
        return Comparison("fail", tuple(failures))
    if new.calls < criteria.minimum_calls or not old.calls:
        few = "new" if new.calls < criteria.minimum_calls else "old"
        calls = new.calls if few == "new" else 0
        return Comparison("wait", (f"{calls} calls of the {few} version (minimum_calls: {criteria.minimum_calls})",))
    if upper > margin:
        return Comparison("wait", (f"the error rate may have risen by up to {upper:.1%} (error_margin: {margin:.1%})",))
    return Comparison("pass", (f"the error rate rose by at most {upper:.1%} (error_margin: {margin:.1%})",))


def _slower(new: Figures, old: Figures, criteria: Criteria) -> list[str]:
    """Compare the durations once the step could pass: percentiles of fewer calls vary too much."""
    if new.calls < needed_calls(criteria) or old.calls < criteria.minimum_calls or not new.p95_ms or not old.p95_ms:
        return []
    ratio = new.p95_ms / old.p95_ms
    if ratio <= criteria.duration_ratio:
        return []
    limit = f"(duration_ratio: {criteria.duration_ratio:g})"
    return [
        f"the 95th percentile of the duration is {new.p95_ms:.0f} ms against {old.p95_ms:.0f} ms: "
        f"{ratio:.1f} times {limit}"
    ]


def _throttled(before: Throttling, now: Throttling, criteria: Criteria) -> list[str]:
    """Compare the throttled share with that before the rollout, because a throttled call has no version."""
    attempts = [Figures(item.calls + item.throttles, item.throttles) for item in (now, before)]
    if not now.throttles:
        return []
    if not attempts[1].calls:  # nobody called before the rollout
        attempts[1] = Figures(attempts[0].calls, 0)
    z = criteria.fail_deviations
    lower, _ = increase_bounds(attempts[0], attempts[1], lower_z=z, upper_z=z)
    if lower <= criteria.error_margin:
        return []
    return [
        f"Lambda throttled {now.throttles} of {attempts[0].calls} calls of the alias, and {before.throttles} of "
        f"{before.calls + before.throttles} before the rollout"
    ]
