"""Files of a site that are uploaded with separate headers."""

import json
from collections import defaultdict
from glob import escape
from pathlib import Path
from typing import NamedTuple

NOT_FOUND = "404.html"
TEXT, JSON, SCRIPT = "text/plain; charset=utf-8", "application/json", "text/javascript"
NAMES = {TEXT: "Text", JSON: "Json", SCRIPT: "Script"}


class SpecialUpload(NamedTuple):
    """Files with the same headers: patterns of the AWS CLI, and the headers that differ from other files."""

    name: str
    patterns: list[str]
    content_type: str | None = None
    cache_control: str | None = None


def special_uploads(folder: Path) -> list[SpecialUpload]:
    """Group the files of `folder` that need separate headers."""
    by_type = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        content_type = _content_type(path) if path.is_file() else None
        if content_type:
            by_type[content_type].append(escape(path.relative_to(folder).as_posix()))
    typed = [SpecialUpload(NAMES[kind], patterns, content_type=kind) for kind, patterns in sorted(by_type.items())]
    # A browser that cached it would keep showing it after the page exists.
    return [SpecialUpload("NotFound", [NOT_FOUND], cache_control="max-age=0"), *typed]


def _content_type(path: Path) -> str | None:
    """The type of a file that the AWS CLI, which uploads the site, does not know by its name."""
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
