"""The site's Content-Security-Policy: same origin, and the hashes of its inline scripts and styles."""

import base64
import hashlib
import re
from collections.abc import Iterable
from html import unescape
from pathlib import Path
from typing import NamedTuple

from settings.static_site import MAX_HEADER_VALUE

from .folder import files_of

SCRIPT = re.compile(r"<script\b([^>]*)>(.*?)</script\s*>", re.DOTALL | re.IGNORECASE)
STYLE = re.compile(r"<style\b[^>]*>(.*?)</style\s*>", re.DOTALL | re.IGNORECASE)
STYLE_ATTRIBUTE = re.compile(r"<[a-z][^<>]*?\sstyle\s*=\s*(?:\"([^\"]*)\"|'([^']*)')", re.DOTALL | re.IGNORECASE)
EVENT_HANDLER = re.compile(r"<[a-z][^<>]*?\son[a-z]{3,}\s*=\s*[\"']", re.IGNORECASE)
SOURCE = re.compile(r"\ssrc\s*=", re.IGNORECASE)
SCRIPT_TYPE = re.compile(r"\stype\s*=\s*[\"']?([^\"'\s>]+)", re.IGNORECASE)
# Types of script elements that a policy covers; others, such as application/json, are data.
SCRIPT_TYPES = frozenset({"module", "importmap", "speculationrules", "text/javascript", "application/javascript"})
ORIGIN = r"(?:https?:)?//([A-Za-z0-9.-]+\.[A-Za-z]+)(?=[/:?\"'\s>])"
THIRD_PARTY = {
    "script-src": re.compile(rf"<script\b[^>]*\ssrc\s*=\s*[\"']?{ORIGIN}", re.IGNORECASE),
    "style-src": re.compile(
        rf"<link\b(?=[^>]*\srel\s*=\s*[\"']?stylesheet)[^>]*\shref\s*=\s*[\"']?{ORIGIN}", re.IGNORECASE
    ),
    "img-src": re.compile(rf"<img\b[^>]*\ssrc\s*=\s*[\"']?{ORIGIN}", re.IGNORECASE),
    "frame-src": re.compile(rf"<iframe\b[^>]*\ssrc\s*=\s*[\"']?{ORIGIN}", re.IGNORECASE),
}


class SitePolicy(NamedTuple):
    """A header value, and warnings about what browsers will block with it."""

    header: str
    warnings: list[str]


def site_policy(folder: Path, policy: str, *, domain_name: str | None = None) -> SitePolicy:
    """Extend `policy` with the inline code of the pages in `folder`, and report what it does not allow."""
    pages = {path: path.read_text(errors="replace") for path in files_of(folder) if path.suffix == ".html"}
    texts = [text.replace("\r\n", "\n") for text in pages.values()]
    scripts = {_hash(body) for text in texts for body in _inline_scripts(text)}
    styles = {_hash(body) for text in texts for body in STYLE.findall(text)}
    attributes = {
        _hash(unescape(double or single)) for text in texts for double, single in STYLE_ATTRIBUTE.findall(text)
    }
    sheets = [path.read_text(errors="replace") for path in files_of(folder) if path.suffix == ".css"]
    warnings = []
    if any("data:image/" in text for text in [*texts, *sheets]):
        policy += "; img-src 'self' data:"
    if any(re.search(r"data:(font|application/(x-)?font)", text) for text in [*texts, *sheets]):
        policy += "; font-src 'self' data:"
    unsafe_hashes = ["'unsafe-hashes'", *sorted(attributes)] if attributes else []
    for directive, name, sources in (
        ("script-src", "scripts", sorted(scripts)),
        ("style-src", "styles", [*sorted(styles), *unsafe_hashes]),
    ):
        extended = "; ".join([policy, " ".join([directive, "'self'", *sources])])
        if sources and len(extended) > MAX_HEADER_VALUE:
            warnings.append(
                f"browsers will block {len(sources)} different inline {name}, because their hashes do not fit into "
                f"{MAX_HEADER_VALUE:,} characters. Move them to files, or allow all inline {name}, including injected "
                f"ones, with -c \"static_site:content_security_policy={policy}; {directive} 'self' 'unsafe-inline'\""
            )
        elif sources:
            policy = extended
    handlers = sum(bool(EVENT_HANDLER.search(text)) for text in texts)
    if handlers:
        warnings.append(f"browsers will block event handler attributes, such as onclick, on {handlers} page(s)")
    return SitePolicy(policy, [*warnings, *_third_party_warnings(texts, domain_name)])


def _inline_scripts(text: str) -> Iterable[str]:
    for attributes, body in SCRIPT.findall(text):
        kind = SCRIPT_TYPE.search(attributes)
        if not SOURCE.search(attributes) and (kind is None or kind[1].lower() in SCRIPT_TYPES):
            yield body


def _third_party_warnings(texts: list[str], domain_name: str | None) -> Iterable[str]:
    for directive, pattern in THIRD_PARTY.items():
        origins = sorted({origin.lower() for text in texts for origin in pattern.findall(text)} - {domain_name})
        if origins:
            yield (
                f"browsers will block what the pages load from {', '.join(origins)}; to allow it, set "
                f"static_site:content_security_policy with these origins in {directive}"
            )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
