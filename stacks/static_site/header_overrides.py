"""Site files that need headers other than those the AWS CLI sets."""

import json
from collections import defaultdict
from collections.abc import Mapping
from glob import escape
from pathlib import Path, PurePath
from typing import NamedTuple

from ..constructs.assets import AssetError
from .folder import NOT_FOUND, files_of

TEXT, JSON, JAVASCRIPT = "text/plain; charset=utf-8", "application/json", "text/javascript"
# As JSON. Each name is twice in the template, which can have 1,000,000 bytes, and twice in an event of the upload
# function about an update, which can have at least 256 KB.
MAX_PATTERN_CHARACTERS = 100_000
NAMES = {TEXT: "Text", JSON: "Json", JAVASCRIPT: "Script"}


class HeaderOverride(NamedTuple):
    """A group of files, as AWS CLI patterns, and the headers that they need."""

    name: str
    patterns: list[str]
    content_type: str | None = None
    cache_control: str | None = None


def header_overrides(folder: Path) -> list[HeaderOverride]:
    """Group the files of `folder` that need other headers by those headers.

    Raises:
        AssetError: there are more files than the template and the upload function's events have room for.
    """
    types = {path.relative_to(folder): _content_type(path) for path in files_of(folder)}
    below: defaultdict[PurePath, list[str | None]] = defaultdict(list)
    for path, content_type in types.items():
        for parent in path.parents[:-1]:
            below[parent].append(content_type)
    patterns_by_type: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for path, content_type in types.items():
        if content_type:
            patterns_by_type[content_type][_pattern(path, below)] = None
    overrides = [
        HeaderOverride(NAMES[kind], [*patterns], content_type=kind)
        for kind, patterns in sorted(patterns_by_type.items())
    ]
    characters = len(json.dumps([upload.patterns for upload in overrides]))
    if characters > MAX_PATTERN_CHARACTERS:
        raise AssetError(
            f"static_site:site: the names of {sum(map(bool, types.values()))} files without a known extension have "
            f"{characters:,} characters (valid: at most {MAX_PATTERN_CHARACTERS:,}). Give the files extensions, or "
            "put files of one type into directories without others, each of which counts as one name."
        )
    # A browser that caches the 404 page would still show it after the missing page is published.
    return [HeaderOverride("NotFound", [NOT_FOUND], cache_control="max-age=0"), *overrides]


def _pattern(path: Path, below: Mapping[PurePath, list[str | None]]) -> str:
    """Return a pattern for the largest directory around `path` whose files have one type, or for the file."""
    for parent in reversed(path.parents[:-1]):
        if len(below[parent]) > 1 and len(set(below[parent])) == 1:
            return f"{escape(parent.as_posix())}/*"
    return escape(path.as_posix())


def _content_type(path: Path) -> str | None:
    """Return the content type of a file if the AWS CLI, which uploads the site, cannot guess it from the name."""
    if path.suffix.lower() == ".cjs":
        return JAVASCRIPT
    if path.suffix:
        return None
    try:
        text = path.read_text(encoding="utf-8")
        return JSON if isinstance(json.loads(text), (dict, list)) else TEXT
    except UnicodeDecodeError:
        return None
    except ValueError:
        return TEXT
