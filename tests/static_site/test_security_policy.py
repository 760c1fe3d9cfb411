"""The Content-Security-Policy that is derived from the pages of a site."""

import base64
import hashlib
import re
import time
from html import escape
from pathlib import Path

import pytest

from stacks.static_site.page_contents import page_contents
from stacks.static_site.security_policy import SitePolicy, site_policy

from ..conftest import only_resource, synthesize

SAME_ORIGIN = "default-src 'self'"


def policy(folder: Path, page: str, sheet: str = "") -> SitePolicy:
    (folder / "index.html").write_text(page, newline="")
    (folder / "site.css").write_text(sheet)
    return site_policy(folder, SAME_ORIGIN)


def source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_site_without_inline_code_keeps_policy(tmp_path: Path) -> None:
    page = '<script src="/app.js"></script><script type="application/ld+json">{}</script><img src="/a.png">'
    assert policy(tmp_path, page) == SitePolicy(SAME_ORIGIN, [])


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<script>start()</script>", "start()"),
        ("<SCRIPT type=module data-x='1'>\nimport('/a.js')\n</SCRIPT>", "\nimport('/a.js')\n"),
        ("<script>a()\r\nb()</script>", "a()\nb()"),
        ("<script>if (a &amp;&amp; b) {}</script>", "if (a &amp;&amp; b) {}"),
    ],
)
@pytest.mark.reliability(
    "static_site",
    "System-specific",
    fault="a site with inline scripts, which the default policy blocks",
    expected="the policy has their hashes, or synthesis warns",
    observed="the header value that the distribution adds",
)
def test_inline_script_is_allowed_by_hash(tmp_path: Path, page: str, text: str) -> None:
    assert policy(tmp_path, page) == SitePolicy(f"{SAME_ORIGIN}; script-src 'self' {source(text)}", [])


def test_inline_styles_and_style_attributes_are_allowed_by_hash(tmp_path: Path) -> None:
    result = policy(tmp_path, "<style>p {}</style><p style=\"color: red\">a</p><p style='font: &quot;x&quot;'>b</p>")
    attributes = sorted([source("color: red"), source('font: "x"')])
    expected = f"style-src 'self' {source('p {}')} 'unsafe-hashes' {' '.join(attributes)}"
    assert result == SitePolicy(f"{SAME_ORIGIN}; {expected}", [])


@pytest.mark.parametrize(
    "page",
    [
        '<svg class="[&>path]:w-4" style="color: red">',
        "<p title='a > b' style=\"color: red\">",
        "<img alt=it's src=/a.png><b style='color: red'>",
        '<p style="color: red"><p STYLE = "color: red">',
        "<!-- it's --><p style='color:&#32;red'>",
        '<p style="color: red" style="color: blue">',
    ],
)
def test_style_attribute_is_found_as_browsers_find_it(tmp_path: Path, page: str) -> None:
    expected = f"style-src 'self' 'unsafe-hashes' {source('color: red')}"
    assert policy(tmp_path, page).header == f"{SAME_ORIGIN}; {expected}"


def test_unquoted_style_attribute_is_found(tmp_path: Path) -> None:
    assert policy(tmp_path, "<p style=--x:1/2 class=a>").header.endswith(source("--x:1/2"))


@pytest.mark.parametrize(
    "page",
    [
        "<!-- <script>start()</script><p style='color: red'> -->",
        "<script src=/a.js>start()</script>",
        "<script>//<p style='color: red'>\n</script>",
        "<p data-style='color: red' title=\"x style='color: red'\">",
        '<script type="text/x-template"><p style="color: red"></p></script>',
    ],
)
def test_text_that_is_no_inline_code_gets_no_hash(tmp_path: Path, page: str) -> None:
    assert source("color: red") not in policy(tmp_path, page).header
    assert source("start()") not in policy(tmp_path, page).header


def test_style_attributes_in_scripts_are_allowed_if_their_hashes_fit(tmp_path: Path) -> None:
    """Frameworks such as Svelte create elements from text."""
    script = """a=`<div style="top: 0">`;b="<p style=\\"left: 0\\">";"""
    (tmp_path / "app.js").write_text(script)
    header = policy(tmp_path, "<p style='color: red'>").header
    assert all(source(text) in header for text in ("top: 0", "left: 0", "color: red"))
    (tmp_path / "app.js").write_text("".join(f"`<p style='left: {number}'>`;" for number in range(50)))
    result = policy(tmp_path, "<p style='color: red'>")
    assert result == SitePolicy(f"{SAME_ORIGIN}; style-src 'self' 'unsafe-hashes' {source('color: red')}", [])


