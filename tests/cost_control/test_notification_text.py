"""Subjects and texts of notifications, from events as the state machines pass them: decoded JSON."""

import json
from typing import Any

import pytest

from lambdas.cost_control.notification_text import DELAY, MAX_LINES, guard_notification, release_notification
from lambdas.cost_control.record import Result

PLAN: dict[str, Any] = {
    "period": "2026-11",
    "spend": {"actual": "1101.5", "limit": "1000", "forecast": "1234.56", "unit": "USD"},
    "thresholds": ["ACTUAL-99_5", "FORECASTED-100"],
    "mode": "enforce",
    "actions": [],
    "problems": [],
    "leftOver": 0,
}
NOT_DONE = "OperationNotPermitted: The instance may not be stopped."


def decoded(value: Any) -> Any:
    return json.loads(json.dumps(value))


def notify(results: list[dict[str, str]], failure: str = "", **plan: Any) -> tuple[str, str]:
    return guard_notification("Beta", decoded(PLAN | plan), decoded(results), failure, "arn:release")


def test_guard_notification_has_what_was_done_and_what_was_not() -> None:
    subject, text = notify(
        [
            {"item": "deny_group/projectBeta", "status": "done", "reason": ""},
            {"item": "stop_instance/i-1", "status": "failed", "reason": NOT_DONE},
        ],
        problems=[{"item": "deny_role/deployer", "reason": "it is exempt"}],
        leftOver=7,
    )
    assert subject == "Beta: 110 % of the budget, 1 done, 1 failed"
    assert text.split("\n\n") == [
        "Project Beta, 2026-11: 1,101.50 USD of 1,000.00 USD (110 %), forecast 1,234.56 USD.",
        "Reached: 99.5 % of the budget (actual)",
        "Reached: 100 % of the budget (forecasted)",
        "Done:\n  group projectBeta: denied permission to start anything new",
        "Not done:\n  instance i-1: OperationNotPermitted: The instance may not be stopped.",
        "Cannot be done:\n  role deployer: it is exempt",
        "7 more follow in the next check.",
        "All of it is recorded, and undone when the month ends or with:\n"
        "aws stepfunctions start-execution --state-machine-arn arn:release",
        DELAY,
    ]


def test_report_lists_what_would_be_done() -> None:
    actions = [{"kind": "deny_group", "name": "projectBeta"}, {"kind": "scale_to_zero", "name": "web.example"}]
    subject, text = notify([], mode="report", actions=actions, thresholds=["ACTUAL-100"])
    assert subject == "Beta: 110 % of the budget, reported"
    assert text.split("\n\n") == [
        "Project Beta, 2026-11: 1,101.50 USD of 1,000.00 USD (110 %), forecast 1,234.56 USD.",
        "Reached: 100 % of the budget (actual)",
        "With mode=enforce this would be done (nothing was changed):\n"
        "  group projectBeta: denied permission to start anything new\n"
        "  Auto Scaling group web[.]example: scaled to zero",
        DELAY,
    ]


@pytest.mark.parametrize(("count", "last"), [(MAX_LINES, f"i-{MAX_LINES - 1}: stopped"), (MAX_LINES + 2, "and 2 more")])
def test_long_list_is_shortened(count: int, last: str) -> None:
    results = [{"item": f"stop_instance/i-{number}", "status": "done", "reason": ""} for number in range(count)]
    subject, text = notify(results)
    assert f"{count} done" in subject
    lines = text.split("Done:\n")[1].split("\n\n")[0].split("\n")
    assert len(lines) == MAX_LINES + ("more" in last)
    assert lines[-1].endswith(last)


def test_release_notification_has_what_was_undone_and_what_was_not() -> None:
    released = [
        {"item": "deny_group/projectBeta", "status": "undone", "reason": ""},
        {"item": "scale_to_zero/web", "status": "kept", "reason": ""},
        {"item": "stop_instance/i-1", "status": "gone", "reason": ""},
        {"item": "stop_instance/i-2", "status": "done", "reason": "InsufficientInstanceCapacity: later"},
    ]
    event = {"released": released, "closed": 5, "open": 1, "failure": "Undo: http://16909060"}
    subject, text = release_notification("Beta", decoded(event))
    assert subject == "Beta: released, 1 not undone"
    assert text.split("\n\n") == [
        "Project Beta is released: 5 of 6 recorded actions are closed.",
        "The release failed: Undo: http[:]//16909060",
        "Undone:\n  group projectBeta: as before\n"
        "  Auto Scaling group web: left as it is: somebody has changed it\n"
        "  instance i-1: nothing is left to undo",
        "Not undone:\n  instance i-2: InsufficientInstanceCapacity: later",
        "The log of the function Undo lists all results.",
    ]


def test_release_notification_with_all_results_names_no_log() -> None:
    released = [Result(item="deny_group/projectBeta", status="undone", reason="")]
    _, text = release_notification("Beta", {"released": released, "closed": 1, "open": 0, "failure": ""})
    assert text.split("\n\n") == [
        "Project Beta is released: 1 of 1 recorded actions are closed.",
        "Undone:\n  group projectBeta: as before",
    ]
