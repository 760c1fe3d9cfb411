"""Settings: which context keys and values are accepted, and how invalid ones are reported."""

import json
import os
import re
import subprocess
import sys
import time
from operator import attrgetter
from typing import Any, Literal, Self

import pytest
from hypothesis import given, strategies as st
from pydantic import model_validator

from settings import CDK_KEY, Settings, SettingsError
from settings.analytics_host import AnalyticsHostSettings
from settings.types import nested_model

from .conftest import ROOT

SECTION = "security_group_revert"
SYSTEMS = [name for name, field in Settings.model_fields.items() if nested_model(field.annotation)]
CDK_CLI = ROOT / "node_modules" / "aws-cdk" / "lib" / "index.js"
RULE = {"ip_protocol": "tcp", "from_port": 22, "to_port": 22, "cidr_ipv4": "10.0.0.0/8"}


def read(**fields: Any) -> Any:
    return Settings.from_context({f"{SECTION}:{name}": value for name, value in fields.items()}).security_group_revert


def error_message(context: dict[str, Any]) -> str:
    with pytest.raises(SettingsError) as error:
        Settings.from_context(context)
    return str(error.value)


def test_settings_without_context_are_valid() -> None:
    settings = read()
    assert (settings.mode, settings.restore, settings.guard_egress, settings.sweep_minutes) == (
        "revert",
        True,
        False,
        5,
    )
    assert settings.sample_group
    assert not settings.create_trail


def test_command_line_text_is_converted() -> None:
    groups = json.dumps([{"group_id": "sg-0123456789abcdef0", "ingress": [RULE]}])
    settings = read(sweep_minutes="10", restore="false", groups=groups)
    assert (settings.sweep_minutes, settings.restore) == (10, False)
    assert settings.groups[0].ingress[0].cidr_ipv4 == "10.0.0.0/8"


class WithOwner(Settings):
    owner: Literal["team", "company"] = "team"


def test_field_of_settings_is_read_for_all_systems() -> None:
    """A setting for all systems needs only a field of `Settings`."""
    assert WithOwner.from_context({"owner": "company", "static_site:waf": "true"}).owner == "company"
    with pytest.raises(SettingsError, match=r"owner: invalid value \"me\" \(valid: 'team' or 'company'"):
        WithOwner.from_context({"owner": "me"})
    with pytest.raises(SettingsError, match="valid: production, owner, deploy_pipeline"):
        WithOwner.from_context({"xyz": "1"})


def test_production_defaults_to_false() -> None:
    assert not Settings().production
    assert Settings.from_context({"production": "true"}).production
    assert 'production: invalid value "yes, please" (valid: true or false' in error_message(
        {"production": "yes, please"}
    )


def test_settings_are_immutable() -> None:
    with pytest.raises(ValueError, match="frozen"):
        read().mode = "notify"


@pytest.mark.parametrize("key", ["security_group_revert:sweep_minutes", "multi_region_api:failure_threshold"])
def test_boolean_is_not_a_number(key: str) -> None:
    assert f"{key}: invalid value true (valid: a whole number from 1 to" in error_message({key: True})
    check = {"name": "orders", "url": "https://example.com/", "timeout_seconds": True}
    assert "dependencies[0].timeout_seconds: invalid value true (valid: a number from 0.1 to 1.5" in error_message(
        {"multi_region_api:dependencies": [check]}
    )


# Keys that the CDK CLI and library add to the context, or read from cdk.json, cdk.context.json and ~/.cdk.json.
CDK_KEYS = [
    "@aws-cdk/core:newStyleStackSynthesis",
    "@aws-cdk/core.TreeMetadata:maxNodes",
    "@aws-cdk/aws-iam.arnSizeEstimate",
    "@aws-cdk-containers/ecs-service-extensions:enableDefaultLogDriver",
    "aws:cdk:enable-path-metadata",
    "aws:cdk:bundling-stacks",
    "aws-cdk:enableDiffNoFail",
    "acknowledged-issue-numbers",
    "cli-telemetry",
    "cdk-migrate",
    "assets-ecr-repository-name",
]


@pytest.mark.parametrize("key", CDK_KEYS)
def test_cdk_key_is_ignored(key: str) -> None:
    assert Settings.from_context({key: True}) == Settings()


