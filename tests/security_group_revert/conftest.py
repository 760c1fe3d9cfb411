"""Shared by the tests of this folder: no test waits for EC2 to become consistent."""

import pytest

from lambdas.security_group_revert import respond


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses before the group is read again, which are kept here instead of being waited."""
    kept: list[float] = []
    monkeypatch.setattr(respond.time, "sleep", kept.append)
    return kept
