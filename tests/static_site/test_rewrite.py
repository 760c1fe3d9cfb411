"""The rewrite function: individual cases, and properties of every URI."""

import re
import time
from urllib.parse import quote, unquote_to_bytes, urljoin, urlsplit

import pytest
from hypothesis import given, strategies as st

from lambdas.static_site.rewrite import Redirect, RewriteOptions, key_path, rewrite

DEFAULT = RewriteOptions()
CASES = [
    # the viewer's URI, and the URI requested from the bucket (or, after ->, the location of a redirect)
    ("/", "/index.html"),
    ("/subdirectory/", "/subdirectory/index.html"),
    ("/a/b/c/", "/a/b/c/index.html"),
    ("/subdirectory", "-> /subdirectory/"),
    ("/a/b", "-> /a/b/"),
    ("/style.css", "/style.css"),
    ("/photo.JPEG", "/photo.JPEG"),
    ("/backup.tar.gz", "/backup.tar.gz"),
    ("/archive.7z", "/archive.7z"),
    ("/clip.mp4", "/clip.mp4"),
    ("/main.c", "/main.c"),
    ("/LIB.H", "/LIB.H"),
    ("/matrix.m", "/matrix.m"),
    ("/plot.R", "/plot.R"),
    ("/backup.tar.z", "/backup.tar.z"),
    ("/call.3gp", "/call.3gp"),
    ("/pagefind/fragment/en_1f2e3d4.pf_fragment", "/pagefind/fragment/en_1f2e3d4.pf_fragment"),
    ("/call.3g2", "/call.3g2"),
    ("/site.webmanifest", "/site.webmanifest"),
    ("/profile.mobileconfig", "/profile.mobileconfig"),
    ("/.htaccess", "/.htaccess"),
    # directory names with a dot
    ("/v1.2", "-> /v1.2/"),
    ("/v1.2/docs", "-> /v1.2/docs/"),
    ("/v1.2/docs/", "/v1.2/docs/index.html"),
    ("/v1.x", "-> /v1.x/"),
    ("/release-1.2", "-> /release-1.2/"),
    ("/release-1.2/", "/release-1.2/index.html"),
    ("/example.com/page", "-> /example.com/page/"),
    ("/ends-with-dot.", "-> /ends-with-dot./"),
    ("/subdirectory/index.html", "/subdirectory/index.html"),
    # never rewritten
    ("/.well-known/acme-challenge/token", "/.well-known/acme-challenge/token"),
    ("/.well-known/", "/.well-known/"),
    ("/.well-knownX", "-> /.well-knownX/"),
    # S3 decodes the path to the requested key: reserved characters are encoded, escapes are kept
    ("/caf%C3%A9", "-> /caf%C3%A9/"),
    ("/a%20b/", "/a%20b/index.html"),
    ("/notes/1+1/", "/notes/1%2B1/index.html"),
    ("/notes/1%2b1/", "/notes/1%2B1/index.html"),
    ("/1+1=2.txt", "/1%2B1%3D2.txt"),
    ("/notes/1+1", "-> /notes/1+1/"),
    ("/100%/", "/100%25/index.html"),
    ("/100%25/", "/100%25/index.html"),
    ("/a;b,c=d&e@f:g!$'()*.txt", "/a%3Bb%2Cc%3Dd%26e%40f%3Ag%21%24%27%28%29%2A.txt"),
    ("/[slug]/page~1.html", "/%5Bslug%5D/page~1.html"),
    ("/what%3F.txt", "/what%3F.txt"),
    ("/a%2fb/", "/a%2Fb/index.html"),
    ("/%61%2D%7a.txt", "/a-z.txt"),
    ("/e%CC%81.txt", "/e%CC%81.txt"),
    ("/%E9.txt", "/%E9.txt"),
    # no redirect, because a client could read the path as another host or another header
    ("//evil.com", "//evil.com"),
    ("//evil.com/x", "//evil.com/x/index.html"),
    ("///evil.com/x", "///evil.com/x/index.html"),
    ("/\\evil.com/x", "/%5Cevil.com/x/index.html"),
    ("\\\\evil.com/x", "\\\\evil.com/x"),
    ("/%5Cevil.com/x", "/%5Cevil.com/x/index.html"),
    ("/%5cevil.com/x", "/%5Cevil.com/x/index.html"),
    ("/%2F%2Fevil.com/x", "/%2F%2Fevil.com/x/index.html"),
    ("/a//evil.com/x", "/a//evil.com/x/index.html"),
    ("/.//evil.com/x", "/.//evil.com/x/index.html"),
    ("/../x", "/../x/index.html"),
    ("/./x", "/./x/index.html"),
    ("/a|b", "/a%7Cb/index.html"),
    ("/x%7Fy", "/x%7Fy/index.html"),
    ("/x%1Fy", "/x%1Fy/index.html"),
    ("/x\n", "/x%0A/index.html"),
    ("/%2e%2e/x", "/%2E%2E/x/index.html"),
    ("/\t/evil.com/x", "/%09/evil.com/x/index.html"),
    ("/x\r\nSet-Cookie: a=b", "/x%0D%0ASet-Cookie%3A%20a%3Db/index.html"),
    ("/x%0d%0aSet-Cookie:%20a=b", "/x%0D%0ASet-Cookie%3A%20a%3Db/index.html"),
    ("/x%00y", "/x%00y/index.html"),
    ("/x%zz", "/x%25zz/index.html"),
    ("/café", "/caf%C3%A9/index.html"),
    ("https://evil.com/x", "https://evil.com/x"),
    ("", ""),
]  # fmt: skip


