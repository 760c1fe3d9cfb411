"""What becomes of a viewer's URI on its way to the bucket.

A private bucket is reached through S3's REST endpoint, which knows keys and no directories. So
`/docs/` becomes the key of its index page, and `/docs`, from which relative links would lead
astray, is redirected to `/docs/`. Everything that a browser could take for another host is
never made a redirect. What goes to S3 is written as SDKs write an object key, because S3 reads
some characters differently from a browser, `+` as a space. Idea: "Implementing Default Directory
Indexes in Amazon S3-backed Amazon CloudFront Origins Using Lambda@Edge", AWS Compute Blog, 2017.
"""

import re
from typing import NamedTuple

INDEX = "index.html"
# A last segment with an extension is a file: letters first, so that v1.2 and release-1.2 are
# not, and two at least, so that v1.x is not; but for those that are known.
EXTENSION = re.compile(r"\.([A-Za-z][A-Za-z0-9]{1,14})\Z")
KNOWN_EXTENSIONS = frozenset({"7z", "3gp", "3g2", "c", "h", "m", "r", "z"})
# A path in which no reader of the header, however lenient, sees another host or another header:
# printable ASCII of RFC 3986, no empty segment, no backslash, no encoded slash, backslash or
# control character, no dot segments.
SAFE_PATH = re.compile(r"(/[A-Za-z0-9\-._~!$&'()*+,;=:@%]+)+\Z")
UNSAFE_PART = re.compile(r"%(2f|5c|0[0-9a-f]|1[0-9a-f]|7f)|%(?![0-9A-Fa-f]{2})|/(\.|%2e){1,2}(/|\Z)", re.IGNORECASE)
SAFE_QUERY = re.compile(r"[!-~]*\Z")
# Everything that is not written as it is in the path of an S3 request (S3 API reference, canonical URI).
ESCAPE_OR_RESERVED = re.compile(r"%[0-9A-Fa-f]{2}|[^A-Za-z0-9\-._~/]")
UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_~")
MAX_KEY_BYTES = 1024


class Choices(NamedTuple):
    """The settings of a site.

    without_slash: what `/docs` gets, ``redirect`` or ``rewrite``. redirect_status: 301 or 308.
    canonical: redirect `/docs/index.html` to `/docs/`. files: paths without an extension that
    are files, as `key_path` writes them.
    """

    without_slash: str = "redirect"
    redirect_status: int = 308
    canonical: bool = False
    files: frozenset[str] = frozenset()


class Redirect(NamedTuple):
    """A redirect to `location`, a path of the same site with its query string."""

    location: str


def rewrite(uri: str, query: str, choices: Choices) -> str | Redirect:
    """Return the URI that the origin is asked for, or a redirect; never raises.

    `uri` and `query` are as CloudFront gives them: the path as the viewer sent it, encoded, and
    the query string without its question mark, which a redirect keeps byte for byte. Only the
    path decides what is done: the cache is keyed by it alone.
    """
    path = key_path(uri)
    if not uri.startswith("/") or _key_bytes(path) > MAX_KEY_BYTES:
        return uri  # no object can have this name, and CloudFront limits what it takes from a function
    if path.startswith("/.well-known/") or path in choices.files:
        return path
    directory, _, last = path.rpartition("/")
    # Not the root's: CloudFront makes `/` that itself, and the redirect would go round.
    if choices.canonical and last == INDEX and directory:
        return _redirect(f"{uri.rpartition('/')[0]}/", query) or path
    if not last:
        return path + INDEX
    if _is_file(last):
        return path
    redirect = _redirect(f"{uri}/", query) if choices.without_slash == "redirect" else None
    return redirect or f"{path}/{INDEX}"


def key_path(path: str) -> str:
    """Return `path` with every character encoded that S3 could read differently from a browser.

    A percent sign that begins no escape is encoded too. Needless escapes are decoded, except those
    of dots, which could form a dot segment.
    """
    return ESCAPE_OR_RESERVED.sub(_encode, path)


def _encode(match: re.Match[str]) -> str:
    text = match[0]
    if len(text) == 1:
        return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))
    character = chr(int(text[1:], 16))
    return character if character in UNRESERVED else text.upper()


def _key_bytes(path: str) -> int:
    """Length of the key that S3 reads in a path that `key_path` has written."""
    return len(path) - 2 * path.count("%") - len("/")


def _is_file(name: str) -> bool:
    extension = name.rpartition(".")[2].lower() if "." in name else ""
    return bool(EXTENSION.search(name)) or extension in KNOWN_EXTENSIONS


def _redirect(path: str, query: str) -> Redirect | None:
    """Redirect to `path`, which ends with a slash, or None when that would not be safe.

    A query string that may not stand in a header is left out.
    """
    if not SAFE_PATH.match(path[:-1]) or UNSAFE_PART.search(path):
        return None
    return Redirect(f"{path}?{query}" if query and SAFE_QUERY.match(query) else path)