def test_cdk_json_sets_no_setting_to_its_default() -> None:
    """Otherwise a new default in `settings/` would have no effect on deployments."""
    context = json.loads((ROOT / "cdk.json").read_text())["context"]
    settings = Settings.from_context(context)
    paths = {key: attrgetter(key.replace(":", ".")) for key in context if not CDK_KEY.fullmatch(key)}
    pinned = [key for key, value_of in paths.items() if value_of(settings) == value_of(Settings())]
    assert not pinned, f"remove from cdk.json: {pinned}"


@pytest.mark.skipif(not CDK_CLI.exists(), reason="the CDK CLI is not installed")
def test_cdk_cli_flags_and_lookups_are_ignored() -> None:
    """The CLI's source names them; the Python package has no list."""
    source = CDK_CLI.read_text()
    flags = set(re.findall(r'exports2\.[A-Z0-9_]+ = "(@aws-cdk/[^"]+|aws:cdk:[a-z:-]+)"', source))
    providers = set(re.findall(r'ContextProvider\d*\["[A-Z_]+"\] = "([a-z-]+)"', source))
    assert {"@aws-cdk/core:enablePartitionLiterals", "aws:cdk:bundling-stacks"} <= flags
    assert {"ami", "vpc-provider", "plugin"} <= providers
    lookups = {f"{provider}:account=111111111111:region=us-east-1" for provider in providers}
    Settings.from_context(dict.fromkeys(flags | lookups, True))


def test_all_errors_are_reported_together_with_their_keys() -> None:
    text = error_message(
        {
            f"{SECTION}:mode": "cleanup",
            f"{SECTION}:sweep_minutes": "often",
            f"{SECTION}:emial": "ops@example.com",
            f"{SECTION}:email": "ops at example.com",
            f"{SECTION}:groups": [{"group_id": "web", "ingress": [{**RULE, "from_port": 70000, "cidr": "::/0"}]}],
            f"{SECTION}:sample_group": False,
            f"{SECTION}:vpc_id": "vpc-01234567",
            "analytics_host:email": "ops@example.com",
        }
    )
    for expected in (
        "Invalid settings:\n",
        f"{SECTION}:mode: invalid value \"cleanup\" (valid: 'revert' or 'notify'",
        f'{SECTION}:sweep_minutes: invalid value "often" (valid: a whole number from 1 to 1440',
        f'{SECTION}:email: invalid value "ops at example.com" (valid: an email address of at most 254 characters',
        f"{SECTION}:emial: unknown setting; did you mean {SECTION}:email?",
        f'{SECTION}:groups[0].group_id: invalid value "web" (valid: the ID of a security group, such as sg-',
        f"{SECTION}:groups[0].ingress[0].from_port: invalid value 70000 (valid: a whole number from -1 to 65535",
        f"{SECTION}:groups[0].ingress[0].cidr: unknown field (valid: ip_protocol, from_port, to_port, cidr_ipv4, ",
        f'{SECTION}:vpc_id="vpc-01234567" has no effect with {SECTION}:sample_group=false',
        'analytics_host:email="ops@example.com" needs analytics_host:stop_schedule',
    ):
        assert expected in text, f"missing: {expected}\nin:\n{text}"


def test_conflict_with_an_invalid_setting_is_not_reported() -> None:
    """Correcting that setting may resolve it: here, a group would be guarded."""
    text = error_message({f"{SECTION}:sample_group": False, f"{SECTION}:groups": [{"group_id": "web"}]})
    assert "needs at least one group" not in text, text


