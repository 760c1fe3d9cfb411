"""The rewriter, case by case, and what holds for every URI."""

import re
import time
from urllib.parse import quote, unquote_to_bytes, urljoin, urlsplit

import pytest
from hypothesis import given, strategies as st

from lambdas.static_site.rewrite import Choices, Redirect, key_path, rewrite

DEFAULT = Choices()
CASES = [
    # what the viewer asks for, what the bucket is asked for (or, with ->, where the viewer is sent)
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
    ("/call.3gp", "/call.3gp"),
    ("/site.webmanifest", "/site.webmanifest"),
    ("/profile.mobileconfig", "/profile.mobileconfig"),
    ("/.htaccess", "/.htaccess"),
    # a dot in the name of a directory
    ("/v1.2", "-> /v1.2/"),
    ("/v1.2/docs", "-> /v1.2/docs/"),
    ("/v1.2/docs/", "/v1.2/docs/index.html"),
    ("/v1.x", "-> /v1.x/"),
    ("/release-1.2", "-> /release-1.2/"),
    ("/release-1.2/", "/release-1.2/index.html"),
    ("/example.com/page", "-> /example.com/page/"),
    ("/ends-with-dot.", "-> /ends-with-dot./"),
    ("/subdirectory/index.html", "/subdirectory/index.html"),
    # not ours to touch
    ("/.well-known/acme-challenge/token", "/.well-known/acme-challenge/token"),
    ("/.well-known/", "/.well-known/"),
    ("/.well-knownX", "-> /.well-knownX/"),
    # S3 reads what the browser meant: reserved characters are encoded, escapes are kept
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
    # what a browser, a proxy or a careless reader could take for another host: no redirect
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
    fault="a URI that a browser takes for another host, or for a header",
    expected="no redirect",
    observed="for each known trick",
)
def test_case(uri: str, expected: str) -> None:
    result = rewrite(uri, "", DEFAULT)
    assert (f"-> {result.location}" if isinstance(result, Redirect) else result) == expected


@pytest.mark.parametrize("query", ["a=b", "a=b&a=c", "q=%2F%20+x", "?", "a=http://evil.com/", "%"])
def test_redirect_keeps_the_query_string_byte_for_byte(query: str) -> None:
    assert rewrite("/docs", query, DEFAULT) == Redirect(f"/docs/?{query}")


@pytest.mark.parametrize("query", ["a=b\r\nSet-Cookie: c", "a=b c", "a=é", "\t", "a=b\n", "\x7f"])
@pytest.mark.reliability("static_site", "Malformed input", fault="text that is no valid URI or query string")
def test_query_string_that_is_none_is_left_out_of_the_redirect(query: str) -> None:
    assert rewrite("/docs", query, DEFAULT) == Redirect("/docs/")


