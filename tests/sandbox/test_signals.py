"""Tests of waiting for signals, as CloudFormation's creation policies do."""

import threading

import pytest

from sandbox.cloudformation.signals import Signals, signals_of


def test_wait_ends_with_enough_success_signals() -> None:
    signals = Signals()
    threading.Timer(0.05, signals.add, ("i-1", "SUCCESS")).start()
    signals.wait(1, 5)


@pytest.mark.reliability(
    "analytics_host",
    "Duplicate",
    fault="the signal is sent twice",
    expected="it counts once",
    observed="two signals of one host do not count as two hosts",
)
def test_wait_counts_duplicate_signal_once() -> None:
    signals = Signals()
    signals.add("i-1", "SUCCESS")
    signals.add("i-1", "SUCCESS")
    with pytest.raises(RuntimeError, match="Failed to receive 2"):
        signals.wait(2, 0.05)


@pytest.mark.reliability("analytics_host", "Partial failure", fault="a step of the boot script fails")
def test_wait_ends_with_failure_signal() -> None:
    signals = Signals()
    signals.add("i-1", "FAILURE")
    with pytest.raises(RuntimeError, match="Received FAILURE signal with UniqueId i-1"):
        signals.wait(1, 60)


def test_wait_ignores_signals_for_earlier_resource() -> None:
    signals_of("stack", "Host").add("i-1", "SUCCESS")
    with pytest.raises(RuntimeError, match="Failed to receive 1"):
        signals_of("stack", "Host").wait(1, 0.05)


@pytest.mark.reliability("analytics_host", "Lost event or response", fault="the signal is not sent")
def test_wait_without_signal_fails() -> None:
    with pytest.raises(RuntimeError, match="Failed to receive 1"):
        Signals().wait(1, 0.05)
