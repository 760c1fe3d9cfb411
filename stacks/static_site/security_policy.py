"""The site's Content-Security-Policy: same origin, and what else the site's files need."""

import base64
import hashlib
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from settings.static_site import MAX_HEADER_VALUE

from .folder import files_of
from .page_contents import PageContents, Reference, page_contents, style_sheet_references, unescape_references

PAGES, STYLE_SHEETS, SCRIPTS = (".html", ".htm"), (".css",), (".js", ".mjs")
DATA_URLS = {
    "img-src": re.compile(r"data:image/"),
    "font-src": re.compile(r"data:(font|application/(x-)?font)"),
    "media-src": re.compile(r"data:(audio|video)/"),
}
WEB_ASSEMBLY = re.compile(r"\bWebAssembly\.(instantiate|compile|Module|Instance)")
# Style attributes of elements that scripts create from text, as those of Svelte do.
STYLE_IN_SCRIPT = re.compile(r"\sstyle=(\\?[\"'])([^\"'\\<>{}$`]+)\1")
# Style sheets that load fonts from another origin.
FONT_ORIGINS = {"https://fonts.googleapis.com": "https://fonts.gstatic.com"}
# Other hosts do not exist. Names are part of a suggested command, so they must not contain commands of a page.
HOST = re.compile(r"(?![.-])[a-z0-9._-]+(:[0-9]+)?|\[[0-9a-f:.]+\](:[0-9]+)?")
MAX_IMAGE_ORIGINS = 10  # with more, `https:` is shorter
UNSAFE_INLINE, UNSAFE_HASHES = "'unsafe-inline'", "'unsafe-hashes'"
NAMES = {"script-src": "scripts", "style-src": "styles"}


class SitePolicy(NamedTuple):
    """A policy for a site.

    header: the value of the header. blocked: what browsers will block with it, as texts. additional_sources: the value
    of the setting that would allow this. embeds_itself: pages show other pages of the site in frames.
    """

    header: str
    blocked: list[str]
    additional_sources: str = ""
    embeds_itself: bool = False


class _Directives(dict[str, list[str]]):
    """The directives of a policy, and their sources."""

    def __init__(self, policy: str) -> None:
        parts = (directive.split() for directive in policy.split(";") if directive.strip())
        super().__init__((name, sources) for name, *sources in parts)

    def add(self, directive: str, sources: Iterable[str]) -> None:
        """Add sources to a directive. One that the policy lacks starts with the site itself."""
        current = [source for source in self.get(directive, ["'self'"]) if source != "'none'"]
        self[directive] = list(dict.fromkeys([*current, *sources]))

    def __str__(self) -> str:
        return "; ".join(" ".join([name, *sources]) for name, sources in self.items())


class _Site(NamedTuple):
    """What a policy has to allow for the files of a site."""

    pages: list[PageContents]
    scripts: list[str]
    references: set[Reference]
    data_directives: list[str]
    has_web_assembly: bool

    def code(self, kind: str) -> set[str]:
        """Return the inline code of all pages: `scripts`, `styles`, `style_attributes` or `event_handlers`."""
        return {text for page in self.pages for text in getattr(page, kind)}


def site_policy(
    folder: Path, policy: str, *, additional_sources: str = "", domain_name: str | None = None
) -> SitePolicy:
    """Extend `policy` with `additional_sources` and what the files in `folder` need; report what it does not allow."""
    site, directives = _read_site(folder), _Directives(policy)
    origins, embeds = _classify(site.references, domain_name)
    for name, sources in _Directives(additional_sources).items():
        directives.add(name, sources)
    for name in site.data_directives:
        directives.add(name, ["data:"])
    if site.has_web_assembly:
        directives.add("script-src", ["'wasm-unsafe-eval'"])
    if embeds:  # the embedded pages and files have the policy too
        directives["frame-ancestors"] = ["'self'"]
    if "object-src" in embeds:
        directives.add("object-src", ["'self'"])
    blocked, missing = _add_hashes(directives, site)
    for name, needed in sorted(origins.items()):
        lacking = sorted(origin for origin in needed if not _is_allowed(origin, directives.get(name, [])))
        if lacking:
            blocked.append(f"what the pages load from {', '.join(lacking)} ({name})")
            missing[name] += ["https:"] if name == "img-src" and len(lacking) > MAX_IMAGE_ORIGINS else lacking
    proposal = _Directives(additional_sources)
    for name, sources in missing.items():
        proposal[name] = [*proposal.get(name, []), *sources]
    return SitePolicy(str(directives), blocked, str(proposal) if blocked else "", bool(embeds))


