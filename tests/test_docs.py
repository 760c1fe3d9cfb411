"""Facts about the documents: they are whole, their links lead somewhere, they know every setting and service."""

import re
from pathlib import Path

import pytest

from settings import Settings
from walkthroughs.catalog import WALKTHROUGHS

from .conftest import ROOT

PAGES = [*sorted(ROOT.glob("docs/*.md")), ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "assets" / "README.md"]
SECTIONS = ["Deploy", "Settings", "Try", "Operate", "Remove", "Cost", "Differences from the post"]
LINK = re.compile(r"\]\(([^)\s]+)\)")


def headings(page: Path) -> list[str]:
    return re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The anchors of the headings, as GitHub makes them."""
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings(page))
    return {heading.replace(" ", "-") for heading in kept}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name} leads to {link}, which is not there"
        assert not anchor or anchor in anchors(target), f"{page.name} leads to {link}, and there is no such heading"


@pytest.mark.parametrize("system", WALKTHROUGHS)
def test_page_of_a_system_is_whole(system: str) -> None:
    page = ROOT / "docs" / f"{system}.md"
    missing = [section for section in SECTIONS if section not in headings(page)]
    assert not missing, f"{page.name} lacks {missing}"
    assert f"architecture.md#{system}" in page.read_text(), f"{page.name} does not lead to its diagram"
    assert f"docs/{system}.md" in (ROOT / "README.md").read_text(), f"README.md does not lead to {page.name}"


@pytest.mark.parametrize("system", WALKTHROUGHS)
def test_page_of_a_system_has_every_setting_and_no_other(system: str) -> None:
    text = (ROOT / "docs" / f"{system}.md").read_text()
    table = text.split("\n## Settings\n")[1].split("\n## ")[0].split("\n### ")[0]
    first_cells = " ".join(re.findall(r"^\|([^|]+)\|", table, re.MULTILINE))
    documented = set(re.findall(r"`(\w+)`", first_cells))
    section = Settings.model_fields[system].annotation
    assert section
    assert documented == set(section.model_fields), f"differ: {documented ^ set(section.model_fields)}"


@pytest.mark.parametrize("system", WALKTHROUGHS)
def test_system_has_its_diagram(system: str) -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    part = text.split(f"\n## {system}\n")[1].split("\n## ")[0]
    assert "```mermaid" in part, f"there is no diagram of {system}"


def test_page_of_the_sandbox_has_every_service_that_leaves_something_out() -> None:
    sources = [path for path in (ROOT / "sandbox").rglob("*.py") if "Left out:" in path.read_text()]
    services = {path.relative_to(ROOT / "sandbox").parts[0] for path in sources}
    assert services, "no file says what it leaves out"
    listed = set(re.findall(r"\]\(\.\./sandbox/([\w.]+)\)", (ROOT / "docs" / "sandbox.md").read_text()))
    assert services <= listed, f"docs/sandbox.md lacks {sorted(services - listed)}"
