"""Files of a site that need other headers than the AWS CLI would set."""

import json
from collections import defaultdict
from glob import escape
from pathlib import Path
from typing import NamedTuple

NOT_FOUND = "404.html"
TEXT, JSON, SCRIPT = "text/plain; charset=utf-8", "application/json", "text/javascript"
NAMES = {TEXT: "Text", JSON: "Json", SCRIPT: "Script"}


class SpecialUpload(NamedTuple):
    """A group of files, as AWS CLI patterns, and the headers that they need."""

    name: str
    patterns: list[str]
    content_type: str | None = None
    cache_control: str | None = None


def special_uploads(folder: Path) -> list[SpecialUpload]:
    """Group the files of `folder` that need other headers by those headers."""
    by_type = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        content_type = _content_type(path) if path.is_file() else None
        if content_type:
            by_type[content_type].append(escape(path.relative_to(folder).as_posix()))
    typed = [SpecialUpload(NAMES[kind], patterns, content_type=kind) for kind, patterns in sorted(by_type.items())]
    # A browser that caches the 404 page would still show it after the missing page is published.
    return [SpecialUpload("NotFound", [NOT_FOUND], cache_control="max-age=0"), *typed]


def _content_type(path: Path) -> str | None:
    """Return the content type of a file if the AWS CLI, which uploads the site, cannot guess it from the name."""
    if path.suffix.lower() == ".cjs":
        return SCRIPT
    if path.suffix:
        return None
    try:
        text = path.read_text(encoding="utf-8")
        return JSON if isinstance(json.loads(text), (dict, list)) else TEXT
    except UnicodeDecodeError:
        return None
    except ValueError:
        return TEXT
