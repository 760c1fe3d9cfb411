"""Draw the chances of both rules to err: ``python -m bench.canary_picture`` writes `FILE`.

The rollouts are those of the defaults: ten steps of ten percent.
"""

import math

from sandbox.process import ROOT
from settings.lambda_canary import LambdaCanarySettings
from walkthroughs.line_chart import Axis, Series, line_chart

from .canary_simulation import PROMOTED, ROLLED_BACK, UNDECIDED, Rule, Scenario, outcomes, post_rule, project_rule

FILE = ROOT / "docs" / "pictures" / "lambda_canary_rules.svg"
CALLS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)  # of the alias, per interval of two minutes
ROLLOUTS = 1000
LINEAR = tuple(step / 10 for step in range(1, 10))
CRITERIA = LambdaCanarySettings().criteria


def picture() -> str:
    """Return the chart."""
    broken, good = (0.0, 0.05), (0.01, 0.01)
    promoted = _chances(project_rule, LINEAR, broken)[PROMOTED]
    of_good = _chances(project_rule, LINEAR, good)
    series = (
        Series("post: broken promoted", _chances(post_rule, (*LINEAR, 1.0), broken)[PROMOTED]),
        Series("post: good rejected", _chances(post_rule, (*LINEAR, 1.0), good)[ROLLED_BACK]),
        Series("here: either of both", [max(pair) for pair in zip(promoted, of_good[ROLLED_BACK], strict=True)]),
        Series("here: good undecided", of_good[UNDECIDED]),
    )
    return line_chart(
        "Chances of a wrong decision, and of none",
        Axis("calls in two minutes", [(math.log10(calls), f"{calls:,}") for calls in CALLS]),
        Axis("chance", [(quarter / 4, f"{quarter * 25} %") for quarter in range(5)]),
        series,
    )


def _chances(
    rule: Rule, weights: tuple[float, ...], rates: tuple[float, float]
) -> dict[str, list[tuple[float, float]]]:
    """Return the points of each outcome."""
    old_rate, new_rate = rates
    shares_by_position = {
        math.log10(calls): outcomes(rule, Scenario(calls, old_rate, new_rate, weights), CRITERIA, ROLLOUTS)
        for calls in CALLS
    }
    return {
        outcome: [(position, shares[outcome]) for position, shares in shares_by_position.items()]
        for outcome in (PROMOTED, ROLLED_BACK, UNDECIDED)
    }


if __name__ == "__main__":
    FILE.write_text(picture())
