"""Site files that need headers other than those the AWS CLI sets: content types, and caching of hashed files.

Deployments keep the hashed files of earlier ones, because open pages still load them.
"""

import glob
import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from pathlib import Path, PurePath
from typing import NamedTuple

from settings.static_site import ContentType

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
    ".xhtml": "application/xhtml+xml",
    ".atom": "application/atom+xml",
    ".rss": "application/rss+xml",
    ".ics": "text/calendar; charset=utf-8",
    ".m4a": "audio/mp4",
    ".ogg": "audio/ogg",
    ".oga": "audio/ogg",
    ".flac": "audio/flac",
    ".m4v": "video/mp4",
    ".ogv": "video/ogg",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".jxl": "image/jxl",
    ".gz": "application/gzip",
    ".tgz": "application/gzip",
    ".bz2": "application/x-bzip2",
    ".xz": "application/x-xz",
}
# Browsers read other text without a charset as windows-1252.
TEXT_TYPES = {
    ".txt": TEXT,
    ".md": "text/markdown; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".htm": "text/html; charset=utf-8",
}
# Browsers look for the charset of a page in its first 1,024 bytes.
DECLARED_CHARSET = re.compile("\ufeff|.{0,1024}<meta[^>]{1,1024}charset", re.DOTALL | re.IGNORECASE)
# As JSON. Each name appears twice in the template (at most 1,000,000 bytes), and twice in the event with which
# CloudFormation updates the upload function's resource (at least 256 KB).
MAX_PATTERN_CHARACTERS = 100_000
# A deployment uploads each group, and adds a tag to the bucket, which can have 50. Other tags are for the 404 page, the
# rest of the site and the removal of the bucket, or those of the stack.
MAX_GROUPS = 40
IMMUTABLE = "public, max-age=31536000, immutable"
HASHED, KEPT = "Hashed", "Kept"
CODE = (".js", ".mjs", ".css")  # what open pages load later
# Folders of Next.js, SvelteKit, Astro and Nuxt whose files have a hash of their contents in their paths.
HASHED_FOLDER = re.compile(r"(.*/)?(_next/static|_app/immutable|_astro|_nuxt)/.+")
ASSET = r"\.(js|mjs|css|map|woff2?|ttf|png|jpe?g|gif|svg|webp|avif|ico|mp4|webm)(\.map)?"
# A hash in hexadecimal; neither a date nor a word.
HEX_HASH = rf"(?P<prefix>(.*[.\-_~/])?)(?P<hash>{{hash}})(?P<suffix>(\.min)?{ASSET})"
HASHED_NAME = re.compile(HEX_HASH.format(hash="(?=[0-9]*[a-f])(?=[a-f]*[0-9])[0-9a-f]{8,64}"))
HASH_LIKE_NAME = re.compile(HEX_HASH.format(hash="[0-9a-f]{8,64}"))
# The eight characters of Vite in its folder. Few are words, but a word can be the name of another file.
VITE_HASH = rf"(.*/)?assets/(.*/)?[^/]*[.-]{{hash}}(\.lean|\.min)?{ASSET}"
VITE_NAME = re.compile(VITE_HASH.format(hash=r"(?=[\w-]*[0-9]|[\w-]*[A-Z][\w-]*[A-Z])[\w-]{8}"), re.ASCII)
VITE_LIKE_NAME = re.compile(VITE_HASH.format(hash=r"[\w-]{8}"), re.ASCII)


class HeaderOverride(NamedTuple):
    """A group of files, as AWS CLI patterns, and the headers that they need."""

    name: str
    patterns: list[str]
    content_type: str | None = None
    cache_control: str | None = None
    is_kept: bool = False  # in the bucket, once the site no longer has the file

    @property
    def is_immutable(self) -> bool:
        """Return whether the files never change."""
        return self.cache_control == IMMUTABLE


class _Headers(NamedTuple):
    """The headers that a file needs. caching: whether it is hashed, or in a directory of hashed files."""

    content_type: str | None
    caching: str = ""


def header_overrides(folder: Path, content_types: Collection[ContentType] = ()) -> list[HeaderOverride]:
    """Group the files of `folder` that need other headers by those headers.

    The first group is the 404 page, which patterns of other groups can match too.

    Raises:
        AssetError: there are more files than the template and the upload function's events have room for, or more types
            than the bucket has room for.
    """
    names = [path.relative_to(folder) for path in files_of(folder)]
    not_found = _content_type(folder, Path(NOT_FOUND), content_types) if Path(NOT_FOUND) in names else None
    directories = _hashed_directories(names)
    headers = {
        name: _Headers(_content_type(folder, name, content_types), _caching(name, directories))
        for name in names
        if name != Path(NOT_FOUND)
    }
    overrides = _overrides(headers)
    if _characters(overrides, folder) > MAX_PATTERN_CHARACTERS:  # browsers then revalidate hashed images and media
        revalidated = {
            name for name in headers if name.suffix not in CODE and not directories.intersection(name.parents)
        }
        overrides = _overrides(
            {name: group._replace(caching="") if name in revalidated else group for name, group in headers.items()}
        )
    _check_quotas(overrides, _characters(overrides, folder), files=sum(map(any, headers.values())))
    # A browser that caches the 404 page would still show it after the missing page is published.
    return [HeaderOverride("NotFound", [NOT_FOUND], not_found, "max-age=0"), *overrides]


