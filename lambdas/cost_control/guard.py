"""What the functions do: check the budget, decide, write the record, notify and release."""

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypedDict, final

from .budget import read_spend
from .inventory import Inventory
from .notification_text import MAX_LINES, ReleaseResults, guard_notification, release_notification
from .options import Options
from .plan import (
    DONE,
    UNDONE,
    Action,
    ActionJson,
    ActionsEvent,
    EmptyPlan,
    Plan,
    PlanJson,
    Spend,
    period_of,
    plan,
    reached,
    shows_last_month,
    threshold_item,
)
from .record import RecordTable, Result
from .release import Releaser

if TYPE_CHECKING:
    from types_boto3_budgets import BudgetsClient
    from types_boto3_sns import SNSClient
    from types_boto3_stepfunctions import SFNClient

logger = logging.getLogger(__name__)


@final
class ClaimEvent(TypedDict):
    """The actions of a plan."""

    period: str
    actions: list[ActionJson]
    execution: str


@final
class GuardResults(TypedDict):
    """What a check has found and done. failure: why the execution failed, if it did."""

    plan: PlanJson
    actions: list[ActionJson]
    denied: list[Result]
    stopped: list[Result]
    failure: str
    releaseArn: str


class ReleaseInput(TypedDict, total=False):
    """The input of an execution of the release; only EventBridge's schedule gives a time."""

    time: str


class ReleaseEvent(TypedDict):
    """An attempt. results: those of earlier attempts, which closed `closed` items."""

    input: ReleaseInput
    results: list[Result]
    closed: int


class Released(TypedDict):
    """The results of all attempts, and how many items are closed and open."""

    results: list[Result]
    closed: int
    open: int


@dataclass(frozen=True)
class Budget:
    """A budget and the record of its months."""

    budgets: "BudgetsClient"
    account: str
    name: str
    table: RecordTable

    def spend(self, now: datetime) -> Spend | None:
        """Return the cost of this month, or None while Budgets still shows last month's."""
        spend = read_spend(self.budgets, self.account, self.name)
        last_month = period_of(now.replace(day=1) - timedelta(days=1))
        if shows_last_month(spend, self.table.spend_of(last_month), now):
            logger.info("Budgets still shows last month's cost", extra={"actual": str(spend.actual)})
            return None
        return spend


def check(
    budget: Budget,
    options: Options,
    stepfunctions: "SFNClient",
    guard_arn: str,
    now: datetime,
    scheduled_event: str = "",
) -> str:
    """Start the state machine if the cost has reached a threshold; return the execution's name, or an empty text.

    A message only causes a check; its text is not read. There is one execution for the same thresholds, so a message
    that comes twice starts one, and one more for each scheduled check, which finds what was started since. The name of
    the latter has the ID of the event: nobody can prevent it with an execution that already has this name.
    """
    spend, period = budget.spend(now), period_of(now)
    if spend is None:
        return ""
    budget.table.put_spend(period, spend.actual, now)
    keys = {"period": period, "actual": str(spend.actual), "limit": str(spend.limit)}
    thresholds = sorted(threshold.name for threshold in reached(options.thresholds, spend))
    if not thresholds:
        logger.info("The cost is below every threshold", extra=keys)
        return ""
    # Executions have unique names for 90 days. After a release the same thresholds can need another one.
    digest = hashlib.sha256(" ".join(thresholds).encode()).hexdigest()[:8]
    name = f"{period}-{budget.table.releases_in(period)}-{digest}" + (f"-{scheduled_event}" if scheduled_event else "")
    keys |= {"thresholds": " ".join(thresholds), "execution": name}
    try:
        stepfunctions.start_execution(stateMachineArn=guard_arn, name=name, input="{}")
    except stepfunctions.exceptions.ExecutionAlreadyExists:
        logger.info("An execution for these thresholds exists", extra=keys)
        return ""
    logger.info("The cost has reached a threshold", extra=keys)
    return name


def decide(budget: Budget, options: Options, inventory: Inventory, now: datetime) -> PlanJson | EmptyPlan:
    """Read the cost again, and plan what has to be done."""
    spend, period = budget.spend(now), period_of(now)
    if spend is None or not reached(options.thresholds, spend):
        return {"news": False, "act": False}
    record, principals, resources = budget.table.read(period), inventory.principals(), inventory.resources()
    decided = plan(period, spend, options.thresholds, principals, resources, record)
    _log(decided)
    return decided.to_json(options.mode)


