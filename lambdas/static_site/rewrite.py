"""Rewrite a viewer's URI to the S3 key of a page, or redirect it.

CloudFront reaches a private bucket through S3's REST endpoint, which has keys and no directories. `/docs/` is
rewritten to the key of its index page. `/docs` is redirected to `/docs/`, because relative links on a page at `/docs`
would break, or is the page `docs.html`. Which of them is the site's *style*; paths whose kind differs from what their
name and the style suggest are *exceptions*, which the stack computes from the names of the files. A path that a
browser could treat as another host is never redirected. Paths are sent to S3 encoded as SDKs encode object keys,
because S3 reads some characters differently from browsers (`+` as a space).

Based on "Implementing Default Directory Indexes in Amazon S3-backed Amazon CloudFront Origins Using Lambda@Edge",
AWS Compute Blog, 2017.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

INDEX, HTML = "index.html", ".html"
FILE, DIRECTORY, PAGE = "file", "directory", "page"
# A last path segment with an extension is a file. An extension starts with a letter, so that release-1.2 is a
# directory, and has at least two characters, so that v1.x is one too. Other known extensions are listed.
EXTENSION = re.compile(r"\.([A-Za-z][A-Za-z0-9]{1,14})\Z")
KNOWN_EXTENSIONS = frozenset(
    {"7z", "3gp", "3g2", "c", "h", "m", "r", "z", "pf_meta", "pf_index", "pf_filter", "pf_fragment"}  # pf_: of Pagefind
)
# A path that even lenient clients cannot interpret as another host or as a header: printable ASCII of RFC 3986,
# without empty segments, backslashes, dot segments, or encoded slashes, backslashes and control characters.
SAFE_PATH = re.compile(r"(/[A-Za-z0-9\-._~!$&'()*+,;=:@%]+)+\Z")
UNSAFE_PART = re.compile(r"%(2f|5c|0[0-9a-f]|1[0-9a-f]|7f)|%(?![0-9A-Fa-f]{2})|/(\.|%2e){1,2}(/|\Z)", re.IGNORECASE)
SAFE_QUERY = re.compile(r"[!-~]*\Z")
# Escapes, and characters that must be escaped in the path of an S3 request (S3 API Reference, canonical URI).
ESCAPE_OR_RESERVED = re.compile(r"%[0-9A-Fa-f]{2}|[^A-Za-z0-9\-._~/]")
UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_~")
MAX_KEY_BYTES = 1024


class RewriteOptions(NamedTuple):
    """Options for rewriting URIs.

    trailing_slash: ``redirect`` `/docs` to `/docs/`, or ``rewrite`` it to the index page. redirect_status: 301 or
    308. redirect_index_html: redirect `/docs/index.html` to `/docs/`. style: the kind of a path without extension,
    ``directory`` or ``page``. exceptions: paths, as `key_path` encodes them, and their kinds.
    """

    trailing_slash: str = "redirect"
    redirect_status: int = 308
    redirect_index_html: bool = False
    style: str = DIRECTORY
    exceptions: Mapping[str, str] = {}


class Redirect(NamedTuple):
    """A redirect to `location`, a path on the same site with its query string."""

    location: str


def rewrite(uri: str, query: str, options: RewriteOptions) -> str | Redirect:
    """Return the URI to request from the origin, or a redirect. Never raises.

    `uri` and `query` are in CloudFront's format: the path encoded as the viewer sent it, and the query string
    without its question mark. A redirect keeps the query string byte for byte. The result depends on the path
    alone, because the path alone is the cache key.
    """
    path = key_path(uri)
    if not uri.startswith("/") or _key_bytes(path) > MAX_KEY_BYTES:
        return uri  # not a valid key, and rewriting could exceed CloudFront's limit for a function's result
    parent, _, last = path.rpartition("/")
    if not last:
        return _rewrite_directory(uri, query, parent, options)
    # `/index.html` is not redirected: CloudFront itself requests it for `/`, so the redirect would loop.
    if options.redirect_index_html and last == INDEX and parent and path_kind(f"{parent}/", options) == DIRECTORY:
        return _redirect(f"{uri.rpartition('/')[0]}/", query) or path
    kind = path_kind(path, options)
    if kind == FILE:
        return path
    if kind == PAGE:
        return path + HTML
    redirect = _redirect(f"{uri}/", query) if options.trailing_slash == "redirect" else None
    return redirect or f"{path}/{INDEX}"


def _rewrite_directory(uri: str, query: str, path: str, options: RewriteOptions) -> str | Redirect:
    """Return the result for `uri`, which ends with a slash; `path` is its encoded form without that slash."""
    kind = path_kind(f"{path}/", options)
    if kind == FILE:
        return f"{path}/"
    if kind == PAGE:
        redirect = _redirect(uri[:-1], query) if options.trailing_slash == "redirect" else None
        return redirect or path + HTML
    return f"{path}/{INDEX}"


def path_kind(path: str, options: RewriteOptions) -> str:
    """Return whether an encoded path is that of a file, a directory with an index page, or a page.

    With a slash at its end, it is a directory, except where the path without the slash is a page.
    """
    name = path.replace("%2E", ".")
    kind = options.exceptions.get(name)
    if kind or not name.endswith("/"):
        return kind or _kind_by_name(name, options.style)
    kind = options.exceptions.get(name[:-1])
    if name.startswith("/.well-known/"):
        return kind or FILE
    is_page = (kind or _kind_by_name(name[:-1], options.style)) == PAGE
    return PAGE if is_page and not name.endswith("//") and name != "/" else DIRECTORY


def _kind_by_name(path: str, style: str) -> str:
    return FILE if path.startswith("/.well-known/") or _is_file(path.rpartition("/")[2]) else style


def key_path(path: str) -> str:
    """Percent-encode the characters in `path` that S3 and browsers could interpret differently.

    A percent sign that does not start an escape is encoded too. Unnecessary escapes are decoded, except escaped
    dots, which could form a dot segment.
    """
    return ESCAPE_OR_RESERVED.sub(_encode, path)


def _encode(match: re.Match[str]) -> str:
    text = match[0]
    if len(text) == 1:
        return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))
    character = chr(int(text[1:], 16))
    return character if character in UNRESERVED else text.upper()


def _key_bytes(path: str) -> int:
    """Return the length of the key that S3 reads from a path encoded by `key_path`."""
    return len(path) - 2 * path.count("%") - len("/")


def _is_file(name: str) -> bool:
    extension = name.rpartition(".")[2].lower() if "." in name else ""
    return bool(EXTENSION.search(name)) or extension in KNOWN_EXTENSIONS


def _redirect(path: str, query: str) -> Redirect | None:
    """Return a redirect to `path`, or None if the redirect would be unsafe.

    A query string that is not valid in a header is dropped.
    """
    if not SAFE_PATH.match(path.removesuffix("/")) or UNSAFE_PART.search(path):
        return None
    return Redirect(f"{path}?{query}" if query and SAFE_QUERY.match(query) else path)
