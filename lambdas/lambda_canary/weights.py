"""The share of traffic of the new version in each step.

Weights are whole percents, in `Decimal`: each is larger than the previous one, and the last is 1, with which the
rollout finishes. All others are below 1, because the versions are compared while both versions receive calls.
"""

from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

RolloutType = Literal["linear", "exponential", "canary", "all_at_once"]
PERCENT = Decimal("0.01")
ALL = Decimal(1)
MAX_STEPS = 50  # at one to two percent each


def weights(rollout_type: RolloutType, steps: int, first_weight: Decimal) -> tuple[Decimal, ...]:
    """Return the weights of a rollout.

    linear: `steps` equal steps. exponential: from `first_weight`, multiplied by the same factor in each of `steps`
    steps; fewer if two would round to the same percentage. canary: `first_weight`, then all. all_at_once: all.
    """
    if rollout_type == "all_at_once":
        return (ALL,)
    if rollout_type == "canary":
        return (_percent(first_weight), ALL)
    if rollout_type == "linear":
        shares = [Decimal(step) / steps for step in range(1, steps)]
    else:
        shares = [first_weight ** (Decimal(steps - 1 - step) / (steps - 1)) for step in range(steps - 1)]
    distinct = sorted({_percent(share) for share in shares} - {ALL})
    return (*distinct, ALL)


def _percent(share: Decimal) -> Decimal:
    return max(share.quantize(PERCENT, ROUND_HALF_UP), PERCENT)
