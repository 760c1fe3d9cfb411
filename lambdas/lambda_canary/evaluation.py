"""Evaluate a step of a rollout at one point in time."""

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, NotRequired, TypedDict

from .alias import check_revision
from .check import Plan, alarm_states
from .comparison import Comparison, Figures, Throttling, compare
from .config import Config, Target, max_evaluations
from .metrics import Window, read_figures

if TYPE_CHECKING:
    from types_boto3_cloudwatch import CloudWatchClient
    from types_boto3_lambda import LambdaClient

Outcome = Literal["pass", "fail", "wait", "synthetic", "undecided"]


class EvaluationEvent(TypedDict):
    """A step. shiftedAt: epoch seconds. evaluation: its number, from 1. synthetic: results by version, if any."""

    plan: Plan
    weight: float
    revision: str
    shiftedAt: float
    evaluation: int
    synthetic: NotRequired[dict[str, dict[str, int]]]


class Evaluation(TypedDict):
    """The decision, and a line with the figures for the notification."""

    decision: Outcome
    line: str


def evaluate_step(
    awslambda: "LambdaClient", cloudwatch: "CloudWatchClient", config: Config, event: EvaluationEvent, now: float
) -> Evaluation:
    """Compare the versions since the shift.

    Raises:
        AliasChangedError: somebody else changed the alias.
    """
    plan = event["plan"]
    target = config.named(plan["function"])
    check_revision(awslambda, target.arn, target.alias, event["revision"])
    versions = (plan["new"], plan["old"])
    # Metrics have the time of the call's start, and arrive at its end: of later calls, only the fast ones are known.
    window = Window(event["shiftedAt"], max(event["shiftedAt"], now - plan["timeout"]))
    new, old, throttling = read_figures(cloudwatch, target.arn, target.alias, versions, window)
    synthetic = event.get("synthetic") or {}
    new, old = (_with(figures, synthetic.get(version)) for figures, version in zip((new, old), versions, strict=True))
    comparison = _alarmed(cloudwatch, target, plan) or compare(
        new, old, config.criteria, Throttling(**plan["before"]), throttling
    )
    decision = _decision(comparison, event, config)
    return {"decision": decision, "line": _line(event, decision, comparison, new, old)}


def _with(figures: Figures, synthetic: dict[str, int] | None) -> Figures:
    """Add synthetic calls, whose durations CloudWatch has under another resource."""
    if not synthetic:
        return figures
    return replace(
        figures, calls=figures.calls + synthetic["calls"], errors=figures.errors + synthetic["errors"], p95_ms=None
    )


def _alarmed(client: "CloudWatchClient", target: Target, plan: Plan) -> Comparison | None:
    states = alarm_states(client, target.alarms)
    names = sorted(set(target.alarms) - set(plan["ignoredAlarms"]))
    alarms_by_reason = {
        "in ALARM": [name for name in names if states.get(name) == "ALARM"],
        "alarms deleted": [name for name in names if name not in states],
    }
    reasons = tuple(f"{reason}: {', '.join(alarms)}" for reason, alarms in alarms_by_reason.items() if alarms)
    return Comparison("fail", reasons) if reasons else None


def _decision(comparison: Comparison, event: EvaluationEvent, config: Config) -> Outcome:
    # The interval of a function with a long timeout is longer than that of the settings.
    regular_evaluations = max_evaluations(event["plan"]["interval"], config.max_wait, 0)
    if comparison.decision != "wait":
        return comparison.decision
    if event.get("synthetic"):
        return "undecided"
    if event["evaluation"] < regular_evaluations:
        return "wait"
    return "synthetic" if config.synthetic_calls else "undecided"


def _line(event: EvaluationEvent, decision: Outcome, comparison: Comparison, new: Figures, old: Figures) -> str:
    plan = event["plan"]
    versions = "; ".join(
        f"version {version} {_figures(figures)}" for version, figures in ((plan["new"], new), (plan["old"], old))
    )
    synthetic = ", with synthetic calls" if event.get("synthetic") else ""
    return f"{event['weight']:.0%}{synthetic}: {versions}. {decision.capitalize()}: {'; '.join(comparison.reasons)}"


def _figures(figures: Figures) -> str:
    duration = "" if figures.p95_ms is None else f", p95 {figures.p95_ms:.0f} ms"
    return f"failed {figures.errors} of {figures.calls} calls ({figures.error_rate:.1%}{duration})"