@pytest.mark.parametrize(("character", "size"), [("a", 1), ("+", 1), ("%2B", 1), ("é", 2)])
@pytest.mark.reliability(
    "static_site",
    "Malformed input",
    fault="a path that S3 reads differently from a browser (`+`, a lone `%`), or that no key can have",
)
def test_path_longer_than_a_key_passes_unchanged(character: str, size: int) -> None:
    """S3 refuses it; encoded, it could be longer than CloudFront takes from a function."""
    longest = "/" + character * (1024 // size)
    assert rewrite(longest, "", Choices(without_slash="rewrite")) == f"{key_path(longest)}/index.html"
    assert rewrite(longest + character, "", DEFAULT) == longest + character


@pytest.mark.parametrize("piece", ["/", "/a", "a", "+", "%", "%2f", "%2e/", "/.", "\\", "é", "/a%20b", ".a", "\n"])
@pytest.mark.reliability(
    "static_site",
    "Timeout mid-way",
    fault="a URI made to keep the function busy",
    expected="none can: the time grows with the length only",
    observed="8 KB in far less than a second",
)
def test_no_uri_takes_long(piece: str) -> None:
    """A viewer pays nothing for a long one; a function that is busy with it answers nobody else."""
    uri = "/" + piece * (8192 // len(piece))
    started = time.process_time()
    for odd in (uri, f"{uri}|", f"{uri}/index.html"):
        rewrite(odd, "q" * 8192, Choices(canonical=True))
    assert time.process_time() - started < 1


def test_rewrite_instead_of_redirect_when_chosen() -> None:
    assert rewrite("/docs", "a=b", Choices(without_slash="rewrite")) == "/docs/index.html"


def test_index_page_is_redirected_to_its_directory_when_chosen() -> None:
    canonical = Choices(canonical=True)
    assert rewrite("/docs/index.html", "a=b", canonical) == Redirect("/docs/?a=b")
    assert rewrite("/index.html", "", canonical) == "/index.html", "CloudFront asks for it when the viewer asks for /"
    assert rewrite("//evil.com/index.html", "", canonical) == "//evil.com/index.html"


def test_listed_file_without_extension_stays() -> None:
    assert rewrite("/LICENSE", "", Choices(files=frozenset({"/LICENSE"}))) == "/LICENSE"


@pytest.mark.parametrize("uri", ["/C++", "/C%2B%2B", "/C%2b+", "/%43++"])
def test_listed_file_is_found_however_it_is_encoded(uri: str) -> None:
    assert rewrite(uri, "", Choices(files=frozenset({"/C%2B%2B"}))) == "/C%2B%2B"


# URIs that look like trouble, and any text at all.
PIECES = ["/", "//", "\\", "%2f", "%5C", "%0a", "%2e", "..", ".", ":", "@", "?", "#", "\t", "\n", "\x00", "é", " "]
PIECES += ["+", "%2B", "%2b", "%", "%%", "%zz", "%FF", "%41", ";", "=", "&", "~", "[", "|", "e\u0301"]
PIECES += ["evil.com", "docs", "v1.2", "a.html", "index.html", "http:"]
uris = st.lists(st.sampled_from(PIECES), max_size=8).map(lambda pieces: "/" + "".join(pieces)) | st.text()
queries = st.text() | st.sampled_from(["", "a=b", "x=%0d%0a", "u=//evil.com"])
choices = st.builds(
    Choices,
    without_slash=st.sampled_from(["redirect", "rewrite"]),
    canonical=st.booleans(),
    files=st.frozensets(uris, max_size=2),
)


@given(uris, queries, choices)
@pytest.mark.reliability(
    "static_site",
    "Malformed input",
    fault="text that is no valid URI or query string",
    expected="one path or one redirect within the site, never an error",
    observed="with any text",
)
@pytest.mark.reliability(
    "static_site",
    "Hostile input",
    fault="a URI that a browser takes for another host, or for a header",
)
def test_result_is_one_path_or_one_redirect_within_the_site(uri: str, query: str, chosen: Choices) -> None:
    result = rewrite(uri, query, chosen)
    if not isinstance(result, Redirect):
        assert result == uri or as_s3_reads(result).startswith(as_a_browser_means(uri)), "a path is only added to"
        return
    location = result.location
    assert location.isascii()
    assert location.isprintable()
    assert " " not in location
    for base in ("https://www.example.com/", f"https://www.example.com{location}"):
        assert urlsplit(urljoin(base, location)).netloc == "www.example.com", location
    assert not location.startswith(("//", "/\\"))
    path, _, kept = location.partition("?")
    assert kept in (query, ""), "the query string is kept byte for byte, or left out"
    assert kept == query or not (query.isascii() and query.isprintable() and " " not in query)
    assert path.endswith("/")


def as_s3_reads(path: str) -> bytes:
    """The key that S3's REST endpoint reads: escapes decoded, a plus as a space."""
    return unquote_to_bytes(path.replace("+", " "))


def as_a_browser_means(path: str) -> bytes:
    """What a path stands for (RFC 3986): only escapes are decoded."""
    return unquote_to_bytes(path)


@given(uris, choices)
@pytest.mark.reliability(
    "static_site",
    "Malformed input",
    fault="a path that S3 reads differently from a browser (`+`, a lone `%`), or that no key can have",
    expected="S3 gets the key that the browser meant; a true 404 otherwise",
    observed="with any text",
)
def test_s3_reads_what_the_browser_meant(uri: str, chosen: Choices) -> None:
    result = rewrite(uri, "", chosen)
    if not isinstance(result, Redirect) and uri.startswith("/"):
        meant = as_a_browser_means(uri)
        assert as_s3_reads(result) in (meant, meant + b"index.html", meant + b"/index.html")
        assert re.fullmatch(r"/([A-Za-z0-9\-._~/]|%[0-9A-F]{2})*", result), "what no reader takes in two ways"


@given(st.text(max_size=20))
def test_every_key_is_reached_by_its_encoded_path(name: str) -> None:
    assert as_s3_reads(key_path(quote(f"/{name}"))) == f"/{name}".encode()
    assert key_path(key_path(f"/{name}")) == key_path(f"/{name}")


@given(uris, queries, choices)
@pytest.mark.reliability(
    "static_site",
    "Hostile input",
    fault="a query string meant to poison the cache",
    expected="only the path decides",
    observed="the same page for everybody",
)
def test_only_the_path_decides_what_is_done(uri: str, query: str, chosen: Choices) -> None:
    """The cache is keyed by the path alone: nobody's query string may change another's answer."""
    with_query, without = rewrite(uri, query, chosen), rewrite(uri, "", chosen)
    if isinstance(without, Redirect):
        assert isinstance(with_query, Redirect)
        assert with_query.location.partition("?")[0] == without.location
    else:
        assert with_query == without


@given(uris, queries, choices)
@pytest.mark.reliability(
    "static_site",
    "Duplicate",
    fault="a URI that is rewritten already is rewritten again",
    expected="it stays as it is, and no redirect leads to another",
    observed="with any URI",
)
def test_doing_it_again_changes_nothing_more(uri: str, query: str, chosen: Choices) -> None:
    result = rewrite(uri, query, chosen)
    if isinstance(result, Redirect):  # where the viewer is sent there is a page, and no further redirect
        path = result.location.partition("?")[0]
        assert isinstance(rewrite(path, query, chosen), str)
    elif not chosen.canonical:
        assert rewrite(result, query, chosen) == result
