"""Several sites in one account: the setting `stack_name`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from settings import Settings, SettingsError

from ..conftest import Assembly, synthesize
from ..test_settings import error_message


def account_wide_names(template: dict[str, Any]) -> Iterator[str]:
    """Yield the names of resources that must be unique in an account."""
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        configs = [value for value in properties.values() if isinstance(value, dict)]
        yield from (str(part["Name"]) for part in [properties, *configs] if "Name" in part)


@pytest.mark.reliability(
    "static_site",
    "System-specific",
    fault="a second site in the same account",
    expected="no resource has the name of one of the first site",
    observed="template: names of policies, access controls, functions and log deliveries contain the stack name",
)
def test_second_site_shares_no_name_with_the_first(assembly: Assembly, tmp_path: Path) -> None:
    context = {"static_site:stack_name": "Blog", "static_site:edge": "function"}
    second = synthesize(tmp_path, context, "Blog")
    names = set(account_wide_names(second.template("Blog")))
    assert len(names) == 5, names
    assert not names & set(account_wide_names(assembly.template("StaticSite")))
    assert second.findings == []
    assert second.environment("Blog").endswith("/us-east-1")


@pytest.mark.parametrize("name", ["DeployPipeline", "MultiRegionApi-us-east-1"])
def test_name_of_another_stack_is_rejected(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=f'static_site:stack_name="{name}": another stack has this name'):
        synthesize(tmp_path, {"static_site:stack_name": name}, "StaticSite")


@pytest.mark.parametrize("name", ["1site", "my_site", "a" * 129, ""])
def test_invalid_stack_name_is_rejected(name: str) -> None:
    assert "a stack name: a letter" in error_message({"static_site:stack_name": name})


def test_longest_stack_name_is_accepted() -> None:
    settings = Settings.from_context({"static_site:stack_name": "a" * 128})
    assert settings.static_site.stack_name == "a" * 128
