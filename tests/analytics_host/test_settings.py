"""Settings of analytics_host: accepted values and error messages."""

import pytest

from settings import Settings, SettingsError


@pytest.mark.parametrize("zone", ["us-east-1a", "us-east-1f", "eu-west-1c"])
def test_name_of_availability_zone_is_accepted(zone: str) -> None:
    settings = Settings.from_context({"analytics_host:availability_zone": zone})
    assert settings.analytics_host.availability_zone == zone


@pytest.mark.parametrize("zone", ["us-east-1", "us-east-1A", "us-east-1X", "us-east-1z", "us-east-9a", "b", "use1-az1"])
def test_other_availability_zone_is_rejected(zone: str) -> None:
    with pytest.raises(SettingsError, match="the name of an Availability Zone, such as us-east-1b"):
        Settings.from_context({"analytics_host:availability_zone": zone})
