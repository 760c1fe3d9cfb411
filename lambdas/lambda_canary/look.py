"""Judge a step of a rollout at one point in time."""

from dataclasses import replace
from typing import Any, Literal, NotRequired, TypedDict

from .alias import check_revision
from .check import Plan, alarm_states
from .config import Config, Target
from .judgement import Figures, Throttling, Verdict, judge
from .metrics import Window, read_figures

Outcome = Literal["pass", "fail", "wait", "synthetic", "undecided"]


class LookEvent(TypedDict):
    """A step. shiftedAt: epoch seconds. look: 1 for the first. synthetic: results by version, if they were needed."""

    plan: Plan
    weight: float
    revision: str
    shiftedAt: float
    look: int
    synthetic: NotRequired[dict[str, dict[str, int]]]


class Look(TypedDict):
    """The decision, and a line with the figures for the notification."""

    decision: Outcome
    line: str


def judge_step(awslambda: Any, cloudwatch: Any, config: Config, event: LookEvent, now: float) -> Look:
    """Compare the versions since the shift.

    Raises:
        AliasChangedError: somebody else changed the alias.
    """
    plan = event["plan"]
    target = config.named(plan["function"])
    check_revision(awslambda, target.arn, target.alias, event["revision"])
    versions = (plan["new"], plan["old"])
    new, old, throttling = read_figures(cloudwatch, target.arn, target.alias, versions, Window(event["shiftedAt"], now))
    synthetic = event.get("synthetic") or {}
    new, old = (_with(figures, synthetic.get(version)) for figures, version in zip((new, old), versions, strict=True))
    verdict = _alarmed(cloudwatch, target, plan) or judge(
        new, old, config.criteria, Throttling(**plan["before"]), throttling
    )
    decision = _decision(verdict, event, config)
    return {"decision": decision, "line": _line(event, decision, verdict, new, old)}


def _with(figures: Figures, synthetic: dict[str, int] | None) -> Figures:
    """Add synthetic calls, whose durations CloudWatch has under another resource."""
    if not synthetic:
        return figures
    return replace(
        figures, calls=figures.calls + synthetic["calls"], errors=figures.errors + synthetic["errors"], p95_ms=None
    )


def _alarmed(client: Any, target: Target, plan: Plan) -> Verdict | None:
    states = alarm_states(client, target.alarms)
    alarms = [name for name, state in states.items() if state == "ALARM" and name not in plan["ignoredAlarms"]]
    deleted = sorted(set(target.alarms) - states.keys())
    found = {"in ALARM": sorted(alarms), "deleted": deleted}
    reasons = tuple(f"{problem}: {', '.join(names)}" for problem, names in found.items() if names)
    return Verdict("fail", reasons) if reasons else None


def _decision(verdict: Verdict, event: LookEvent, config: Config) -> Outcome:
    regular_looks = config.criteria.looks - (1 if config.synthetic_calls else 0)
    if verdict.decision != "wait":
        return verdict.decision
    if event.get("synthetic"):
        return "undecided"
    if event["look"] < regular_looks:
        return "wait"
    return "synthetic" if config.synthetic_calls else "undecided"


def _line(event: LookEvent, decision: Outcome, verdict: Verdict, new: Figures, old: Figures) -> str:
    plan = event["plan"]
    versions = "; ".join(
        f"version {version} {_figures(figures)}" for version, figures in ((plan["new"], new), (plan["old"], old))
    )
    synthetic = ", with synthetic calls" if event.get("synthetic") else ""
    return f"{event['weight']:.0%}{synthetic}: {versions}. {decision.capitalize()}: {'; '.join(verdict.reasons)}"


def _figures(figures: Figures) -> str:
    duration = "" if figures.p95_ms is None else f", p95 {figures.p95_ms:.0f} ms"
    return f"failed {figures.errors} of {figures.calls} calls ({figures.error_rate:.1%}{duration})"
