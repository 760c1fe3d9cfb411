"""Budgets: validation, notifications to topics, and the resource type AWS::Budgets::Budget.

The sandbox has no costs. `Sandbox.SetCost` with ``{"budget": NAME, "actual": NUMBER, "forecast": NUMBER or null}`` sets
those of a budget in its unit, and Budgets publishes each notification whose threshold is newly exceeded. A lower cost,
as in a new period, resets the notifications. Sources: Budgets API reference; cost management user guide, "Creating an
Amazon SNS topic for budget notifications".

Not implemented: budget actions, comparisons other than GREATER_THAN, email, planned limits, automatic adjustment, the
comparison of filters with the tags and services of the account.
"""

import json
import re
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from .emulator.json_protocol import ServiceError
from .iam.services import deliver, source
from .ministack import budgets, sns
from .ministack.cloudformation import resource_handlers
from .ministack.requests import get_account_id, json_error, request_scope

Record = dict[str, Any]
PRINCIPAL = "budgets.amazonaws.com"
AMOUNT = re.compile(r"([0-9]*\.)?[0-9]+")
TOPIC = re.compile(r"arn:aws:sns:[a-z0-9-]+:(\d{12}):[\w-]{1,256}")
TAG_FILTER = re.compile(r"(user|aws):[^$]+\$.*")
TIME_UNITS = {"DAILY": "day", "MONTHLY": "month", "QUARTERLY": "quarter", "ANNUALLY": "year"}
CONSOLE = "https://console.aws.amazon.com/billing/home#/budgets"


def install() -> None:
    """Add the checks and the resource type."""
    for name in ("CreateBudget", "UpdateBudget", "CreateNotification", "CreateSubscriber"):
        budgets.operations[name] = partial(_checking, budgets.operations[name])
    resource_handlers["AWS::Budgets::Budget"] = {"create": _create, "update": _update, "delete": _delete}


def _checking(operation: Callable[[Record], Any], request: Record) -> Any:
    try:
        _check(request)
    except ServiceError as error:
        return json_error(error.code, str(error))
    return operation(request)


def _check(request: Record) -> None:
    """Raise an error for requests that Budgets rejects and MiniStack accepts."""
    if request.get("AccountId") != get_account_id():
        raise ServiceError("AccessDeniedException", f"Account {request.get('AccountId')} is not that of the caller.")
    budget = request.get("Budget") or request.get("NewBudget")
    if budget:
        _check_budget(budget)
    for notification in request.get("NotificationsWithSubscribers", [request]):
        topics = [s["Address"] for s in notification.get("Subscribers", []) if s.get("SubscriptionType") == "SNS"]
        _check_topics(topics)
    subscriber = request.get("Subscriber", {})
    if subscriber.get("SubscriptionType") == "SNS":
        entry = budgets.find_notification(request["BudgetName"], request["Notification"]) or {"subscribers": []}
        existing = [s["Address"] for s in entry["subscribers"] if s["SubscriptionType"] == "SNS"]
        _check_topics([*existing, subscriber["Address"]])


def _check_budget(budget: Record) -> None:
    limit = budget.get("BudgetLimit")
    if budget.get("BudgetType") in ("COST", "USAGE") and not limit and "PlannedBudgetLimits" not in budget:
        raise _invalid("BudgetLimit is required for cost and usage budgets.")
    if limit and not AMOUNT.fullmatch(str(limit.get("Amount", ""))):
        pattern = "Member must satisfy regular expression pattern: ([0-9]*\\.)?[0-9]+"
        raise _invalid(f"Value '{limit.get('Amount')}' at 'budget.budgetLimit.amount' failed to satisfy: {pattern}")
    if {"FilterExpression", "Metrics"} & budget.keys() and {"CostFilters", "CostTypes"} & budget.keys():
        raise _invalid("Either FilterExpression and Metrics or CostFilters and CostTypes can be used, not both.")
    for value in budget.get("CostFilters", {}).get("TagKeyValue", []):
        if not TAG_FILTER.fullmatch(value):
            raise _invalid(f"The tag filter {value} must have the format user:Key$Value.")


def _check_topics(topics: list[str]) -> None:
    if len(topics) > 1:
        message = "one notification can only have 1 subscribers with type of SNS"
        raise ServiceError("CreationLimitExceededException", message)
    for topic in topics:
        match = TOPIC.fullmatch(topic)
        if not match or match[1] != get_account_id():
            raise _invalid(f"The SNS topic {topic} is not the ARN of a topic in the account of the budget.")


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidParameterException", message)