def _overrides(headers: Mapping[Path, _Headers]) -> list[HeaderOverride]:
    groups = _patterns(headers)
    return [
        HeaderOverride(
            _name(group, groups),
            patterns,
            group.content_type,
            IMMUTABLE if group.caching == HASHED else None,
            is_kept=bool(group.caching),
        )
        for group, patterns in sorted(groups.items(), key=lambda item: _name(item[0], groups))
    ]


def _characters(overrides: list[HeaderOverride], folder: Path) -> int:
    return len(json.dumps([*(override.patterns for override in overrides), kept_patterns(folder)]))


def _check_quotas(overrides: list[HeaderOverride], characters: int, *, files: int) -> None:
    if len(overrides) > MAX_GROUPS:
        raise AssetError(
            f"static_site:content_types: the files need {len(overrides)} different headers (valid: at most "
            f"{MAX_GROUPS}). Use fewer content types, or do not mix hashed and other files of one type."
        )
    if characters > MAX_PATTERN_CHARACTERS:
        raise AssetError(
            f"static_site:site: the names of {files} files without a known extension, or with a hash, have "
            f"{characters:,} characters (valid: at most {MAX_PATTERN_CHARACTERS:,}). Give the files extensions, or put "
            "files of one type into separate directories, each of which counts as one name."
        )


def kept_patterns(folder: Path) -> list[str]:
    """Return patterns for the site's hashed files that also match those of earlier deployments."""
    names = [path.relative_to(folder) for path in files_of(folder)]
    directories = _hashed_directories(names)
    patterns = {
        f"{_escape(directory.as_posix())}/*" for directory in directories if directory.parent not in directories
    }
    other = [name.as_posix() for name in names if not directories.intersection(name.parents)]
    unhashed = [name for name in other if HASH_LIKE_NAME.fullmatch(name) and not HASHED_NAME.fullmatch(name)]
    for match in filter(None, map(HASHED_NAME.fullmatch, (name for name in other if name.endswith(CODE)))):
        pattern = f"{_escape(match['prefix'])}{'[0-9a-f]' * len(match['hash'])}{match['suffix']}"
        if not any(fnmatchcase(name, pattern) for name in unhashed):  # which would not be uploaded
            patterns.add(pattern)
    return sorted(patterns)


def _escape(name: str) -> str:
    """Return a pattern that matches only `name`, and does not look like an option of the AWS CLI."""
    pattern = glob.escape(name)
    return f"[-]{pattern[1:]}" if pattern.startswith("-") else pattern


def _hashed_directories(names: Collection[Path]) -> set[PurePath]:
    """Return the directories with only hashed files, and those below them."""
    below: defaultdict[PurePath, list[Path]] = defaultdict(list)
    for name in names:
        for parent in name.parents[:-1]:
            below[parent].append(name)
    return {
        directory
        for directory, files in below.items()
        if any(map(_is_hashed, files))
        and all(_is_hashed(file) or VITE_LIKE_NAME.fullmatch(file.as_posix()) for file in files)
    }


def _is_hashed(name: Path) -> bool:
    patterns = (HASHED_FOLDER, HASHED_NAME, VITE_NAME)
    return name.suffix != ".html" and any(pattern.fullmatch(name.as_posix()) for pattern in patterns)


def _caching(name: Path, hashed_directories: Collection[PurePath]) -> str:
    if _is_hashed(name):
        return HASHED
    return KEPT if any(parent in hashed_directories for parent in name.parents) else ""


def _name(headers: _Headers, groups: Collection[_Headers]) -> str:
    """Return the name of a group: words, and a digest if those of another one are the same."""
    name = _words(headers)
    if sum(_words(other) == name for other in groups) == 1:
        return name
    return name + hashlib.sha256(str(headers.content_type).encode()).hexdigest()[:8]


def _words(headers: _Headers) -> str:
    words = re.findall(r"[a-z0-9]+", (headers.content_type or "").partition(";")[0].lower())
    return headers.caching + ("".join(map(str.title, words)) or "Files")


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
        if path.suffix and group.content_type and by_suffix[path.suffix, group] == suffixes[path.suffix]:
            patterns[group][f"*{_escape(path.suffix)}"] = None
        elif any(group):
            patterns[group][_pattern(path, below)] = None
    return {group: [*names] for group, names in patterns.items()}


def _pattern(path: Path, below: Mapping[PurePath, list[_Headers]]) -> str:
    """Return a pattern for the largest directory around `path` whose files have the same headers, or for the file."""
    for parent in reversed(path.parents[:-1]):
        if len(below[parent]) > 1 and len(set(below[parent])) == 1:
            return f"{_escape(parent.as_posix())}/*"
    return _escape(path.as_posix())


def _content_type(folder: Path, name: Path, content_types: Collection[ContentType]) -> str | None:
    """Return the content type of a file if it is set, or if the AWS CLI, which uploads the site, cannot guess it."""
    for setting in content_types:
        if fnmatchcase(name.as_posix(), setting.files):
            return setting.content_type
    suffix = name.suffix.lower()
    if suffix in TYPES:
        return TYPES[suffix]
    if suffix and suffix not in TEXT_TYPES:
        return None
    try:
        text = (folder / name).read_text(encoding="utf-8")
        if suffix:
            return None if text.isascii() or _declares_charset(text, suffix) else TEXT_TYPES[suffix]
        return JSON if isinstance(json.loads(text), (dict, list)) else TEXT
    except UnicodeDecodeError:
        return None
    except (ValueError, RecursionError):
        return TEXT


def _declares_charset(text: str, suffix: str) -> bool:
    return suffix in (".html", ".htm") and bool(DECLARED_CHARSET.match(text))
