"""Documentation: links, sections, settings, targets and emulated services agree with the code."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from settings import Settings
from settings.types import Range, SettingsModel, nested_model
from walkthroughs.catalog import WALKTHROUGHS

from .conftest import ROOT

PAGES = [*sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("*.md")), ROOT / "assets" / "README.md"]
SECTIONS = ["Deploy", "Settings", "Try", "Operate", "Remove", "Cost", "Differences from the original post"]
LINK = re.compile(r"\]\(([^)\s]+)\)")
MAX_README_WORDS = 800
DEFAULTS_IN_WORDS = {"content_security_policy", "permissions", "thresholds"}  # too long for a table


def headings(page: Path) -> list[str]:
    return re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Anchors of the headings, in GitHub's form."""
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings(page))
    return {heading.replace(" ", "-") for heading in kept}


def settings_model(system: str) -> type[SettingsModel]:
    model = nested_model(Settings.model_fields[system].annotation)
    assert model
    return model


def section_fields(system: str) -> set[str]:
    return set(settings_model(system).model_fields)


def settings_table(system: str) -> dict[str, tuple[str, str]]:
    """The documented default and description of each setting, by its name."""
    text = (ROOT / "docs" / f"{system}.md").read_text()
    table = text.split("\n## Settings\n")[1].split("\n## ")[0].split("\n### ")[0]
    rows = re.findall(r"^\|([^|]+)\|([^|]+)\|(.+)\|$", table, re.MULTILINE)
    return {name: (default.strip(), text) for names, default, text in rows for name in re.findall(r"`(\w+)`", names)}


def bounds(metadata: list[Any]) -> list[str]:
    """The minimum and maximum of a number, from the validators of its type."""
    arguments = (argument for item in metadata for argument in getattr(getattr(item, "func", None), "args", ()))
    return [str(limit) for item in arguments if isinstance(item, Range) for limit in (item.minimum, item.maximum)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_link_target_exists(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name} links to {link}, which does not exist"
        assert not anchor or anchor in anchors(target), f"{page.name} links to {link}, a missing heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    code = re.findall(r"`make ([a-z]\w*)", page.read_text()) + re.findall(r"^make ([a-z]\w*)", page.read_text(), re.M)
    assert set(code) <= targets, f"{page.name} names unknown targets: {set(code) - targets}"


def test_deployment_policies_in_commands_exist() -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    (path,) = re.findall(r"file://(\S+)\"", text)
    (parts,) = re.findall(r"for part in (.+);", text)
    named = {path.replace("$part", part) for part in parts.split()}
    policies = (ROOT / "docs" / "deployment_policies").glob("StaticSite*")
    assert named == {str(policy.relative_to(ROOT)) for policy in policies}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_setting_on_command_line_exists(page: Path) -> None:
    for system, name in re.findall(r"-c '?([a-z_]+):(\w+)=", page.read_text()):
        if system in WALKTHROUGHS:
            assert name in section_fields(system), f"{page.name} names the unknown setting {system}:{name}"


def test_readme_is_short_and_links_every_page() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.split()) < MAX_README_WORDS
    for page in ("architecture", "decisions", "deployment", "reliability", "sandbox", "security", "troubleshooting"):
        assert f"docs/{page}.md" in text, f"README.md does not link to docs/{page}.md"


@pytest.mark.parametrize("system", WALKTHROUGHS)
def test_system_page_has_every_section_and_link(system: str) -> None:
    page = ROOT / "docs" / f"{system}.md"
    missing = [section for section in SECTIONS if section not in headings(page)]
    assert not missing, f"{page.name} lacks {missing}"
    assert f"architecture.md#{system}" in page.read_text(), f"{page.name} does not link to its diagram"
    assert f"docs/{system}.md" in (ROOT / "README.md").read_text(), f"README.md does not link to {page.name}"


@pytest.mark.parametrize("system", WALKTHROUGHS)
def test_system_page_lists_exactly_the_settings(system: str) -> None:
    documented, fields = set(settings_table(system)), section_fields(system)
    assert documented == fields, f"differ: {documented ^ fields}"


@pytest.mark.parametrize("system", WALKTHROUGHS)
def test_system_page_defaults_equal_those_of_the_settings(system: str) -> None:
    fields = settings_model(system).model_fields
    for name, (default, _) in settings_table(system).items():
        value = fields[name].default
        if value in (None, ()):
            assert not default.startswith("`"), f"{name}: the page names {default}; there is no default"
        elif name not in DEFAULTS_IN_WORDS:
            expected = value if isinstance(value, str) else json.dumps(value)
            assert default == f"`{expected}`", f"{name}: the page names {default}; the default is {expected}"


@pytest.mark.parametrize("system", WALKTHROUGHS)
def test_system_page_names_the_bounds_of_each_number(system: str) -> None:
    fields = settings_model(system).model_fields
    for name, cells in settings_table(system).items():
        documented = re.findall(r"\d+(?:\.\d+)?", " ".join(cells).replace(",", ""))
        missing = set(bounds(fields[name].metadata)) - set(documented)
        assert not missing, f"{name}: the page does not name {', '.join(sorted(missing))}"


@pytest.mark.parametrize("system", WALKTHROUGHS)
def test_architecture_has_a_diagram_of_the_system(system: str) -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    part = text.split(f"\n## {system}\n")[1].split("\n## ")[0]
    assert "```mermaid" in part, f"no diagram of {system}"


def test_sandbox_page_lists_every_incomplete_service() -> None:
    sources = [path for path in (ROOT / "sandbox").rglob("*.py") if "Not implemented:" in path.read_text()]
    services = {path.relative_to(ROOT / "sandbox").parts[0] for path in sources}
    assert services, "no docstring lists what is not implemented"
    linked = set(re.findall(r"\]\(\.\./sandbox/([\w.]+)", (ROOT / "docs" / "sandbox.md").read_text()))
    assert services <= linked, f"docs/sandbox.md lacks {sorted(services - linked)}"


def test_script_of_sandbox_page_keeps_access_key_from_other_users(tmp_path: Path) -> None:
    """`make` and `aws` are stand-ins; an earlier run can have left a file that others can read."""
    (script,) = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "sandbox.md").read_text(), re.DOTALL)
    file = tmp_path / "sandbox.txt"
    file.touch(0o644)
    make = "echo '  export AWS_SECRET_ACCESS_KEY=key'; echo 'Press Ctrl-C'; exec sleep 60"
    for name, commands in {"make": make, "aws": "test $AWS_SECRET_ACCESS_KEY = key"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{commands}\n")
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    run = subprocess.run(["/bin/bash", "-ec", script], cwd=tmp_path, env=environment, check=False, timeout=60)
    assert run.returncode == 143, "the key was not exported, or the sandbox not stopped"
    assert file.stat().st_mode & 0o777 == 0o600
