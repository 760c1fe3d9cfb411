"""Log entries, which people query by their keys."""

from typing import Any

import pytest

from .fake_aws import error
from .month import DECEMBER, Month

KEYS = ("period", "actual", "limit", "thresholds", "execution", "actions", "item", "status", "reason")


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Any:
    """Return a function that returns the entries since its last call: the message and the documented keys of each."""
    caplog.set_level("INFO", "lambdas.cost_control")

    def entries() -> list[dict[str, Any]]:
        found = [
            {"message": record.message, **{key: vars(record)[key] for key in KEYS if key in vars(record)}}
            for record in caplog.records
        ]
        caplog.clear()
        return found

    return entries


def test_checks_are_logged_with_the_cost_and_the_thresholds(month: Month, logged: Any) -> None:
    cost = {"period": "2026-11", "limit": "100.0"}
    month.account.set_cost(80)
    month.message()
    assert logged() == [{"message": "The cost is below every threshold", **cost, "actual": "80"}]
    month.account.set_cost(101)
    reached = cost | {"actual": "101", "thresholds": "ACTUAL-100 ACTUAL-80", "execution": month.message()}
    assert logged() == [{"message": "The cost has reached a threshold", **reached}]
    month.message()
    assert logged() == [{"message": "An execution for these thresholds exists", **reached}]


def test_actions_are_logged_with_their_results(logged: Any) -> None:
    month = Month(groups=["projectBeta", "missing"])
    month.account.set_cost(101)
    month.account.faults["attach_group_policy"].append(error("AccessDenied", "no"))
    month.guard()
    missing = "NoSuchEntity: The group with name missing cannot be found."
    planned = {"period": "2026-11", "actual": "101", "limit": "100.0", "thresholds": "ACTUAL-80 ACTUAL-100"}
    refused = {"item": "deny_group/projectBeta", "reason": "AccessDenied: no"}
    assert logged() == [
        {"message": "AWS refused a call", "item": "missing", "reason": missing},
        {"message": "Planned", **planned, "actions": 1},
        {"message": "An action is not possible", "item": "deny_group/missing", "reason": missing},
        {"message": "AWS refused a call", **refused},
        {"message": "Acted", "status": "failed", **refused},
    ]


def test_releases_are_logged_with_their_results(logged: Any) -> None:
    month = Month()
    month.account.set_cost(101)
    month.guard()
    logged()
    month.release(DECEMBER)
    undone = {"period": "2026-11", "item": "deny_group/projectBeta", "status": "undone", "reason": ""}
    assert logged() == [{"message": "Released", **undone}]


def test_cost_of_last_month_is_logged(month: Month, logged: Any) -> None:
    month.account.set_cost(101)
    month.message()
    logged()
    month.now = DECEMBER
    assert month.message() == ""
    assert logged() == [{"message": "Budgets still shows last month's cost", "actual": "101"}]
