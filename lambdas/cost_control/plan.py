"""Decide what to do: a pure function of the cost, the thresholds, the resources and the record.

Nothing here calls AWS or reads the clock, so planning twice with the same values returns the same plan, and planning
after everything was done returns an empty one.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal, NotRequired, TypedDict, get_args

DENY, STOP = "deny", "stop"  # actions of a threshold, which always notifies
# Kinds of actions.
DENY_GROUP, DENY_ROLE = "deny_group", "deny_role"
STOP_INSTANCE, SCALE_TO_ZERO = "stop_instance", "scale_to_zero"
STOP_DATABASE, STOP_CLUSTER = "stop_database", "stop_cluster"
SizeName = Literal["MinSize", "MaxSize", "DesiredCapacity"]  # of an Auto Scaling group
SIZES: tuple[SizeName, ...] = get_args(SizeName)
# Statuses of the record. The first two have to be undone.
PLANNED, DONE = "planned", "done"
OPEN = frozenset({PLANNED, DONE})
FAILED, REFUSED = "failed", "refused"  # nothing was changed
UNDONE, KEPT, GONE = "undone", "kept", "gone"  # closed by a release
MAX_ACTIONS = 400  # of a check; the next one does the rest
# Step Functions ends an execution whose state's input or output exceeds 256 KiB, and no state can catch that. The
# largest input is that of `Notify`: it has the actions, their results and the problems.
MAX_ACTION_CHARACTERS, MAX_PROBLEM_CHARACTERS = 200_000, 40_000
MAX_REASON = 300  # characters of a reason; the log has it whole
RESULT_OVERHEAD = 60  # characters
# For so long after the start of a month, a cost as high as last month's is treated as last month's: AWS does not
# document when Budgets starts over, and updates its figures only a few times a day.
RENEWAL_HOURS = 36
RENEWAL_SHARE = Decimal("0.9")  # of last month's cost


@dataclass(frozen=True)
class Threshold:
    """A percentage of the budget, for the ``ACTUAL`` or the ``FORECASTED`` cost, and its actions."""

    percent: Decimal
    kind: str
    actions: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """Return a name that is unique in a budget and valid in a state machine execution's name."""
        return f"{self.kind}-{self.percent.normalize():f}".replace(".", "_")

    def is_reached(self, spend: "Spend") -> bool:
        """Return whether the cost is above the threshold, as Budgets compares with ``GREATER_THAN``."""
        cost = spend.actual if self.kind == "ACTUAL" else spend.forecast
        return cost is not None and cost * 100 > self.percent * spend.limit


@dataclass(frozen=True)
class Spend:
    """The cost of a month so far, its forecast (None: too little data) and its limit."""

    actual: Decimal
    forecast: Decimal | None
    limit: Decimal
    unit: str = "USD"

    @property
    def percent(self) -> Decimal:
        return (self.actual * 100 / self.limit).quantize(Decimal("0.1"))

    def to_json(self) -> "SpendJson":
        forecast = None if self.forecast is None else str(self.forecast)
        return {"actual": str(self.actual), "forecast": forecast, "limit": str(self.limit), "unit": self.unit}


@dataclass(frozen=True)
class Principal:
    """A group or role in the settings. problem: why the policy must not or cannot be attached."""

    kind: str
    name: str
    denied: bool = False
    problem: str = ""


@dataclass(frozen=True)
class Resource:
    """A running resource with the project's tag. undo: what a release needs to know. problem: why it must not stop."""

    kind: str
    name: str
    undo: Mapping[str, int] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True)
class Recorded:
    """An item of the record."""

    status: str
    reason: str = ""
    undo: Mapping[str, int] = field(default_factory=dict)


class ActionJson(TypedDict):
    """An action as the state machine passes it on."""

    kind: str
    name: str
    undo: NotRequired[Mapping[str, int]]
    earlier_reason: NotRequired[str]


@dataclass(frozen=True)
class Action:
    """One change, with what a release needs to undo it."""

    kind: str
    name: str
    undo: Mapping[str, int] = field(default_factory=dict)
    earlier_reason: str = ""  # of the last attempt, if it failed

    @property
    def item(self) -> str:
        return item(self.kind, self.name)

    def to_json(self) -> ActionJson:
        return {"kind": self.kind, "name": self.name, "undo": self.undo, "earlier_reason": self.earlier_reason}


class ActionsEvent(TypedDict):
    """The actions to do."""

    actions: list[ActionJson]


class SpendJson(TypedDict):
    """A `Spend`, with amounts as text."""

    actual: str
    forecast: str | None
    limit: str
    unit: str


class Problem(TypedDict):
    """What cannot be done: its key in the record, and the reason."""

    item: str
    reason: str


class PlanJson(TypedDict):
    """A plan as the state machine passes it on. act: whether to change anything. news: whether there is anything."""

    period: str
    spend: SpendJson
    thresholds: list[str]
    actions: list[ActionJson]
    problems: list[Problem]
    leftOver: int
    mode: str
    act: bool
    news: bool


class EmptyPlan(TypedDict):
    """A plan of a check that found nothing: both are false."""

    act: bool
    news: bool


