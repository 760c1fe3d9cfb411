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


@pytest.mark.parametrize(
    ("setting", "values"),
    [
        ("read_locations", ["s3://orders/2026/", "s3://logs/"]),
        ("read_databases", ["orders", "web-logs_2026"]),
        ("extra_policies", ["arn:aws:iam::aws:policy/service-role/Example", "arn:aws-cn:iam::111111111111:policy/A+b"]),
    ],
)
def test_readable_data_and_policies_are_accepted(setting: str, values: list[str]) -> None:
    settings = Settings.from_context({f"analytics_host:{setting}": values})
    assert getattr(settings.analytics_host, setting) == tuple(values)


@pytest.mark.parametrize(
    ("setting", "value", "reason"),
    [
        ("read_locations", "s3://orders/2026/*", "with a trailing slash and no wildcards"),
        ("read_locations", "s3://*/", "with a trailing slash and no wildcards"),
        ("read_databases", "orders/*", "the name of a Glue database"),
        ("read_databases", "Orders", "the name of a Glue database"),
        ("read_databases", "analytics_host", "the stack's database"),
        ("extra_policies", "ReadOrders", "the ARN of a managed policy, such as"),
        ("extra_policies", "arn:aws:iam::111111111111:role/Admin", "the ARN of a managed policy, such as"),
        ("extra_policies", "arn:aws:iam::111111111111:policy/*", "the ARN of a managed policy, such as"),
    ],
)
def test_other_readable_data_and_policies_are_rejected(setting: str, value: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        Settings.from_context({f"analytics_host:{setting}": [value]})


@pytest.mark.parametrize("setting", ["read_locations", "read_databases", "extra_policies"])
def test_repeated_value_is_rejected(setting: str) -> None:
    values = {"read_locations": "s3://a-b/", "read_databases": "a", "extra_policies": "arn:aws:iam::aws:policy/A"}
    with pytest.raises(SettingsError, match=f"{setting}.* has a value more than once"):
        Settings.from_context({f"analytics_host:{setting}": [values[setting]] * 2})


def test_more_characters_than_the_role_policy_allows_are_rejected() -> None:
    locations = [f"s3://{number}{'b' * 62}/{'p' * 100}/" for number in range(10)]
    with pytest.raises(SettingsError, match=r"has 1\d{3} characters; IAM's quota allows 1500"):
        Settings.from_context({"analytics_host:read_locations": locations})
