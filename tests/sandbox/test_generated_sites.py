"""Sites built with real generators, crawled through the distribution: every link and asset answers."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import pytest

from lambdas.static_site.rewrite import Redirect, RewriteOptions, rewrite
from sandbox import Sandbox
from sandbox.target import SPEED, target_of
from stacks.static_site.folder import files_of
from stacks.static_site.url_rules import url_rules
from walkthroughs.browser import browser
from walkthroughs.walkthrough import SkipStep, Target

from .conftest import deployable
from .crawler import Crawl, Response, crawl
from .generated_sites import build_sites

pytestmark = pytest.mark.enable_socket
# The least number of pages and assets that a crawl must find, so that it cannot succeed by finding nothing.
PAGES = {"sveltekit": 6, "mkdocs": 6, "sphinx": 4}
ASSETS = 15
RECORD_VIOLATIONS = "blocked = []; addEventListener('securitypolicyviolation', e => blocked.push(e.blockedURI))"
OLD_SCRIPT, OLD_PAGE = "_app/immutable/chunks/Old1Hash.js", "old.html"


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    if "static_site" not in deployable():
        pytest.skip("another system is selected")
    return build_sites(tmp_path_factory.mktemp("sites"))


@pytest.fixture(scope="module")
def combined(sites: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("combined") / "site"
    shutil.copytree(sites["sveltekit"], folder)
    for name in ("mkdocs", "sphinx"):
        shutil.copytree(sites[name], folder / name)
    return folder


@pytest.fixture(scope="module")
def target(combined: Path) -> Iterator[Target]:
    with Sandbox(speed=SPEED) as sandbox:
        sandbox.bootstrap("us-east-1")
        for name in (OLD_SCRIPT, OLD_PAGE):
            (combined / name).write_text("old")
        deploy(sandbox, combined, edge="lambda")
        yield target_of(sandbox)


def deploy(sandbox: Sandbox, site: Path, edge: str) -> None:
    sandbox.deploy("StaticSite", settings={"static_site:site": str(site), "static_site:edge": edge})


def pages(crawled: Crawl) -> list[str]:
    return [url for url, content_type in crawled.found.items() if content_type.startswith("text/html")]


def respond(site: Path, rules: RewriteOptions, url: str) -> Response:
    """Answer as the distribution does, without it: the function's result is read from the folder."""
    result = rewrite(urlsplit(url).path, "", rules)
    if isinstance(result, Redirect):
        return SimpleNamespace(status=308, data=b"", headers={"location": result.location})
    name = unquote(result.replace("+", " ")).lstrip("/") or "index.html"
    file = site / name
    if not file.is_file():
        return SimpleNamespace(status=404, data=b"", headers={})
    content_type = {".html": "text/html", ".css": "text/css"}.get(file.suffix, "")
    return SimpleNamespace(status=200, data=file.read_bytes(), headers={"content-type": content_type})


@pytest.mark.parametrize(("name", "style"), [("sveltekit", "page"), ("mkdocs", "directory"), ("sphinx", None)])
@pytest.mark.reliability(
    "static_site",
    "System-specific",
    fault="generators that write `about.html` for `/about`, or names with dots and pluses",
)
def test_every_link_of_each_site_leads_to_a_file(sites: dict[str, Path], name: str, style: str | None) -> None:
    site = sites[name]
    rules = url_rules([file.relative_to(site).as_posix() for file in files_of(site)])
    assert style in (None, rules.style), "Sphinx links to .html, so both styles are right"
    crawled = crawl("https://site/", lambda url: respond(site, rules, url))
    other_sites = {f"https://site/{other}/" for other in sites if name == "sveltekit" != other}
    assert crawled.broken.keys() == other_sites
    assert len(pages(crawled)) >= PAGES[name]


def test_links_of_sveltekit_break_without_its_style(sites: dict[str, Path]) -> None:
    """What the crawl would find if the style were not derived from the site."""
    crawled = crawl("https://site/", lambda url: respond(sites["sveltekit"], RewriteOptions(), url))
    assert {"https://site/about", "https://site/docs/intro"} <= crawled.broken.keys()


@pytest.mark.reliability(
    "static_site",
    "System-specific",
    fault="generators that write `about.html` for `/about`, or names with dots and pluses",
)
def test_every_link_answers_through_lambda(target: Target) -> None:
    assert_every_link_answers(target)


def test_sveltekit_starts_with_the_derived_policy(target: Target) -> None:
    url = target.outputs("StaticSite")["Url"]
    try:
        with browser(target) as driver:
            driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": RECORD_VIOLATIONS})
            driver.get(url)
            button = driver.find_element("tag name", "button")
            target.wait_until(lambda: button.click() or button.text != "0", "the page's script handles clicks")
            driver.find_element("id", "v1.2").click()
            target.wait_until(lambda: driver.title == "v1.2", "the client's router shows the page")
            driver.refresh()
            assert (urlsplit(driver.current_url).path, driver.title) == ("/docs/v1.2", "v1.2")
            assert driver.execute_script("return blocked") == []
    except SkipStep as reason:
        pytest.skip(str(reason))


@pytest.mark.reliability(
    "static_site",
    "System-specific",
    fault="a page that is open during a deployment loads a script of the previous version",
)
def test_every_link_answers_through_function_after_an_update(target: Target, combined: Path) -> None:
    """Must be the last test: it deploys the stack again, without two of the files."""
    for name in (OLD_SCRIPT, OLD_PAGE):
        (combined / name).unlink()
    assert target.deploy
    target.deploy("StaticSite", {"static_site:site": str(combined), "static_site:edge": "function"})
    url = target.outputs("StaticSite")["Url"]
    assert [target.get(f"{url}{name}").status for name in (OLD_SCRIPT, OLD_PAGE)] == [200, 404]
    assert_every_link_answers(target)


def assert_every_link_answers(target: Target) -> None:
    url = target.outputs("StaticSite")["Url"]
    crawled = crawl(url, target.get)
    assert crawled.broken == {}
    for name in ("mkdocs", "sphinx"):
        assert len([page for page in pages(crawled) if page.startswith(f"{url}{name}/")]) >= PAGES[name]
    assert len(pages(crawled)) >= sum(PAGES.values())
    assert len(crawled.found) - len(pages(crawled)) >= ASSETS
    script = next(found for found in crawled.found if "/_app/immutable/" in found)
    assert target.get(script).headers["cache-control"] == "public, max-age=31536000, immutable"