@pytest.mark.parametrize(("uri", "expected"), CASES)
@pytest.mark.reliability(
    "static_site",
    "Hostile input",
    fault="a URI that a browser reads as another host or as a header",
    expected="no redirect",
    observed="for each known attack",
)
def test_rewrite_of_uri_returns_expected_result(uri: str, expected: str) -> None:
    result = rewrite(uri, "", DEFAULT)
    assert (f"-> {result.location}" if isinstance(result, Redirect) else result) == expected


VALID_QUERIES = ["a=b", "a=b&a=c", "q=%2F%20+x", "?", "a=http://evil.com/", "%"]
INVALID_QUERIES = ["a=b\r\nSet-Cookie: c", "a=b c", "a=é", "\t", "a=b\n", "\x7f"]


@pytest.mark.parametrize("query", VALID_QUERIES)
def test_redirect_keeps_query_string_unchanged(query: str) -> None:
    assert rewrite("/docs", query, DEFAULT) == Redirect(f"/docs/?{query}")


@pytest.mark.parametrize("query", INVALID_QUERIES)
@pytest.mark.reliability("static_site", "Malformed input", fault="an invalid URI or query string")
def test_redirect_drops_invalid_query_string(query: str) -> None:
    assert rewrite("/docs", query, DEFAULT) == Redirect("/docs/")


