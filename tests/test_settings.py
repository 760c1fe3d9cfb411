"""Facts about settings: what is accepted, and what is said of mistakes."""

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from settings import Settings, SettingsError
from walkthroughs.catalog import STORIES

SECTION = "security_group_revert"
RULE = {"ip_protocol": "tcp", "from_port": 22, "to_port": 22, "cidr_ipv4": "10.0.0.0/8"}


def read(**fields: Any) -> Any:
    return Settings.from_context({f"{SECTION}:{name}": value for name, value in fields.items()}).security_group_revert


def mistakes(context: dict[str, Any]) -> str:
    with pytest.raises(SettingsError) as error:
        Settings.from_context(context)
    return str(error.value)


def test_no_settings_are_good_settings() -> None:
    settings = read()
    assert (settings.mode, settings.restore, settings.egress, settings.sweep_minutes) == ("revert", True, False, 5)
    assert settings.sample_group
    assert not settings.create_trail


def test_values_of_the_command_line_are_text() -> None:
    groups = json.dumps([{"group_id": "sg-0123456789abcdef0", "ingress": [RULE]}])
    settings = read(sweep_minutes="10", restore="false", groups=groups)
    assert (settings.sweep_minutes, settings.restore) == (10, False)
    assert settings.groups[0].ingress[0].cidr_ipv4 == "10.0.0.0/8"


def test_production_is_one_setting_for_all_and_off() -> None:
    assert not Settings().production
    assert Settings.from_context({"production": "true"}).production
    assert 'production: given "yes, please"; accepted: true or false' in mistakes({"production": "yes, please"})


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        read().mode = "notify"


@pytest.mark.parametrize("key", ["security_group_revert:sweep_minutes", "multi_region_api:check_threshold"])
def test_truth_value_is_no_number(key: str) -> None:
    assert f"{key}: given true; accepted: a number" in mistakes({key: True})
    check = {"name": "orders", "url": "https://example.com/", "seconds": True}
    assert "checks[0].seconds: given true; accepted: a number" in mistakes({"multi_region_api:checks": [check]})


def test_keys_of_cdk_are_passed_over() -> None:
    Settings.from_context({"@aws-cdk/core:x": True, "aws:cdk:enable-path-metadata": True, "vpc-provider:account=1": {}})


def test_all_mistakes_are_told_at_once_each_with_its_key() -> None:
    text = mistakes(
        {
            f"{SECTION}:mode": "undo",
            f"{SECTION}:sweep_minutes": "often",
            f"{SECTION}:emial": "ops@example.com",
            f"{SECTION}:email": "ops at example.com",
            "security_grup_revert:mode": "revert",
            f"{SECTION}:groups": [{"group_id": "web", "ingress": [{**RULE, "from_port": 70000}]}],
        }
    )
    for expected in (
        f"{SECTION}:mode: given \"undo\"; accepted: 'revert' or 'notify'",
        f'{SECTION}:sweep_minutes: given "often"',
        f'{SECTION}:email: given "ops at example.com"; accepted: an e-mail address, such as ops@example.com',
        f"{SECTION}:emial: no such setting; there is mode, email",
        f"security_grup_revert:mode: no such system; there is {', '.join(sorted(STORIES))}",
        f'{SECTION}:groups[0].group_id: given "web"; accepted: the id of a security group, such as sg-',
        f"{SECTION}:groups[0].ingress[0].from_port: given 70000",
    ):
        assert expected in text, f"missing: {expected}\nin:\n{text}"


@pytest.mark.parametrize("key", ["static-site:waf", "static_site.waf", "Static_Site:waf", "static_site:waf-rules"])
def test_key_that_seems_to_be_ours_is_not_passed_over(key: str) -> None:
    assert f"{key}: settings of static_site are written static_site:<name>" in mistakes({key: True})


def test_key_without_its_system_is_not_passed_over() -> None:
    assert "volume_gb: settings are written with their system, analytics_host:volume_gb" in mistakes({"volume_gb": 50})
    said = mistakes({"email": "ops@example.com"})
    assert "security_group_revert:email" in said
    assert "analytics_host:email" in said
    assert "prodction: no such setting; there is production" in mistakes({"prodction": True})


def test_list_whose_quotes_the_shell_has_taken_is_explained() -> None:
    assert "a list, as JSON" in mistakes({"static_site:files": "[/LICENSE]"})


@given(st.dictionaries(st.sampled_from(["mode", "email", "groups", "restore", "vpc_id"]), st.text() | st.integers()))
def test_any_value_is_accepted_or_refused_with_its_key(fields: dict[str, Any]) -> None:
    context = {f"{SECTION}:{name}": value for name, value in fields.items()}
    try:
        Settings.from_context(context)
    except SettingsError as error:
        head, *mistaken = str(error).splitlines()
        assert mistaken, head
        for line in mistaken:
            assert line.strip().startswith(tuple(context)), f"names no key that was given: {line}"