def set_cost(request: Record) -> None:
    """Set the cost of a budget, and publish the notifications whose thresholds it newly exceeds."""
    budget = budgets.budgets.get(request["budget"])
    if budget is None:
        raise ServiceError("NotFoundException", f"budget {request['budget']} does not exist")
    unit, forecast = budget["BudgetLimit"]["Unit"], request.get("forecast")
    spend = {"ActualSpend": {"Amount": str(request["actual"]), "Unit": unit}}
    if forecast is not None:
        spend["ForecastedSpend"] = {"Amount": str(forecast), "Unit": unit}
    budget |= {"CalculatedSpend": spend, "LastUpdatedTime": time.time()}
    costs = {"ACTUAL": request["actual"], "FORECASTED": 0 if forecast is None else forecast}
    for entry in budgets.notifications.get(request["budget"], []):
        notification = entry["notification"]
        cost, threshold = costs[notification["NotificationType"]], _threshold(budget, notification)
        state = "ALARM" if cost > threshold else "OK"
        is_new = notification["NotificationState"] != state
        notification["NotificationState"] = state
        if state == "ALARM" and is_new:
            _notify(budget, notification, entry["subscribers"], cost)


def _threshold(budget: Record, notification: Record) -> float:
    threshold = float(notification["Threshold"])
    if notification["ThresholdType"] == "ABSOLUTE_VALUE":
        return threshold
    return float(budget["BudgetLimit"]["Amount"]) * threshold / 100


def _notify(budget: Record, notification: Record, subscribers: list[Record], cost: float) -> None:
    name = budget["BudgetName"]
    context = source(f"arn:aws:budgets::{get_account_id()}:budget/{name}")
    for subscriber in subscribers:
        topic = subscriber["Address"]
        if subscriber["SubscriptionType"] == "SNS" and deliver(PRINCIPAL, topic, context, f"budget {name}"):
            subject = f"AWS Budgets: {name} has exceeded your alert threshold"
            with request_scope(get_account_id(), topic.split(":")[3]):
                sns.publish(topic, _message(budget, notification, cost), subject)


def _message(budget: Record, notification: Record, cost: float) -> str:
    """Return the text of a notification, as Budgets publishes it."""
    name, kind, amount = budget["BudgetName"], notification["NotificationType"], float(budget["BudgetLimit"]["Amount"])
    unit, threshold = TIME_UNITS.get(budget["TimeUnit"], "period"), _threshold(budget, notification)
    lines = (
        f"AWS Budget Notification {datetime.now(UTC):%B %d, %Y}",
        f"AWS Account {get_account_id()}",
        "",
        "Dear AWS Customer,",
        "",
        f"You requested that we alert you when the {kind} Cost associated with your {name} budget is greater than "
        f"${threshold:,.2f} for the current {unit}. The {kind} Cost associated with this budget is ${cost:,.2f}. You "
        "can find additional details below and by accessing the AWS Budgets dashboard [1].",
        "",
        f"Budget Name: {name}",
        f"Budget Type: {budget['BudgetType'].capitalize()}",
        f"Budgeted Amount: ${amount:,.2f}",
        f"Alert Type: {kind}",
        f"Alert Threshold: > ${threshold:,.2f}",
        f"{kind} Amount: ${cost:,.2f}",
        "",
        f"[1] {CONSOLE}",
        "",
    )
    return "\n".join(lines)


def _create(logical_id: str, properties: Record, _stack: str) -> tuple[str, Record]:
    name = properties["Budget"].get("BudgetName") or f"{logical_id[:80]}-{secrets.token_hex(6)}"
    optional = {key: properties.get(key, []) for key in ("NotificationsWithSubscribers", "ResourceTags")}
    _call("CreateBudget", Budget=_budget(properties, name), **optional)
    return name, {"Id": name}


def _update(name: str, _old: Record, new: Record, _stack: str) -> tuple[str, Record]:
    _call("UpdateBudget", NewBudget=_budget(new, name))
    for entry in budgets.notifications.get(name, []):
        entry["notification"]["NotificationState"] = "OK"  # the cost is 0 until Budgets has new data
    return name, {"Id": name}


def _delete(name: str, _properties: Record) -> None:
    if name in budgets.budgets:
        _call("DeleteBudget", BudgetName=name)


def _budget(properties: Record, name: str) -> Record:
    """Return a budget as in the API, where amounts are text and times are numbers."""
    budget = {**properties["Budget"], "BudgetName": name}
    if "BudgetLimit" in budget:
        budget["BudgetLimit"] = {**budget["BudgetLimit"], "Amount": str(budget["BudgetLimit"]["Amount"])}
    if "TimePeriod" in budget:
        budget["TimePeriod"] = {key: _timestamp(str(text)) for key, text in budget["TimePeriod"].items()}
    return budget


def _timestamp(text: str) -> float:
    return float(text) if text.isdigit() else datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def _call(operation: str, **parameters: Any) -> None:
    status, _, body = budgets.operations[operation]({"AccountId": get_account_id(), **parameters})
    if status >= 300:
        raise ValueError(json.loads(body)["message"])
