"""Settings of multi_region_api: accepted values and error messages."""

import json
from typing import Any

import pytest

from settings import Settings, SettingsError
from settings.multi_region_api import MAX_REGIONS_WITH_DOMAIN_NAME
from settings.regions import supported_regions

SYSTEM = "multi_region_api"


def read(**fields: Any) -> Any:
    return Settings.from_context({f"{SYSTEM}:{name}": value for name, value in fields.items()}).multi_region_api


def errors(**fields: Any) -> str:
    with pytest.raises(SettingsError) as error:
        read(**fields)
    return str(error.value)


def test_defaults_are_those_of_the_original_post() -> None:
    settings = read()
    assert settings.regions == ("us-east-1", "us-west-2")
    assert (settings.request_interval, settings.failure_threshold) == (30, 2)
    assert settings.domain_name is None
    assert not settings.dependencies


def test_strings_from_the_command_line_are_converted() -> None:
    orders = {"name": "orders", "table": "Orders", "partition_key": "order", "timeout_seconds": 0.5}
    dependencies = json.dumps([orders])
    settings = read(
        regions='["eu-west-1"]', request_interval="10", failure_threshold="3", dependencies=dependencies, waf="true"
    )
    assert (settings.regions, settings.request_interval, settings.failure_threshold) == (("eu-west-1",), 10, 3)
    assert settings.dependencies[0].model_dump(exclude_unset=True) == orders
    assert settings.waf


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"regions": []}, "regions: invalid value []"),
        ({"regions": ["us-east-1", "us-east-1"]}, "no duplicate Regions"),
        ({"regions": ["virginia"]}, 'regions[0]: invalid value "virginia" (valid: an AWS Region'),
        ({"regions": ["us-east-9"]}, 'regions[0]: invalid value "us-east-9" (valid: an AWS Region'),
        ({"regions": ["aws-global"]}, "(valid: an AWS Region"),
        ({"regions": ["cn-north-1"]}, 'regions[0]: invalid value "cn-north-1" (valid: an AWS Region'),
        ({"regions": ["us-gov-west-1"]}, 'regions[0]: invalid value "us-gov-west-1" (valid: an AWS Region'),
        ({"request_interval": "20"}, 'request_interval: invalid value "20" (valid: 10 or 30'),
        ({"failure_threshold": 11}, "failure_threshold: invalid value 11 (valid: a whole number from 1 to 10"),
        (
            {"domain_name": "api.example.com"},
            "needs multi_region_api:hosted_zone_id and multi_region_api:hosted_zone_name",
        ),
        ({"allowed_origins": ["https://www.example.com/"]}, "allowed_origins"),
        ({"allowed_origins": ["*'; x"]}, "allowed_origins"),
        ({"allowed_origins": []}, "allowed_origins"),
        ({"allowed_origins": ["*", "https://www.example.com"]}, "allowed_origins"),
        ({"allowed_origins": ["https://www.example.com"] * 2}, "allowed_origins"),
        (
            {"dependencies": [{"name": "both", "table": "Orders", "url": "https://example.com/"}]},
            "table or url; given both",
        ),
        ({"dependencies": [{"name": "none"}]}, "needs either table or url; given neither"),
        ({"dependencies": [{"name": "plain", "url": "http://example.com/"}]}, "dependencies[0].url"),
        (
            {"dependencies": [{"name": "slow", "table": "Orders", "timeout_seconds": 1.6}]},
            "dependencies[0].timeout_seconds: invalid value 1.6 (valid: a number from 0.1 to 1.5",
        ),
        (
            {"dependencies": [{"name": "none", "table": "Orders", "timeout_seconds": 0}]},
            "dependencies[0].timeout_seconds: invalid value 0",
        ),
        ({"dependencies": [{"name": "odd", "url": "https://user@example.com/"}]}, "dependencies[0].url"),
        ({"dependencies": [{"name": "odd", "url": "https://-.example.com/"}]}, "dependencies[0].url"),
        ({"dependencies": [{"name": "odd", "url": "https://example.com:65536/"}]}, "dependencies[0].url"),
        (
            {"dependencies": [{"name": "page", "url": "https://example.com/", "partition_key": "id"}]},
            "partition_key=id has no effect with url=https://example.com/",
        ),
        ({"throttling_rate_limit": 0}, "throttling_rate_limit: invalid value 0 (valid: a whole number from 1 to 2000"),
        ({"failure_threshold": 0}, "failure_threshold: invalid value 0"),
        ({"dependencies": [{"name": "a", "table": "Orders"}, {"name": "a", "table": "Users"}]}, "unique names"),
    ],
)
def test_invalid_setting_raises_with_accepted_values(fields: dict[str, Any], message: str) -> None:
    text = errors(**fields)
    assert message in text, text


def test_domain_name_outside_its_zone_raises() -> None:
    text = errors(domain_name="api.example.org", hosted_zone_id="Z1", hosted_zone_name="example.com")
    assert '="api.example.org" is not in the zone multi_region_api:hosted_zone_name="example.com"' in text
    assert read(domain_name="example.com", hosted_zone_id="Z1", hosted_zone_name="example.com").domain_name


def test_regions_above_health_check_quota_are_rejected() -> None:
    """Each Region has a health check of every Region and a calculated one; Route 53's default quota is 200."""
    regions = sorted(supported_regions())[: MAX_REGIONS_WITH_DOMAIN_NAME + 1]
    assert MAX_REGIONS_WITH_DOMAIN_NAME * (MAX_REGIONS_WITH_DOMAIN_NAME + 1) <= 200 < len(regions) * (len(regions) + 1)
    zone = {"hosted_zone_id": "Z0123456789ABCDEFGHIJ", "hosted_zone_name": "example.com"}
    read(regions=json.dumps(regions))
    read(regions=json.dumps(regions), drains="false", domain_name="api.example.com", **zone)
    message = errors(regions=json.dumps(regions), domain_name="api.example.com", **zone)
    assert "has more than 13 Regions with" in message
