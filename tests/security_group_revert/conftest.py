"""Shared by the tests of this folder: no test waits for EC2 to become consistent."""

import pytest


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses before the group is read again, which are kept here instead of being waited."""
    kept: list[float] = []
    monkeypatch.setattr("time.sleep", kept.append)
    return kept
