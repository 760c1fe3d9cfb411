"""The style and the exceptions of a site: every link that a generator writes leads to its file."""

from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from hypothesis import given, strategies as st

from lambdas.static_site.rewrite import Redirect, RewriteOptions, rewrite
from settings.static_site import StaticSiteSettings
from stacks.constructs.assets import AssetError
from stacks.static_site.folder import stage_site
from stacks.static_site.url_rules import MAX_EXCEPTION_CHARACTERS, url_rules

ASSETS = ["style.css", "app.1f2e3d.js", "img/c++ logo.png", "robots.txt", ".well-known/security.txt", "404.html"]
NAMES = ["about", "node.js", "2.3.1.RELEASE", "c++", "50% off", "it's", "caf\u00e9", "my.index", "@scope/pkg", "a/b/c"]
# What generators write for the same pages: the files, and the number of exceptions that the site needs at most.
PAGES, DIRECTORIES = [f"{name}.html" for name in NAMES], [f"{name}/index.html" for name in NAMES]
SITES = {
    "a file for each page": (PAGES, 5),
    "a directory for each page": (DIRECTORIES, 5),
    "pages, and directories of indexes": ([*PAGES, "blog/index.html", "tags/index.html"], 6),
    "directories, and files without extension": ([*DIRECTORIES, "LICENSE", "src/Makefile"], 6),
    "pages with a directory of the same name": ([*PAGES, "about/index.html"], 6),
}


def response(path: str, query: str, options: RewriteOptions) -> str:
    """Follow redirects as a browser does, and return the key that S3 reads from the path."""
    result = rewrite(path, query, options)
    if isinstance(result, Redirect):
        result = rewrite(result.location, query, options)
    assert isinstance(result, str), "more than one redirect"
    return unquote(result.replace("+", " "), errors="strict").removeprefix("/")


def assert_every_path_leads_to_its_file(files: list[str], options: RewriteOptions) -> None:
    for file in files:
        path = quote(f"/{file}", safe="/@:!$&'()*+,;=~")  # as browsers send it, with a plus
        assert response(path, "", options) == file
        if file.endswith("/index.html"):
            directory = path.removesuffix("index.html")
            assert response(directory, "", options) == file
            if f"{file.removesuffix('/index.html')}.html" not in files:
                assert response(directory.removesuffix("/"), "", options) == file
        elif file.endswith(".html") and (page := file.removesuffix(".html")) not in files and page != "index":
            assert response(path.removesuffix(".html"), "", options) == file
            if f"{page}/index.html" not in files:
                assert response(f"{path.removesuffix('.html')}/", "", options) == file


@pytest.mark.parametrize("trailing_slash", ["redirect", "rewrite"])
@pytest.mark.parametrize("site", SITES)
@pytest.mark.reliability(
    "static_site",
    "System-specific",
    fault="generators that write `about.html` for `/about`, or names with dots and pluses",
    expected="every link leads to its file",
    observed="for the files of common generators, and for generated names",
)
def test_every_path_of_generated_site_leads_to_its_file(site: str, trailing_slash: str) -> None:
    files, most_exceptions = SITES[site]
    files = ["index.html", *ASSETS, *files]
    options = url_rules(files)._replace(trailing_slash=trailing_slash)
    assert_every_path_leads_to_its_file(files, options)
    assert len(options.exceptions) <= most_exceptions


def test_relative_links_of_a_directory_work() -> None:
    """The browser must see `/c++/`, and for a page `/c++` without a slash."""
    assert rewrite("/c++", "", url_rules(["c++/index.html"])) == Redirect("/c++/")
    assert rewrite("/c++/", "", url_rules(["c++.html"])) == Redirect("/c++")


names = st.lists(
    st.sampled_from(["a", "b", "v1.2", "x.y", "x.net", "c+", "%41", "%", "\u00e9", "\u65e5", "index", " ", "'", "[a]"]),
    min_size=1,
    max_size=3,
).map("/".join)


@st.composite
def sites(draw: st.DrawFn) -> list[str]:
    """File names that a file system can hold together."""
    drawn = draw(st.lists(st.tuples(names, st.sampled_from([".html", "/index.html", "", ".css"])), max_size=12))
    files = {name + suffix for name, suffix in drawn}
    return sorted(file for file in files if not any(other.startswith(f"{file}/") for other in files))


@given(sites())
def test_every_path_of_any_site_leads_to_its_file(files: list[str]) -> None:
    assert_every_path_leads_to_its_file(files, url_rules(files))


@given(sites())
def test_rules_do_not_depend_on_the_order_of_files(files: list[str]) -> None:
    """Otherwise the function would get a new version with each deployment."""
    assert list(url_rules(files).exceptions) == list(url_rules(files[::-1]).exceptions)


def test_new_page_of_the_same_style_does_not_change_the_rules() -> None:
    files = ["index.html", "404.html", *SITES["a file for each page"][0]]
    assert url_rules([*files, "news.html", "app.2a3b4c.js"]) == url_rules(files)


def test_too_many_exceptions_are_rejected_with_the_limit() -> None:
    files = [f"{number:0>100}" for number in range(MAX_EXCEPTION_CHARACTERS // 100)]
    with pytest.raises(AssetError, match=r"static_site:site: 10,000 paths .* at most 1,000,000"):
        url_rules(files)


def test_site_without_404_page_gets_a_plain_one(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<p>page</p>")
    page = (stage_site(StaticSiteSettings(site=str(tmp_path))) / "404.html").read_text()
    assert "Page not found" in page
    assert "<style" not in page, "the content security policy would block it"


def test_404_page_of_the_site_is_kept(tmp_path: Path) -> None:
    for name in ("index.html", "404.html"):
        (tmp_path / name).write_text("<p>of the site</p>")
    assert (stage_site(StaticSiteSettings(site=str(tmp_path))) / "404.html").read_text() == "<p>of the site</p>"