@pytest.mark.parametrize(("character", "size"), [("a", 1), ("+", 1), ("%2B", 1), ("é", 2)])
@pytest.mark.reliability(
    "static_site",
    "Malformed input",
    fault="a path that S3 and browsers decode differently (`+`, a lone `%`), or that is not a valid key",
)
def test_path_longer_than_a_key_passes_unchanged(character: str, size: int) -> None:
    """S3 rejects it, and its encoded form could exceed CloudFront's limit for a function's result."""
    longest_path = "/" + character * (1024 // size)
    assert rewrite(longest_path, "", RewriteOptions(trailing_slash="rewrite")) == f"{key_path(longest_path)}/index.html"
    assert rewrite(longest_path + character, "", DEFAULT) == longest_path + character


@pytest.mark.parametrize("piece", ["/", "/a", "a", "+", "%", "%2f", "%2e/", "/.", "\\", "é", "/a%20b", ".a", "\n"])
@pytest.mark.reliability(
    "static_site",
    "Timeout",
    fault="a URI crafted to keep the function busy",
    expected="run time depends only on the length",
    observed="8 KB takes well under a second",
)
def test_rewrite_of_long_uri_is_fast(piece: str) -> None:
    """A slow rewrite would let viewers exhaust the function's concurrency with long URIs."""
    uri = "/" + piece * (8192 // len(piece))
    started = time.process_time()
    for variant in (uri, f"{uri}|", f"{uri}/index.html"):
        rewrite(variant, "q" * 8192, RewriteOptions(redirect_index_html=True))
    assert time.process_time() - started < 1


def test_trailing_slash_rewrite_returns_index_page() -> None:
    assert rewrite("/docs", "a=b", RewriteOptions(trailing_slash="rewrite")) == "/docs/index.html"


def test_redirect_index_html_redirects_index_page_to_directory() -> None:
    redirect_index_html = RewriteOptions(redirect_index_html=True)
    assert rewrite("/docs/index.html", "a=b", redirect_index_html) == Redirect("/docs/?a=b")
    assert rewrite("/index.html", "", redirect_index_html) == "/index.html", "CloudFront requests it for /"
    assert rewrite("/docs/page.html", "", redirect_index_html) == "/docs/page.html"
    assert rewrite("/docs/about.html", "", redirect_index_html) == "/docs/about.html"
    assert rewrite("//evil.com/index.html", "", redirect_index_html) == "//evil.com/index.html"


EXCEPTIONS = {
    "/LICENSE": "file",
    "/C%2B%2B": "file",
    "/node.js": "directory",
    "/asp.net": "page",
    "/both/": "directory",
}
PAGE_STYLE = RewriteOptions(style="page", exceptions=EXCEPTIONS | {"/blog": "directory"})


PAGE_CASES = [
    ("/about", "/about.html"),
    ("/about/", "-> /about"),
    ("/a/b/", "-> /a/b"),
    ("/", "/index.html"),
    ("/1+1", "/1%2B1.html"),
    ("/1+1/", "-> /1+1"),
    ("/blog", "-> /blog/"),
    ("/blog/", "/blog/index.html"),
    ("/both", "/both.html"),
    ("/both/", "/both/index.html"),
    ("/style.css", "/style.css"),
    ("/.well-known/x", "/.well-known/x"),
    ("/a|b/", "/a%7Cb.html"),
    ("//evil.com/x/", "//evil.com/x.html"),
    ("/a//", "/a//index.html"),
    ("/LICENSE", "/LICENSE"),
    ("/LICENSE/", "/LICENSE/index.html"),
    ("/node.js", "-> /node.js/"),
    ("/node%2Ejs", "-> /node%2Ejs/"),
    ("/node.js/", "/node.js/index.html"),
    ("/other.js/", "/other.js/index.html"),
    ("/asp.net", "/asp.net.html"),
    ("/asp.net/", "-> /asp.net"),
]


@pytest.mark.parametrize(("uri", "expected"), PAGE_CASES)
def test_site_of_pages_appends_html(uri: str, expected: str) -> None:
    result = rewrite(uri, "", PAGE_STYLE)
    assert (f"-> {result.location}" if isinstance(result, Redirect) else result) == expected


def test_page_with_slash_keeps_query_string_in_redirect() -> None:
    assert rewrite("/about/", "a=b", PAGE_STYLE) == Redirect("/about?a=b")


def test_trailing_slash_rewrite_returns_page() -> None:
    assert rewrite("/about/", "", PAGE_STYLE._replace(trailing_slash="rewrite")) == "/about.html"


def test_redirect_index_html_redirects_directories_only() -> None:
    options = PAGE_STYLE._replace(redirect_index_html=True)
    assert rewrite("/blog/index.html", "", options) == Redirect("/blog/")
    assert rewrite("/about/index.html", "", options) == "/about/index.html"


@pytest.mark.parametrize("uri", ["/C++", "/C%2B%2B", "/C%2b+", "/%43++"])
def test_exception_matches_every_encoding(uri: str) -> None:
    assert rewrite(uri, "", RewriteOptions(exceptions=EXCEPTIONS)) == "/C%2B%2B"


# URIs built from problematic parts, and arbitrary text.
PIECES = ["/", "//", "\\", "%2f", "%5C", "%0a", "%2e", "..", ".", ":", "@", "?", "#", "\t", "\n", "\x00", "é", " "]
PIECES += ["+", "%2B", "%2b", "%", "%%", "%zz", "%FF", "%41", ";", "=", "&", "~", "[", "|", "e\u0301"]
PIECES += ["evil.com", "docs", "v1.2", "a.html", "index.html", "http:"]
uris = st.lists(st.sampled_from(PIECES), max_size=8).map(lambda pieces: "/" + "".join(pieces)) | st.text()
queries = st.text() | st.sampled_from(["", "a=b", "x=%0d%0a", "u=//evil.com"])
any_options = st.builds(
    RewriteOptions,
    trailing_slash=st.sampled_from(["redirect", "rewrite"]),
    redirect_index_html=st.booleans(),
    style=st.sampled_from(["directory", "page"]),
    exceptions=st.dictionaries(uris.map(key_path), st.sampled_from(["directory", "page", "file"]), max_size=2).filter(
        lambda exceptions: exceptions.get("/") != "page"  # the root is never one
    ),
)


@given(uris, queries, any_options)
@pytest.mark.reliability(
    "static_site",
    "Malformed input",
    fault="an invalid URI or query string",
    expected="a path or a redirect within the site, never an exception",
    observed="with any text",
)
@pytest.mark.reliability(
    "static_site",
    "Hostile input",
    fault="a URI that a browser reads as another host or as a header",
)
def test_any_uri_returns_path_or_redirect_within_site(uri: str, query: str, options: RewriteOptions) -> None:
    result = rewrite(uri, query, options)
    if not isinstance(result, Redirect):
        requested = decode_as_browser(uri).removesuffix(b"/")
        assert result == uri or decode_as_s3(result).startswith(requested), "rewriting only appends"
        return
    location = result.location
    assert location.isascii()
    assert location.isprintable()
    assert " " not in location
    for base in ("https://www.example.com/", f"https://www.example.com{location}"):
        assert urlsplit(urljoin(base, location)).netloc == "www.example.com", location
    assert not location.startswith(("//", "/\\"))
    path, _, location_query = location.partition("?")
    assert location_query in (query, ""), "the query string is kept unchanged or dropped"
    assert location_query == query or not (query.isascii() and query.isprintable() and " " not in query)
    assert path.removesuffix("/") == uri.removesuffix("/") or options.redirect_index_html


def decode_as_s3(path: str) -> bytes:
    """Return the key that S3's REST endpoint reads: it decodes escapes and reads a plus as a space."""
    return unquote_to_bytes(path.replace("+", " "))


def decode_as_browser(path: str) -> bytes:
    """Return the path that a browser means (RFC 3986): it decodes escapes only."""
    return unquote_to_bytes(path)


@given(uris, any_options)
@pytest.mark.reliability(
    "static_site",
    "Malformed input",
    fault="a path that S3 and browsers decode differently (`+`, a lone `%`), or that is not a valid key",
    expected="S3 receives the key that the browser requested; otherwise status 404",
    observed="with any text",
)
def test_any_path_gives_s3_the_key_the_browser_requested(uri: str, options: RewriteOptions) -> None:
    result = rewrite(uri, "", options)
    if not isinstance(result, Redirect) and uri.startswith("/"):
        requested = decode_as_browser(uri)
        suffixes = (b"", b"index.html", b"/index.html", b".html")
        page = requested.removesuffix(b"/") + b".html"
        assert decode_as_s3(result) in (page, *(requested + suffix for suffix in suffixes))
        assert re.fullmatch(r"/([A-Za-z0-9\-._~/]|%[0-9A-F]{2})*", result), "every client decodes it in the same way"


@given(st.text(max_size=20))
def test_key_path_of_any_key_decodes_to_that_key(name: str) -> None:
    assert decode_as_s3(key_path(quote(f"/{name}"))) == f"/{name}".encode()
    assert key_path(key_path(f"/{name}")) == key_path(f"/{name}")


@given(uris, queries, any_options)
@pytest.mark.reliability(
    "static_site",
    "Hostile input",
    fault="a query string crafted to poison the cache",
    expected="the result depends on the path only",
    observed="the same page with any query string",
)
def test_query_string_never_changes_the_result(uri: str, query: str, options: RewriteOptions) -> None:
    """The path alone is the cache key, so one viewer's query string must not change another viewer's response."""
    with_query, without_query = rewrite(uri, query, options), rewrite(uri, "", options)
    if isinstance(without_query, Redirect):
        assert isinstance(with_query, Redirect)
        assert with_query.location.partition("?")[0] == without_query.location
    else:
        assert with_query == without_query


@given(uris, queries, any_options)
@pytest.mark.reliability(
    "static_site",
    "Duplicate",
    fault="a rewritten URI is rewritten again",
    expected="it does not change, and no redirect leads to another redirect",
    observed="with any URI",
)
def test_rewrite_is_idempotent(uri: str, query: str, options: RewriteOptions) -> None:
    result = rewrite(uri, query, options)
    if isinstance(result, Redirect):  # its location must not redirect again
        path = result.location.partition("?")[0]
        assert isinstance(rewrite(path, query, options), str)
    elif not options.redirect_index_html and not options.exceptions:
        assert rewrite(result, query, options) == result
