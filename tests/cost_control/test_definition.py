"""The definitions of the state machines: what runs after a failure, and that every path ends."""

from typing import Any

import pytest

from lambdas.cost_control.record import CLAIM_MINUTES
from stacks.cost_control import definition

MACHINES = {"guard": definition.guard(), "release": definition.release()}


def caught_by(state: dict[str, Any]) -> str:
    (catch,) = state["Catch"]
    assert catch["ErrorEquals"] == ["States.ALL"]
    return str(catch["Next"])


@pytest.mark.reliability(
    "cost_control",
    "Partial failure",
    fault="a function of the state machine fails",
    expected="the others still run, the failure is notified, and the execution fails, which raises an alarm",
    observed="Deny fails: Stop, Record Results and Notify follow, then Guard Failed",
)
def test_failure_of_one_function_does_not_skip_the_others() -> None:
    states = MACHINES["guard"]["States"]
    assert caught_by(states["Deny"]) == "Stop"
    assert caught_by(states["Stop"]) == "Record Results"
    assert caught_by(states["Record Results"]) == "Notify"
    assert states["Everything Done?"]["Default"] == "Guard Failed"


def test_nothing_is_done_that_is_not_recorded() -> None:
    states = MACHINES["guard"]["States"]
    assert caught_by(states["Record Plan"]) == "Notify"
    before = [name for name, state in states.items() if "Deny" in (state.get("Next"), state.get("Default"))]
    assert before == ["Record Plan"]


@pytest.mark.parametrize("machine", MACHINES)
def test_every_state_is_reachable_and_every_target_exists(machine: str) -> None:
    states = MACHINES[machine]["States"]
    targets = {MACHINES[machine]["StartAt"]}
    for state in states.values():
        targets |= {state[key] for key in ("Next", "Default") if key in state}
        targets |= {part["Next"] for key in ("Catch", "Choices") for part in state.get(key, ())}
    assert targets == states.keys()


def test_claims_outlive_the_execution() -> None:
    """Otherwise another execution could repeat an action while it is done."""
    assert MACHINES["guard"]["TimeoutSeconds"] <= CLAIM_MINUTES * 60


def test_release_waits_for_instances_that_are_stopping() -> None:
    states = MACHINES["release"]["States"]
    assert states["Wait"]["Next"] == "Undo"
    attempt = definition.RELEASE_INTERVAL + definition.TASK_TIMEOUT
    assert definition.RELEASE_ATTEMPTS * attempt + definition.TASK_TIMEOUT < MACHINES["release"]["TimeoutSeconds"]


@pytest.mark.reliability(
    "cost_control",
    "Timeout",
    fault="the function that undoes runs out of time",
    expected="what it has undone is recorded and notified, and the execution fails, which raises an alarm",
    observed="Notify follows, then Release Failed",
)
def test_failed_release_is_notified_before_it_fails() -> None:
    states = MACHINES["release"]["States"]
    assert caught_by(states["Undo"]) == "Notify"
    assert "$failure = ''" in states["Everything Undone?"]["Choices"][0]["Condition"]


@pytest.mark.parametrize("machine", MACHINES)
def test_function_that_timed_out_is_not_repeated(machine: str) -> None:
    """Five repetitions of five minutes would end the execution without a notification."""
    retries = [retry for state in MACHINES[machine]["States"].values() for retry in state.get("Retry", ())]
    assert retries
    assert not any("States.Timeout" in retry["ErrorEquals"] for retry in retries)