def _log(decided: Plan) -> None:
    keys = {"period": decided.period, "actual": str(decided.spend.actual), "limit": str(decided.spend.limit)}
    logger.info(
        "Planned", extra=keys | {"thresholds": " ".join(decided.new_thresholds), "actions": len(decided.actions)}
    )
    for name, reason in decided.problems:
        logger.warning("An action is not possible", extra={"item": name, "reason": reason})


def claim(table: RecordTable, event: ClaimEvent, now: datetime) -> ActionsEvent:
    """Write the actions of a plan as planned, and return those to do."""
    actions = [Action(**action) for action in event["actions"]]
    claimed = table.claim(event["period"], actions, event["execution"], now)
    return {"actions": [action.to_json() for action in claimed]}


def finish(table: RecordTable, period: str, results: Iterable[Result], now: datetime) -> None:
    """Write the outcomes of actions."""
    for result in results:
        table.finish(period, result, now)
        logger.info("Acted", extra=dict(result))


@dataclass(frozen=True)
class Notifier:
    """Publishes notifications, and records that they were published, so that a check without news is silent."""

    sns: "SNSClient"
    topic_arn: str
    project: str
    table: RecordTable

    def notify_guard(
        self, event: GuardResults, results: Iterable[Result], actions: Iterable[Action], now: datetime
    ) -> bool:
        """Report what a check has found and done; return whether there was anything new."""
        plan, failure, results = event["plan"], event["failure"], list(results)
        earlier = {action.item: action.earlier_reason for action in actions}
        changed = [r for r in results if r["status"] == DONE or r["reason"] != earlier.get(r["item"])]
        if not (plan["thresholds"] or plan["problems"] or changed or failure):
            return False
        subject, text = guard_notification(self.project, plan, results, failure, event["releaseArn"])
        self.sns.publish(TopicArn=self.topic_arn, Subject=subject, Message=text)
        self.table.mark_thresholds(plan["period"], plan["thresholds"], DONE, now)
        for problem in plan["problems"]:
            self.table.mark_refused(plan["period"], problem["item"], problem["reason"], now)
        return True

    def notify_release(self, event: ReleaseResults) -> bool:
        """Report what a release has undone, or that it failed; return whether there was anything to report."""
        if not (event["released"] or event["failure"]):
            return False
        subject, text = release_notification(self.project, event)
        self.sns.publish(TopicArn=self.topic_arn, Subject=subject, Message=text)
        return True


def release(table: RecordTable, releaser: Releaser, event: ReleaseEvent, now: datetime) -> Released:
    """Undo what the record shows: of earlier months if EventBridge's schedule is the cause, of all months otherwise.

    `event` has the execution's ``input``, and the ``results`` and number of ``closed`` items of earlier attempts. A
    release by hand also ends the thresholds that were reached, so that the next check does not do the same again. Each
    result is written at once: if the function ends early, the next attempt does not find it changed by somebody else.
    """
    scheduled = event["input"].get("time")
    current = period_of(datetime.fromisoformat(scheduled) if scheduled else now)
    items = [item for item in table.open_items() if not scheduled or item.period < current]
    periods = {item.period for item in items}
    if not scheduled:
        periods.add(current)
        thresholds = [name for name, recorded in table.read(current).items() if name.startswith(threshold_item(""))]
        table.mark_thresholds(current, [name.removeprefix(threshold_item("")) for name in thresholds], UNDONE, now)
    results = {result["item"]: result for result in event["results"]}
    closed = 0
    for item, result in releaser.release(items, [name for name, r in results.items() if r["status"] == DONE]):
        table.finish(item.period, result, now)
        logger.info("Released", extra={"period": item.period, **result})
        results[item.item] = result
        closed += result["status"] != DONE
    for period in periods:
        table.count_release(period, now)
    listed = sorted(results.values(), key=lambda result: result["status"] != DONE)[:MAX_LINES]
    return {"results": listed, "closed": event["closed"] + closed, "open": len(items) - closed}