def test_data_images_and_fonts_are_allowed(tmp_path: Path) -> None:
    assert policy(tmp_path, '<img src="data:image/png;base64,AA">').header.endswith("; img-src 'self' data:")
    sheet = "a { background: url(data:image/svg+xml,x) } @font-face { src: url(data:font/woff2;base64,AA) }"
    assert policy(tmp_path, "", sheet).header == f"{SAME_ORIGIN}; img-src 'self' data:; font-src 'self' data:"
    (tmp_path / "app.js").write_text("icon = 'data:image/svg+xml,x'; sound = 'data:audio/mpeg;base64,AA'")
    assert policy(tmp_path, "").header == f"{SAME_ORIGIN}; img-src 'self' data:; media-src 'self' data:"


def test_web_assembly_is_allowed_if_the_site_has_it(tmp_path: Path) -> None:
    (tmp_path / "search.js").write_text("await WebAssembly.instantiate(bytes)")
    assert policy(tmp_path, "").header == f"{SAME_ORIGIN}; script-src 'self' 'wasm-unsafe-eval'"


def test_page_that_embeds_another_allows_the_site_to_frame_itself(tmp_path: Path) -> None:
    base = f"{SAME_ORIGIN}; frame-ancestors 'none'; object-src 'none'"
    for page, objects in (("<iframe src=/demo.html></iframe>", "'none'"), ('<object data="a.svg">', "'self'")):
        (tmp_path / "index.html").write_text(page)
        expected = f"{SAME_ORIGIN}; frame-ancestors 'self'; object-src {objects}"
        assert site_policy(tmp_path, base) == SitePolicy(expected, [], embeds_itself=True)
    (tmp_path / "index.html").write_text("<iframe src=about:blank></iframe><iframe src='https://video.example.com/'>")
    assert site_policy(tmp_path, base).header == base


def test_too_many_inline_scripts_are_reported_with_the_choice(tmp_path: Path) -> None:
    page = "".join(f"<script>start({number})</script>" for number in range(50))
    result = policy(tmp_path, page)
    assert result.header == SAME_ORIGIN, "never 'unsafe-inline' without being asked"
    (blocked,) = result.blocked
    assert "50 different inline scripts" in blocked
    assert result.additional_sources == "script-src 'unsafe-inline'"
    allowed = site_policy(tmp_path, SAME_ORIGIN, additional_sources=result.additional_sources)
    assert allowed == SitePolicy(f"{SAME_ORIGIN}; script-src 'self' 'unsafe-inline'", [])


@pytest.mark.parametrize(
    ("page", "sources"),
    [
        ('<script async src="https://cdn.example.com/a.js"></script>', "script-src https://cdn.example.com"),
        ('<link rel="stylesheet" href="//fonts.example.com/css?x">', "style-src https://fonts.example.com"),
        ('<link href="https://fonts.example.com/css" rel=stylesheet>', "style-src https://fonts.example.com"),
        (
            "<style>@import 'https://fonts.googleapis.com/css2?family=x'</style>",
            "font-src https://fonts.gstatic.com; style-src https://fonts.googleapis.com",
        ),
        ('<img alt="" src="https://img.example.com:8443/a.png">', "img-src https://img.example.com:8443"),
        ('<img srcset="/a.png 1x, https://a.example.com/b.png 2x">', "img-src https://a.example.com"),
        ("<p style='background: url(http://b.example.com/b.png)'>", "img-src https://b.example.com"),
        ('<iframe src="https://video.example.com/1"></iframe>', "frame-src https://video.example.com"),
        ('<video poster="/a.png" src="https://v.example.com/1.mp4">', "media-src https://v.example.com"),
        ('<form action="https://forms.example.com/f" method="post">', "form-action https://forms.example.com"),
    ],
)
def test_third_party_origin_is_reported_and_can_be_allowed(tmp_path: Path, page: str, sources: str) -> None:
    result = policy(tmp_path, page)
    assert result.additional_sources == sources
    assert all(f"from {directive.split()[1]}" in " ".join(result.blocked) for directive in sources.split("; "))
    allowed = site_policy(tmp_path, SAME_ORIGIN, additional_sources=sources)
    assert allowed.blocked == []
    assert {directive.split()[-1] for directive in sources.split("; ")} <= set(re.split("[; ]+", allowed.header))


