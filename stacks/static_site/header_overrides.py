"""Site files that need headers other than those the AWS CLI sets: content types, and caching of hashed files."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from glob import escape
from pathlib import Path, PurePath
from typing import NamedTuple

from ..constructs.assets import AssetError
from .folder import NOT_FOUND, files_of

TEXT, JSON, JAVASCRIPT = "text/plain; charset=utf-8", "application/json", "text/javascript"
# Extensions that Python's `mimetypes`, which the AWS CLI uses, does not know in every version, or reads wrongly: it
# reports the type of a compressed file's contents.
TYPES = {
    ".cjs": JAVASCRIPT,
    ".mjs": JAVASCRIPT,
    ".map": JSON,
    ".webmanifest": JSON,
    ".geojson": "application/geo+json",
    ".jsonld": "application/ld+json",
    ".wasm": "application/wasm",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".woff2": "font/woff2",
    ".woff": "font/woff",
    ".ttf": "font/ttf",
    ".otf": "font/otf",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".gz": "application/gzip",
    ".tgz": "application/gzip",
    ".bz2": "application/x-bzip2",
    ".xz": "application/x-xz",
}
# Browsers read other text without a charset as windows-1252.
TEXT_TYPES = {".txt": TEXT, ".md": "text/markdown; charset=utf-8", ".csv": "text/csv; charset=utf-8"}
# As JSON. Each name appears twice in the template (at most 1,000,000 bytes), and twice in the event with which
# CloudFormation updates the upload function's resource (at least 256 KB).
MAX_PATTERN_CHARACTERS = 100_000
IMMUTABLE = "public, max-age=31536000, immutable"
# Folders of Next.js, SvelteKit, Astro and Nuxt whose files have a hash of their contents in their paths.
HASHED_FOLDER = re.compile(r"(.*/)?(_next/static|_app/immutable|_astro|_nuxt)/.+")
ASSET = r"\.(js|mjs|css|map|woff2?|ttf|png|jpe?g|gif|svg|webp|avif|ico|mp4|webm)(\.map)?"
# A hash in hexadecimal, or the eight characters of Vite in its folder; neither a date nor a word.
HASHED_NAME = re.compile(
    rf"(.*[.\-_~/])?(?=[0-9]*[a-f])(?=[a-f]*[0-9])([0-9a-f]{{8,64}}){ASSET}"
    rf"|(?:.*/)?assets/(?:.*/)?([^/]*[.-])(?=[\w-]*[0-9]|[\w-]*[A-Z][\w-]*[A-Z])([\w-]{{8}}){ASSET}",
    re.ASCII,
)


class HeaderOverride(NamedTuple):
    """A group of files, as AWS CLI patterns, and the headers that they need."""

    name: str
    patterns: list[str]
    content_type: str | None = None
    cache_control: str | None = None

    @property
    def is_immutable(self) -> bool:
        """Return whether the files never change."""
        return self.cache_control == IMMUTABLE


class _Headers(NamedTuple):
    content_type: str | None
    is_hashed: bool


def header_overrides(folder: Path) -> list[HeaderOverride]:
    """Group the files of `folder` that need other headers by those headers.

    Raises:
        AssetError: there are more files than the template and the upload function's events have room for.
    """
    headers = {path.relative_to(folder): _headers(folder, path) for path in files_of(folder)}
    patterns = _patterns(headers)
    overrides = [
        HeaderOverride(_name(group), names, group.content_type, IMMUTABLE if group.is_hashed else None)
        for group, names in sorted(patterns.items(), key=lambda item: _name(item[0]))
    ]
    characters = len(json.dumps([upload.patterns for upload in overrides]))
    if characters > MAX_PATTERN_CHARACTERS:
        raise AssetError(
            f"static_site:site: the names of {sum(map(any, headers.values()))} files without a known extension have "
            f"{characters:,} characters (valid: at most {MAX_PATTERN_CHARACTERS:,}). Give the files extensions, or "
            "put files of one type into separate directories, each of which counts as one name."
        )
    # A browser that caches the 404 page would still show it after the missing page is published.
    return [HeaderOverride("NotFound", [NOT_FOUND], cache_control="max-age=0"), *overrides]


def hashed_directories(folder: Path) -> list[str]:
    """Return patterns for the largest directories that have only hashed files.

    They also match hashed files of earlier deployments.
    """
    below: defaultdict[PurePath, list[bool]] = defaultdict(list)
    for path in files_of(folder):
        for parent in path.relative_to(folder).parents[:-1]:
            below[parent].append(_is_hashed(folder, path))
    hashed = {directory for directory, files in below.items() if all(files)}
    return [f"{escape(directory.as_posix())}/*" for directory in sorted(hashed) if directory.parent not in hashed]


def _name(headers: _Headers) -> str:
    words = re.findall(r"[a-z0-9]+", (headers.content_type or "").partition(";")[0])
    return ("Hashed" if headers.is_hashed else "") + ("".join(map(str.title, words)) or "Files")


def _patterns(headers: Mapping[Path, _Headers]) -> dict[_Headers, list[str]]:
    """Return the patterns of each group of files that need other headers."""
    below: defaultdict[PurePath, list[_Headers]] = defaultdict(list)
    for path, group in headers.items():
        for parent in path.parents[:-1]:
            below[parent].append(group)
    by_suffix = Counter((path.suffix, group) for path, group in headers.items())
    suffixes = Counter(path.suffix for path in headers)
    patterns: defaultdict[_Headers, dict[str, None]] = defaultdict(dict)
    for path, group in headers.items():
        if path.suffix.lower() in TYPES and by_suffix[path.suffix, group] == suffixes[path.suffix]:
            patterns[group][f"*{path.suffix}"] = None
        elif any(group):
            patterns[group][_pattern(path, below)] = None
    return {group: [*names] for group, names in patterns.items()}


def _pattern(path: Path, below: Mapping[PurePath, list[_Headers]]) -> str:
    """Return a pattern for the largest directory around `path` whose files have the same headers, or for the file."""
    for parent in reversed(path.parents[:-1]):
        if len(below[parent]) > 1 and len(set(below[parent])) == 1:
            return f"{escape(parent.as_posix())}/*"
    return escape(path.as_posix())


def _headers(folder: Path, path: Path) -> _Headers:
    return _Headers(_content_type(path), _is_hashed(folder, path))


def _is_hashed(folder: Path, path: Path) -> bool:
    name = path.relative_to(folder).as_posix()
    return path.suffix != ".html" and bool(HASHED_FOLDER.fullmatch(name) or HASHED_NAME.fullmatch(name))


def _content_type(path: Path) -> str | None:
    """Return the content type of a file if the AWS CLI, which uploads the site, cannot guess it from the name."""
    suffix = path.suffix.lower()
    if suffix in TYPES:
        return TYPES[suffix]
    if suffix and suffix not in TEXT_TYPES:
        return None
    try:
        text = path.read_text(encoding="utf-8")
        if suffix:
            return None if text.isascii() else TEXT_TYPES[suffix]
        return JSON if isinstance(json.loads(text), (dict, list)) else TEXT
    except UnicodeDecodeError:
        return None
    except ValueError:
        return TEXT