@dataclass(frozen=True)
class Plan:
    """What to do now.

    new_thresholds: reached, and not reported before. problems: what cannot be done, and was not reported before.
    """

    period: str
    spend: Spend
    new_thresholds: tuple[str, ...] = ()
    actions: tuple[Action, ...] = ()
    problems: tuple[tuple[str, str], ...] = ()  # item, reason
    left_over: int = 0  # actions and problems for the next check

    def to_json(self, mode: str) -> PlanJson:
        """Return the plan as the state machine passes it on."""
        return {
            "period": self.period,
            "spend": self.spend.to_json(),
            "thresholds": list(self.new_thresholds),
            "actions": [action.to_json() for action in self.actions],
            "problems": [{"item": name, "reason": reason} for name, reason in self.problems],
            "leftOver": self.left_over,
            "mode": mode,
            "act": mode == "enforce" and bool(self.actions),
            # Without permission to act, the same actions are planned in each check.
            "news": bool(self.new_thresholds or self.problems or (mode == "enforce" and self.actions)),
        }


def item(kind: str, name: str) -> str:
    """Return the key of an action in the record."""
    return f"{kind}/{name}"


def threshold_item(name: str) -> str:
    """Return the key of a threshold in the record."""
    return f"threshold/{name}"


def period_of(time: datetime) -> str:
    """Return the month of a time in UTC, as Budgets counts it: ``2026-11``."""
    return f"{time:%Y-%m}"


def shows_last_month(spend: Spend, last_month: Decimal | None, now: datetime) -> bool:
    """Return whether the cost is probably still last month's. `last_month` is its last known cost, if any."""
    start = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    is_early = (now - start).total_seconds() < RENEWAL_HOURS * 3600
    return last_month is not None and is_early and 0 < last_month * RENEWAL_SHARE <= spend.actual


def reached(thresholds: Iterable[Threshold], spend: Spend) -> list[Threshold]:
    """Return the thresholds that the cost has reached."""
    return [threshold for threshold in thresholds if threshold.is_reached(spend)]


def plan(
    period: str,
    spend: Spend,
    thresholds: Iterable[Threshold],
    principals: Iterable[Principal],
    resources: Iterable[Resource],
    record: Mapping[str, Recorded],
) -> Plan:
    """Plan what the reached thresholds require and the record of this `period` does not show as done.

    A threshold that was released by hand requires nothing for the rest of the month.
    """
    thresholds_reached = reached(thresholds, spend)
    new = tuple(threshold.name for threshold in thresholds_reached if threshold_item(threshold.name) not in record)
    active = [
        threshold for threshold in thresholds_reached if _status(record, threshold_item(threshold.name)) != UNDONE
    ]
    required = frozenset[str]().union(*(threshold.actions for threshold in active))
    # Problems of later thresholds are reported as soon as any threshold is reached.
    ahead = frozenset[str]().union(*(threshold.actions for threshold in thresholds)) if active else frozenset[str]()
    principals, resources = list(principals), list(resources)
    candidates: list[Principal | Resource] = []
    if DENY in required:
        candidates += [principal for principal in principals if not principal.denied]
    if STOP in required:
        candidates += resources
    # Those that failed come last, so that they do not keep others from being tried.
    actions = sorted((_action(c, record) for c in candidates if not c.problem), key=lambda a: bool(a.earlier_reason))
    concerned = [*(principals if DENY in ahead else ()), *(resources if STOP in ahead else ())]
    problems = list(_new_problems(concerned, record))
    now, reported = tuple(_fitting_actions(actions)), tuple(_fitting_problems(problems))
    return Plan(period, spend, new, now, reported, len(actions) + len(problems) - len(now) - len(reported))


def _fitting_actions(actions: Iterable[Action]) -> Iterator[Action]:
    characters = 0
    for number, action in enumerate(actions):
        characters += len(json.dumps(asdict(action))) + len(action.item) + MAX_REASON + RESULT_OVERHEAD
        if number == MAX_ACTIONS or characters > MAX_ACTION_CHARACTERS:
            return
        yield action


def _fitting_problems(problems: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    characters = 0
    for problem in problems:
        characters += len(json.dumps(problem)) + RESULT_OVERHEAD
        if characters > MAX_PROBLEM_CHARACTERS:
            return
        yield problem


def _status(record: Mapping[str, Recorded], name: str) -> str:
    return record[name].status if name in record else ""


def _action(candidate: Principal | Resource, record: Mapping[str, Recorded]) -> Action:
    """Keep what an open record would undo: a resource that someone started again is stopped again, but only once."""
    undo = candidate.undo if isinstance(candidate, Resource) else {}
    earlier = record.get(item(candidate.kind, candidate.name))
    if earlier and earlier.status in OPEN:
        undo = earlier.undo
    reason = earlier.reason if earlier and earlier.status == FAILED else ""
    return Action(candidate.kind, candidate.name, undo, reason)


def _new_problems(
    candidates: Iterable[Principal | Resource], record: Mapping[str, Recorded]
) -> Iterator[tuple[str, str]]:
    for candidate in candidates:
        name = item(candidate.kind, candidate.name)
        earlier = record.get(name)
        if candidate.problem and not (earlier and earlier.reason == candidate.problem):
            yield name, candidate.problem
