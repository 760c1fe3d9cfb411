"""Rewrite a viewer's URI to the S3 key of a page, or redirect it.

CloudFront reaches a private bucket through S3's REST endpoint, which has keys and no directories. `/docs/` is
rewritten to the key of its index page. `/docs` is redirected to `/docs/`, because relative links on a page at
`/docs` would break. A path that a browser could treat as another host is never redirected. Paths are sent to
S3 encoded as SDKs encode object keys, because S3 reads some characters differently from browsers (`+` as a space).

Based on "Implementing Default Directory Indexes in Amazon S3-backed Amazon CloudFront Origins Using Lambda@Edge",
AWS Compute Blog, 2017.
"""

import re
from typing import NamedTuple

INDEX = "index.html"
# A last path segment with an extension is a file. An extension starts with a letter, so that release-1.2 is a
# directory, and has at least two characters, so that v1.x is one too. Shorter known extensions are listed.
EXTENSION = re.compile(r"\.([A-Za-z][A-Za-z0-9]{1,14})\Z")
KNOWN_EXTENSIONS = frozenset({"7z", "3gp", "3g2", "c", "h", "m", "r", "z"})
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

    trailing_slash: how to respond to `/docs`, ``redirect`` or ``rewrite``. redirect_status: 301 or 308.
    redirect_index_html: redirect `/docs/index.html` to `/docs/`. extensionless_files: paths of files
    without an extension, as `key_path` encodes them.
    """

    trailing_slash: str = "redirect"
    redirect_status: int = 308
    redirect_index_html: bool = False
    extensionless_files: frozenset[str] = frozenset()


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
    if path.startswith("/.well-known/") or path in options.extensionless_files:
        return path
    directory, _, last = path.rpartition("/")
    # `/index.html` is not redirected: CloudFront itself requests it for `/`, so the redirect would loop.
    if options.redirect_index_html and last == INDEX and directory:
        return _redirect(f"{uri.rpartition('/')[0]}/", query) or path
    if not last:
        return path + INDEX
    if _is_file(last):
        return path
    redirect = _redirect(f"{uri}/", query) if options.trailing_slash == "redirect" else None
    return redirect or f"{path}/{INDEX}"


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
    """Return a redirect to `path`, which ends with a slash, or None if the redirect would be unsafe.

    A query string that is not valid in a header is dropped.
    """
    if not SAFE_PATH.match(path[:-1]) or UNSAFE_PART.search(path):
        return None
    return Redirect(f"{path}?{query}" if query and SAFE_QUERY.match(query) else path)
