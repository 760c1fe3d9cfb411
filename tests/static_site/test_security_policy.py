"""The Content-Security-Policy that is derived from the pages of a site."""

import base64
import hashlib
from pathlib import Path

import pytest

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


def test_data_images_and_fonts_are_allowed(tmp_path: Path) -> None:
    assert policy(tmp_path, '<img src="data:image/png;base64,AA">').header.endswith("; img-src 'self' data:")
    sheet = "a { background: url(data:image/svg+xml,x) } @font-face { src: url(data:font/woff2;base64,AA) }"
    assert policy(tmp_path, "", sheet).header == f"{SAME_ORIGIN}; img-src 'self' data:; font-src 'self' data:"


def test_too_many_inline_scripts_are_reported_with_the_choice(tmp_path: Path) -> None:
    result = policy(tmp_path, "".join(f"<script>start({number})</script>" for number in range(50)))
    assert result.header == SAME_ORIGIN, "never 'unsafe-inline' without being asked"
    (warning,) = result.warnings
    assert "50 different inline scripts" in warning
    assert "script-src 'self' 'unsafe-inline'" in warning


@pytest.mark.parametrize(
    ("page", "host", "directive"),
    [
        ('<script async src="https://cdn.example.com/a.js"></script>', "cdn.example.com", "script-src"),
        ('<link rel="stylesheet" href="//fonts.example.com/css?x">', "fonts.example.com", "style-src"),
        ('<link href="https://fonts.example.com/css" rel=stylesheet>', "fonts.example.com", "style-src"),
        ('<img alt="" src="https://img.example.com/a.png">', "img.example.com", "img-src"),
        ('<iframe src="https://video.example.com/1"></iframe>', "video.example.com", "frame-src"),
    ],
)
def test_third_party_origin_is_reported(tmp_path: Path, page: str, host: str, directive: str) -> None:
    (warning,) = policy(tmp_path, page).warnings
    assert host in warning
    assert directive in warning


def test_own_domain_is_not_a_third_party(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text('<script src="https://www.example.com/a.js"></script>')
    assert site_policy(tmp_path, SAME_ORIGIN, domain_name="www.example.com").warnings == []


def test_links_to_other_sites_are_not_reported(tmp_path: Path) -> None:
    page = '<a href="https://example.com/">x</a><link rel="canonical" href="https://example.com/x">'
    assert policy(tmp_path, page) == SitePolicy(SAME_ORIGIN, [])


def test_event_handler_attributes_are_reported(tmp_path: Path) -> None:
    (warning,) = policy(tmp_path, '<button type="button" onclick="go()">x</button>').warnings
    assert "event handler attributes, such as onclick, on 1 page(s)" in warning


def test_distribution_adds_derived_policy_unless_set(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("<script>start()</script>")
    for setting, expected in (({}, source("start()")), ({"static_site:content_security_policy": "x"}, "x")):
        settings = {"static_site:site": str(tmp_path / "site"), **setting}
        template = synthesize(tmp_path / f"out{len(setting)}", settings, "StaticSite").template("StaticSite")
        config = only_resource(template, "AWS::CloudFront::ResponseHeadersPolicy")["ResponseHeadersPolicyConfig"]
        header = config["SecurityHeadersConfig"]["ContentSecurityPolicy"]["ContentSecurityPolicy"]
        assert header.endswith(expected)