@pytest.mark.parametrize("values", [{}, {"volume_gb": 1}])
def test_error_of_a_model_validator_names_the_system(values: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings should use `conflicts` instead, because pydantic runs no model validator while a field is invalid."""

    class Validated(AnalyticsHostSettings):
        @model_validator(mode="after")
        def check(self) -> Self:
            if self.model_fields_set:
                raise ValueError("needs a wider subnet")
            return self

    monkeypatch.setattr(Settings, "_systems", lambda: {"analytics_host": Validated})
    text = error_message({"analytics_host:user_name": "me"} | {f"analytics_host:{k}": v for k, v in values.items()})
    expected = "analytics_host:volume_gb: invalid value 1" if values else "analytics_host: needs a wider subnet"
    assert text.startswith(f"Invalid settings:\n  {expected}")


@pytest.mark.parametrize(
    ("key", "suggestion"),
    [
        ("SecurityGroupRevert:email", "security_group_revert:email"),
        ("StaticSite:waf", "static_site:waf"),
        ("static-site:waf", "static_site:waf"),
        ("static_site.waf", "static_site:waf"),
        ("static_site-waf", "static_site:waf"),
        ("Static_Site:WAF", "static_site:waf"),
        ("static_site:domainName", "static_site:domain_name"),
        ("security_grup_revert:mode", "security_group_revert:mode"),
        ("MultiRegionApi-us-east-1:waf", "multi_region_api:waf"),
        ("volume_gb", "analytics_host:volume_gb"),
        ("waf", "multi_region_api:waf or static_site:waf"),
        ("prod", "production"),
        ("prodction", "production"),
        ("PRODUCTION", "production"),
    ],
)
def test_unknown_key_is_rejected_with_a_suggestion(key: str, suggestion: str) -> None:
    assert error_message({key: "true"}) == f"Invalid settings:\n  {key}: unknown setting; did you mean {suggestion}?"


def test_unknown_key_without_match_lists_valid_keys() -> None:
    assert "static_site:colour: unknown setting (valid: domain_name, " in error_message({"static_site:colour": "red"})
    assert "owner: unknown setting (valid: production, deploy_pipeline:<setting>, " in error_message({"owner": "team"})


@pytest.mark.parametrize("key", ["static_site", "StaticSite", "static-site"])
def test_system_name_as_key_lists_its_settings(key: str) -> None:
    """It resembles `static_site_waf`, but does not name a setting."""
    expected = f"{key}: is a system, not a setting (valid: static_site:domain_name, static_site:hosted_zone_id, "
    assert expected in error_message({key: "true"})


def test_list_without_quotes_explains_json() -> None:
    expected = "(valid: a JSON list; quote it for the shell: -c 'static_site:allowed_files=[\"...\"]')"
    assert expected in error_message({"static_site:allowed_files": "[downloads/a.sql]"})
    assert "a JSON list" in error_message({"static_site:allowed_files": "[" * 100_000})


def test_invalid_json_value_does_not_explain_quotes() -> None:
    permissions = '[{"actions": "s3:GetObject", "resources": ["*"]}]'
    assert error_message({"deploy_pipeline:permissions": permissions}).endswith(
        'deploy_pipeline:permissions[0].actions: invalid value "s3:GetObject" (valid: a list)'
    )
    assert error_message({"static_site:allowed_files": "{}"}).endswith("invalid value {} (valid: a list)")


@pytest.mark.parametrize("part", ["a", ".", "a.", "a-", "a/", "/"])
@pytest.mark.parametrize("start", ["", "a@", "https://", "s3://", "arn:aws:", "cron(0 ", "\0"])
def test_long_text_is_rejected_quickly(start: str, part: str) -> None:
    """The time of a regular expression must not grow quadratically."""
    text = start + part * 20_000 + " @"  # matches no pattern, so one that backtracks tries every part
    keys = [f"{system}:{name}" for system in SYSTEMS for name in fields_of(system)]
    began = time.process_time()
    for value in (text, [text], [{"name": text, "table": text, "url": text, "group_id": text}]):
        with pytest.raises(SettingsError):
            Settings.from_context(dict.fromkeys(keys, value))
    assert time.process_time() - began < 5  # a quadratic pattern takes minutes


def fields_of(system: str) -> list[str]:
    section = Settings.model_fields[system].annotation
    assert section
    return list(section.model_fields)


@given(st.dictionaries(st.sampled_from(["mode", "email", "groups", "restore", "vpc_id"]), st.text() | st.integers()))
def test_any_value_is_accepted_or_rejected_with_its_key(fields: dict[str, Any]) -> None:
    context = {f"{SECTION}:{name}": value for name, value in fields.items()}
    try:
        Settings.from_context(context)
    except SettingsError as error:
        head, *lines = str(error).splitlines()
        assert lines, head
        for line in lines:
            assert line.strip().startswith(tuple(context)), f"does not begin with a key: {line}"


def test_app_with_invalid_setting_prints_only_the_message() -> None:
    environment = dict(os.environ) | {"CDK_CONTEXT_JSON": json.dumps({"StaticSite:waf": "true"})}
    run = subprocess.run(
        [sys.executable, "app.py"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert run.stderr == "Invalid settings:\n  StaticSite:waf: unknown setting; did you mean static_site:waf?\n"
    assert not run.stdout