def _read_site(folder: Path) -> _Site:
    files = files_of(folder)
    texts = {
        kind: [_read(path) for path in files if path.suffix.lower() in kind] for kind in (PAGES, STYLE_SHEETS, SCRIPTS)
    }
    pages = [page_contents(text) for text in texts[PAGES]]
    every_text = [text for group in texts.values() for text in group]
    sheets = (reference for text in texts[STYLE_SHEETS] for reference in style_sheet_references(text))
    return _Site(
        pages,
        texts[SCRIPTS],
        {*sheets, *(reference for page in pages for reference in page.references)},
        [name for name, pattern in DATA_URLS.items() if any(map(pattern.search, every_text))],
        any(path.suffix == ".wasm" for path in files) or any(map(WEB_ASSEMBLY.search, texts[SCRIPTS])),
    )


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8-sig", errors="replace")


def _classify(references: Collection[Reference], domain_name: str | None) -> tuple[Mapping[str, set[str]], set[str]]:
    """Return the other origins that the site loads, by directive, and the directives with which it embeds own files."""
    origins: defaultdict[str, set[str]] = defaultdict(set)
    embeds = set()
    for directive, url in references:
        try:
            scheme, host, path, *_ = urlsplit(url.strip())
            name = host.rpartition("@")[2].lower().encode("idna").decode()
        except ValueError:  # not a URL, such as an unfilled template
            continue
        if scheme not in ("", "http", "https"):
            continue
        if host and name != domain_name:
            if HOST.fullmatch(name):
                origins[directive].add(f"https://{name}")
        elif path and directive in ("frame-src", "object-src"):
            embeds.add(directive)
    for origin in origins["style-src"] & FONT_ORIGINS.keys():
        origins["font-src"].add(FONT_ORIGINS[origin])
    return origins, embeds


def _is_allowed(origin: str, sources: Iterable[str]) -> bool:
    patterns = (source if ":" in source or source == "*" else f"https://{source}" for source in sources)
    return any(pattern == "https:" or fnmatchcase(origin, pattern) for pattern in patterns)


def _add_hashes(directives: _Directives, site: _Site) -> tuple[list[str], defaultdict[str, list[str]]]:
    """Add the hashes of inline code that fit; return what is blocked, and the sources that would allow it."""
    blocked: list[str] = []
    missing: defaultdict[str, list[str]] = defaultdict(list)
    handlers, attributes = site.code("event_handlers"), site.code("style_attributes")
    created = {unescape_references(style) for text in site.scripts for _, style in STYLE_IN_SCRIPT.findall(text)}
    allows_handlers = UNSAFE_HASHES in directives.get("script-src", [])
    for name, choices in {
        "script-src": [_hashes(site.code("scripts"), handlers if allows_handlers else ())],
        "style-src": [_hashes(site.code("styles"), names) for names in (attributes | created, attributes)],
    }.items():
        if UNSAFE_INLINE in directives.get(name, []):  # browsers would ignore it if there were a hash
            continue
        if not any(_add_if_it_fits(directives, name, sources) for sources in choices):
            hashes = sum(source != UNSAFE_HASHES for source in choices[-1])
            blocked.append(
                f"{hashes} different inline {NAMES[name]}, because their hashes do not fit into {MAX_HEADER_VALUE:,} "
                f"characters. Move them to files, or allow all inline {NAMES[name]}, including injected ones"
            )
            missing[name].append(UNSAFE_INLINE)
    if (
        handlers
        and not allows_handlers
        and UNSAFE_INLINE not in [*directives.get("script-src", []), *missing["script-src"]]
    ):
        pages = sum(bool(page.event_handlers) for page in site.pages)
        blocked.append(f"event handler attributes, such as onclick, on {pages} page(s)")
        missing["script-src"].append(UNSAFE_HASHES)
    return blocked, missing


def _add_if_it_fits(directives: _Directives, name: str, sources: Collection[str]) -> bool:
    extended = _Directives(str(directives))
    if sources:
        extended.add(name, sources)
    if len(str(extended)) > MAX_HEADER_VALUE:
        return False
    directives.update(extended)
    return True


def _hashes(elements: Iterable[str], attributes: Iterable[str]) -> list[str]:
    of_attributes = sorted(map(_hash, attributes))
    return [*sorted(map(_hash, elements)), *([UNSAFE_HASHES, *of_attributes] if of_attributes else [])]


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
