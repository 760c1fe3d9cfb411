"""Shared fixtures."""

import pytest

from .month import Month


@pytest.fixture
def month() -> Month:
    month = Month()
    month.account.add_instance("i-1", Project="Beta")
    month.account.add_instance("i-2", Project="Beta")
    month.account.add_instance("i-other", Project="Alpha")
    month.account.add_instance("i-exempt", Project="Beta", KeepRunning="yes")
    month.account.scaling["web"] = {
        "MinSize": 1,
        "MaxSize": 4,
        "DesiredCapacity": 2,
        "Tags": [{"Key": "Project", "Value": "Beta"}],
    }
    return month
