"""Derive from the names of a site's files which paths are directories, pages and files."""

import json
from collections.abc import Collection, Iterator
from pathlib import PurePosixPath

from lambdas.static_site.rewrite import DIRECTORY, FILE, HTML, INDEX, PAGE, RewriteOptions, key_path, path_kind

from ..constructs.assets import AssetError

MAX_EXCEPTION_CHARACTERS = 1_000_000  # as JSON; the edge function reads them at each cold start


def url_rules(files: Collection[str]) -> RewriteOptions:
    """Return the style that needs fewer exceptions for `files`, which are relative paths, and its exceptions.

    Raises:
        AssetError: there are too many exceptions.
    """
    kinds = dict(_path_kinds(frozenset(files)))
    rules = min((_rules(style, kinds) for style in (DIRECTORY, PAGE)), key=lambda rules: len(rules.exceptions))
    characters = len(json.dumps(rules.exceptions))
    if characters > MAX_EXCEPTION_CHARACTERS:
        raise AssetError(
            f"static_site:site: {len(rules.exceptions):,} paths are neither like the other pages nor files with an "
            f"extension; as JSON, they have {characters:,} characters (valid: at most {MAX_EXCEPTION_CHARACTERS:,}). "
            "Give the files extensions, or name all pages either <name>.html or <name>/index.html."
        )
    return rules


def _rules(style: str, kinds: dict[str, str]) -> RewriteOptions:
    exceptions: dict[str, str] = {}
    rules = RewriteOptions(style=style, exceptions=exceptions)
    for path, kind in sorted(kinds.items()):  # /x before /x/, whose kind depends on it
        if path_kind(path, rules) != kind:
            exceptions[path] = kind
    return rules


def _path_kinds(files: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Yield the encoded paths at which the files can be requested, and their kinds."""
    for name in files:
        file = PurePosixPath(name)
        yield _encode(name), FILE
        if file.name == INDEX and file.parent.name:
            directory = file.parent.as_posix()
            slash = "/" if f"{directory}{HTML}" in files else ""  # then /x is x.html, and /x/ is x/index.html
            yield _encode(directory) + slash, DIRECTORY
        elif file.suffix == HTML and file.name != INDEX:
            page = name.removesuffix(HTML)
            if page not in files:
                yield _encode(page), PAGE


def _encode(name: str) -> str:
    return key_path(f"/{name}".replace("%", "%25"))
