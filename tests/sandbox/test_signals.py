"""Facts about waiting for signals, as CloudFormation's creation policies do."""

import threading

import pytest

from sandbox.cloudformation.signals import Signals, signals_of


def test_enough_signals_of_success_end_the_wait() -> None:
    signals = Signals()
    threading.Timer(0.05, signals.add, ("i-1", "SUCCESS")).start()
    signals.wait(1, 5)


@pytest.mark.reliability(
    "analytics_host",
    "Duplicate",
    fault="the signal comes twice",
    expected="counts once",
    observed="two signals of one host are not two hosts",
)
def test_same_signal_twice_counts_once() -> None:
    signals = Signals()
    signals.add("i-1", "SUCCESS")
    signals.add("i-1", "SUCCESS")
    with pytest.raises(RuntimeError, match="Failed to receive 2"):
        signals.wait(2, 0.05)


@pytest.mark.reliability("analytics_host", "Partial failure", fault="a step of the boot script fails")
def test_failure_ends_the_wait_at_once() -> None:
    signals = Signals()
    signals.add("i-1", "FAILURE")
    with pytest.raises(RuntimeError, match="Received FAILURE signal with UniqueId i-1"):
        signals.wait(1, 60)


def test_signals_for_an_earlier_resource_of_that_name_do_not_count() -> None:
    signals_of("stack", "Host").add("i-1", "SUCCESS")
    with pytest.raises(RuntimeError, match="Failed to receive 1"):
        signals_of("stack", "Host").wait(1, 0.05)


@pytest.mark.reliability("analytics_host", "Lost", fault="the signal")
def test_no_signal_in_time_is_a_failure() -> None:
    with pytest.raises(RuntimeError, match="Failed to receive 1"):
        Signals().wait(1, 0.05)
