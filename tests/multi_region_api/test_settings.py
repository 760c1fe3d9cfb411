"""Settings of multi_region_api: accepted values and error messages."""

import json
from typing import Any

import pytest

from settings import Settings, SettingsError
from settings.regions import partitions

SECTION = "multi_region_api"


def read(**fields: Any) -> Any:
    return Settings.from_context({f"{SECTION}:{name}": value for name, value in fields.items()}).multi_region_api


def mistakes(**fields: Any) -> str:
    with pytest.raises(SettingsError) as error:
        read(**fields)
    return str(error.value)


def test_the_posts_values_are_the_default() -> None:
    settings = read()
    assert settings.regions == ("us-east-1", "us-west-2")
    assert (settings.check_seconds, settings.check_threshold) == (30, 2)
    assert settings.domain_name is None
    assert not settings.checks


def test_values_of_the_command_line_are_text() -> None:
    checks = json.dumps([{"name": "orders", "table": "Orders", "seconds": 0.5}])
    settings = read(regions='["eu-west-1"]', check_seconds="10", check_threshold="3", checks=checks, waf="true")
    assert (settings.regions, settings.check_seconds, settings.check_threshold) == (("eu-west-1",), 10, 3)
    assert settings.checks[0].table == "Orders"
    assert settings.waf


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"regions": []}, "regions: given []"),
        ({"regions": ["us-east-1", "us-east-1"]}, "each region once"),
        ({"regions": ["virginia"]}, 'regions[0]: given "virginia"; accepted: an AWS region'),
        ({"regions": ["us-east-9"]}, 'regions[0]: given "us-east-9"; accepted: an AWS region'),
        ({"regions": ["aws-global"]}, "accepted: an AWS region"),
        ({"regions": ["us-east-1", "cn-north-1"]}, "regions of one partition"),
        ({"check_seconds": "20"}, 'check_seconds: given "20"; accepted: 10 or 30'),
        ({"check_threshold": 11}, "check_threshold: given 11; accepted: a whole number from 1 to 10"),
        (
            {"domain_name": "api.example.com"},
            "needs multi_region_api:hosted_zone_id and multi_region_api:hosted_zone_name",
        ),
        ({"allowed_origin": "https://www.example.com/"}, "allowed_origin"),
        ({"allowed_origin": "*'; x"}, "allowed_origin"),
        ({"checks": [{"name": "both", "table": "Orders", "url": "https://example.com/"}]}, "table or url; given both"),
        ({"checks": [{"name": "none"}]}, "needs either table or url; given neither"),
        ({"checks": [{"name": "plain", "url": "http://example.com/"}]}, "checks[0].url"),
        (
            {"checks": [{"name": "slow", "table": "Orders", "seconds": 1.6}]},
            "checks[0].seconds: given 1.6; accepted: a number from 0.1 to 1.5",
        ),
        ({"checks": [{"name": "none", "table": "Orders", "seconds": 0}]}, "checks[0].seconds: given 0"),
        ({"checks": [{"name": "odd", "url": "https://user@example.com/"}]}, "checks[0].url"),
        ({"checks": [{"name": "odd", "url": "https://-.example.com/"}]}, "checks[0].url"),
        ({"checks": [{"name": "odd", "url": "https://example.com:65536/"}]}, "checks[0].url"),
        (
            {"checks": [{"name": "page", "url": "https://example.com/", "partition_key": "id"}]},
            "partition_key=id has no effect with url=https://example.com/",
        ),
        ({"requests_per_second": 0}, "requests_per_second: given 0; accepted: a whole number from 1 to 10000"),
        ({"check_threshold": 0}, "check_threshold: given 0"),
        ({"checks": [{"name": "a", "table": "Orders"}, {"name": "a", "table": "Users"}]}, "each name once"),
    ],
)
def test_wrong_setting_is_refused_with_what_is_accepted(fields: dict[str, Any], said: str) -> None:
    text = mistakes(**fields)
    assert said in text, text


def test_domain_name_must_be_in_its_zone() -> None:
    text = mistakes(domain_name="api.example.org", hosted_zone_id="Z1", hosted_zone_name="example.com")
    assert 'given "api.example.org"; is not in the zone multi_region_api:hosted_zone_name="example.com"' in text
    assert read(domain_name="example.com", hosted_zone_id="Z1", hosted_zone_name="example.com").domain_name


def test_every_region_of_botocore_is_in_its_partition() -> None:
    assert partitions()["eu-west-1"] == "aws"
    assert partitions()["cn-north-1"] == "aws-cn"
    assert read(regions=["us-gov-west-1", "us-gov-east-1"]).regions == ("us-gov-west-1", "us-gov-east-1")