def test_origins_that_sources_cover_are_not_reported(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(
        "<img src=https://a.b.example.com/><script src=https://c.example.com></script>"
    )
    sources = "img-src https:; script-src *.example.com"
    assert site_policy(tmp_path, SAME_ORIGIN, additional_sources=sources).blocked == []
    assert site_policy(tmp_path, SAME_ORIGIN, additional_sources="script-src *.example.org").blocked


def test_images_from_many_origins_are_allowed_together(tmp_path: Path) -> None:
    page = "".join(f"<img src=https://{number}.example.com/a.png>" for number in range(20))
    assert policy(tmp_path, page).additional_sources == "img-src https:"


def test_own_domain_is_not_a_third_party(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text('<script src="https://www.example.com/a.js"></script>')
    assert site_policy(tmp_path, SAME_ORIGIN, domain_name="www.example.com").blocked == []


def test_links_to_other_sites_are_not_reported(tmp_path: Path) -> None:
    page = '<a href="https://example.com/">x</a><link rel="canonical" href="https://example.com/x">'
    assert policy(tmp_path, page) == SitePolicy(SAME_ORIGIN, [])


@pytest.mark.parametrize("url", ["http://[x", "//a\u2100b/", "{{ url }}", "https://", "?", ""])
def test_invalid_url_is_ignored(tmp_path: Path, url: str) -> None:
    assert policy(tmp_path, f'<img src="{url}">').blocked == []


@pytest.mark.parametrize(
    "host", ["$(touch${IFS}x)", "`id`", "a.example;script-src *", 'a"example', "a.example'", "a.example,x", "*.example"]
)
@pytest.mark.reliability(
    "static_site",
    "Hostile input",
    fault="a page loads an image from a host with characters of a shell or of a policy, as in a reader's comment",
    expected="neither is part of the suggested command",
    observed="the host is ignored",
)
def test_suggested_command_has_no_code_of_the_page(tmp_path: Path, host: str) -> None:
    page = f"<img alt='' src=\"https://{escape(host)}/a.png\"><img alt='' src='https://User@Img.Example:8443/a.png'>"
    assert policy(tmp_path, page).additional_sources == "img-src https://img.example:8443"


def test_internationalized_host_is_suggested_in_ascii(tmp_path: Path) -> None:
    page = "<img alt='' src='https://bücher.example/a.png'>"
    assert policy(tmp_path, page).additional_sources == "img-src https://xn--bcher-kva.example"


@pytest.mark.parametrize("url", ["//[x", "https://a]b"])
def test_invalid_url_in_style_sheet_is_ignored(tmp_path: Path, url: str) -> None:
    assert policy(tmp_path, "", f'p {{ background: url("{url}") }}').blocked == []


@pytest.mark.parametrize(
    ("reference", "character"), [("1" * 5000, "\ufffd"), ("0" * 5000 + "65", "A"), ("x" + "1" * 5000, "\ufffd")]
)
def test_character_reference_with_many_digits_is_read(reference: str, character: str) -> None:
    """Python converts no text of more than 4,300 digits to a number."""
    assert page_contents(f'<p style="a&#{reference};b">').style_attributes == {f"a{character}b"}


def test_event_handler_attributes_are_reported_and_can_be_allowed(tmp_path: Path) -> None:
    result = policy(tmp_path, '<button type="button" onclick="go()">x</button>')
    assert "event handler attributes, such as onclick, on 1 page(s)" in result.blocked[0]
    allowed = site_policy(tmp_path, SAME_ORIGIN, additional_sources=result.additional_sources)
    assert allowed == SitePolicy(f"{SAME_ORIGIN}; script-src 'self' 'unsafe-hashes' {source('go()')}", [])


@pytest.mark.parametrize("part", ["<script>", "<a b='", "<!--", "<p a=", "<a ", "<p style=x ", "<p style= "])
def test_page_with_unclosed_elements_is_read_in_linear_time(part: str) -> None:
    started = time.process_time()
    page_contents(part * (500_000 // len(part)))
    assert time.process_time() - started < 5, "not linear: minutes"


@pytest.mark.parametrize("part", ["x", "'", " x", " style"])
def test_element_with_long_attribute_names_is_read_in_linear_time(part: str) -> None:
    started = time.process_time()
    page_contents(f"<img {part * (100_000 // len(part))} style=a>")
    assert time.process_time() - started < 2, "not linear"


def test_distribution_adds_derived_policy_unless_set(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("<script>start()</script>")
    for setting, expected in (({}, source("start()")), ({"static_site:content_security_policy": "x"}, "x")):
        settings = {"static_site:site": str(tmp_path / "site"), **setting}
        template = synthesize(tmp_path / f"out{len(setting)}", settings, "StaticSite").template("StaticSite")
        config = only_resource(template, "AWS::CloudFront::ResponseHeadersPolicy")["ResponseHeadersPolicyConfig"]
        header = config["SecurityHeadersConfig"]["ContentSecurityPolicy"]["ContentSecurityPolicy"]
        assert header.endswith(expected)
