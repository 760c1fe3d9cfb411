"""lambda_canary: chances of wrong decisions, and those of the original rule; AWS calls and state transitions."""

from collections import Counter
from typing import Any

from rich.progress import Progress

from settings.lambda_canary import LambdaCanarySettings
from stacks.lambda_canary.definition import definition

from .canary_picture import CRITERIA, LINEAR
from .canary_simulation import PROMOTED, ROLLED_BACK, UNDECIDED, Rule, Scenario, outcomes, post_rule, project_rule
from .report import Row, Section

ROLLOUTS = 2000
POST_STEPS = (*LINEAR, 1.0)
# (calls of the alias per interval, error rate of the old and of the new version)
BROKEN = ((10, 0.0, 0.05), (10, 0.0, 0.2), (100, 0.0, 0.03), (1000, 0.01, 0.04))
GOOD = ((100, 0.001, 0.001), (1000, 0.001, 0.001), (1000, 0.01, 0.01))
# States of the original's template.yml, for a rollout that succeeds: CalculateWeights, then five for each step
# (UpdateWeight, Wait, HealthCheck, VerifyHealthCheck, IsFullyWeighted), then Finalize. Its calls: UpdateAlias and
# GetMetricStatistics for each step, and UpdateAlias at the end.
POST_TRANSITIONS = 1 + 5 * len(POST_STEPS) + 1
POST_CALLS = 2 * len(POST_STEPS) + 1
# Calls of each state's function, without retries.
CALLS = {
    "Check": {"GetAlias": 1, "GetFunctionConfiguration": 2, "GetMetricData": 1},
    "Smoke Test": {"Invoke": 1},
    "Shift": {"UpdateAlias": 1},
    "Evaluate": {"GetAlias": 1, "GetMetricData": 1},
    "Finish": {"UpdateAlias": 1},
    "Rolled Out": {"Publish": 1},
}
NOTES = (
    f"Simulated: {ROLLOUTS:,} rollouts with the default settings, ten steps of ten percent, and independent calls. "
    "*Calls* are those of the alias in each interval of two minutes. The post's rule rolls back at the first error in "
    "the last of the two minutes, and treats missing data as healthy. This project's third outcome is *undecided*: the "
    "old version stays, and a notification reports that there were too few calls.",
    "A version that is worse by more than `error_margin` (0.02) is broken. The ratio compares the two probabilities.",
    "AWS calls and state transitions: counted in the definitions of both state machines, for a rollout in which each "
    "step passes at its first evaluation. This project's include the notification, which the original does not send.",
)


def measure(_progress: Progress) -> Section:
    """Simulate rollouts, and count calls and transitions."""
    rows = [_chance("promotes a broken version", PROMOTED, scenario) for scenario in BROKEN]
    rows += [_chance("rolls back a good version", ROLLED_BACK, scenario) for scenario in GOOD]
    states = visited_states(LambdaCanarySettings().evaluated_steps)
    calls = sum(count for state in states for count in CALLS.get(state, {}).values())
    rows.append(
        Row("state transitions", f"{len(states)}", f"the original: {POST_TRANSITIONS}", len(states) / POST_TRANSITIONS)
    )
    rows.append(Row("AWS calls", f"{calls}", f"the original: {POST_CALLS}", calls / POST_CALLS))
    return Section("lambda_canary", tuple(rows), NOTES)


def _chance(metric: str, outcome: str, scenario: tuple[int, float, float]) -> Row:
    calls, old_rate, new_rate = scenario
    conditions = f"{calls:,} calls; {old_rate:.1%} of the old version's and {new_rate:.1%} of the new version's fail"

    def found(rule: Rule, weights: tuple[float, ...]) -> dict[str, float]:
        return outcomes(rule, Scenario(calls, old_rate, new_rate, weights), CRITERIA, ROLLOUTS)

    ours, posts = found(project_rule, LINEAR), found(post_rule, POST_STEPS)
    ratio = ours[outcome] / posts[outcome] if posts[outcome] else None
    value = f"{ours[outcome]:.1%} (undecided: {ours[UNDECIDED]:.0%})"
    return Row(metric, value, f"the post's rule: {posts[outcome]:.1%}", ratio, conditions)


def visited_states(evaluated_steps: int) -> list[str]:
    """Return the states of a rollout that passes at the first evaluation of each step, by following the definition."""
    states: dict[str, Any] = definition(evaluated_steps=evaluated_steps, evaluations=1)["States"]
    name, visited, counts = "Check", [], Counter[str]()
    while True:
        visited.append(name)
        counts[name] += 1
        state = states[name]
        if state["Type"] == "Succeed":
            return visited
        if name == "Last Step?":
            name = "Finish" if counts[name] > evaluated_steps else "Shift"
        elif name == "Decision?":
            name = "Last Step?"
        else:
            name = state.get("Next") or state["Default"]
