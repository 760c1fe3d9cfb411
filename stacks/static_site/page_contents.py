"""What a Content-Security-Policy has to allow for a page, read from its HTML: inline code, and other origins."""

import re
from collections.abc import Iterable, Iterator
from html import unescape
from typing import NamedTuple
from urllib.parse import urlsplit

# As in the HTML standard, a quote is part of an attribute's value only directly after the equals sign.
ATTRIBUTES = r"(?:[^>=]|=\s*+(?:\"[^\"]*+\"|'[^']*+')?)*+"
ELEMENT = re.compile(
    r"<!--.*?(?:-->|\Z)"
    rf"|<(?P<raw>script|style)(?P<raw_attributes>(?=[\s/>]){ATTRIBUTES})>(?P<text>.*?)(?:</(?P=raw)(?=[\s/>])|\Z)"
    rf"|<(?P<tag>[a-z][^\s/>]*+)(?P<attributes>{ATTRIBUTES})(?:>|\Z)",
    re.DOTALL | re.IGNORECASE,
)
# A name without a value matches too, so that it is read only once.
ATTRIBUTE = re.compile(r"([^\s/>=]++)(?:\s*+(=)\s*+(?:\"([^\"]*+)\"|'([^']*+)'|([^\s\"'>][^\s>]*+)))?")
# Numbers of more than seven digits are not characters. Python converts none of more than 4,300 digits.
CHARACTER_REFERENCE = re.compile(r"&#0*([0-9]{1,8})[0-9]*")
INLINE_ATTRIBUTE = re.compile(r"[\s\"'/](style|on[a-z]+)\s*=", re.IGNORECASE)
EVENT_HANDLER = re.compile(r"on[a-z]{3,}")
# Types of script elements that a policy covers; others, such as application/json, are data.
SCRIPT_TYPE = re.compile(r"module|importmap|speculationrules|(text|application)/(x-)?(java|ecma)script|")
DIRECTIVES = {
    ("script", "src"): "script-src",
    ("img", "src"): "img-src",
    ("img", "srcset"): "img-src",
    ("source", "srcset"): "img-src",
    ("video", "poster"): "img-src",
    ("video", "src"): "media-src",
    ("audio", "src"): "media-src",
    ("source", "src"): "media-src",
    ("track", "src"): "media-src",
    ("iframe", "src"): "frame-src",
    ("object", "data"): "object-src",
    ("embed", "src"): "object-src",
    ("form", "action"): "form-action",
}
LINK_DIRECTIVES = {
    "stylesheet": "style-src",
    "icon": "img-src",
    "modulepreload": "script-src",
    "manifest": "manifest-src",
}
STYLE_SHEET_URL = re.compile(r"(@import\s+|url\(\s*)[\"']?((?:https?:)?//[^\s\"')]+)", re.IGNORECASE)
FONT = re.compile(r"\.(woff2?|ttf|otf|eot)\Z")


class Reference(NamedTuple):
    """A URL that a page loads, and the directive of the policy that must allow it."""

    directive: str
    url: str


class PageContents(NamedTuple):
    """Inline code, as browsers hash it, and the URLs that the page loads."""

    scripts: set[str]
    styles: set[str]
    style_attributes: set[str]
    event_handlers: set[str]
    references: set[Reference]


def page_contents(html: str) -> PageContents:
    """Read a page as browsers do."""
    contents = PageContents(set(), set(), set(), set(), set())
    for element in ELEMENT.finditer(html.replace("\r\n", "\n").replace("\r", "\n")):
        raw, text = (element["raw"] or "").lower(), element["text"]
        tag, source = raw or (element["tag"] or "").lower(), element["raw_attributes"] or element["attributes"] or ""
        is_relevant = raw or tag == "link" or any(tag == name for name, _ in DIRECTIVES)
        attributes = _attributes(source) if is_relevant or INLINE_ATTRIBUTE.search(source) else {}
        if raw == "style":
            contents.styles.add(text)
            contents.references.update(style_sheet_references(text))
        elif raw == "script" and text and "src" not in attributes and _is_code(attributes.get("type", "")):
            contents.scripts.add(text)
        contents.references.update(_references(tag, attributes))
        contents.event_handlers.update(value for name, value in attributes.items() if EVENT_HANDLER.fullmatch(name))
        if "style" in attributes:
            contents.style_attributes.add(attributes["style"])
            contents.references.update(style_sheet_references(attributes["style"]))
    return contents


def _is_code(script_type: str) -> bool:
    return bool(SCRIPT_TYPE.fullmatch(script_type.strip().lower()))


def _attributes(source: str) -> dict[str, str]:
    """Return the attributes that have a value; of two with the same name, the first counts."""
    attributes = reversed(ATTRIBUTE.findall(source))
    return {name.lower(): unescape_references("".join(values)) for name, equals, *values in attributes if equals}


def unescape_references(text: str) -> str:
    """Replace character references by their characters."""
    return unescape(CHARACTER_REFERENCE.sub(r"&#\1", text))


def _references(tag: str, attributes: dict[str, str]) -> Iterator[Reference]:
    for name, value in attributes.items():
        if directive := DIRECTIVES.get((tag, name)):
            candidates = (
                [part.split()[0] for part in value.split(", ") if part.strip()] if name == "srcset" else [value]
            )
            yield from (Reference(directive, url) for url in candidates)
    if tag == "link":
        for kind in attributes.get("rel", "").lower().split():
            if directive := LINK_DIRECTIVES.get(kind):
                yield Reference(directive, attributes.get("href", ""))


def style_sheet_references(css: str) -> Iterable[Reference]:
    """Yield what a style sheet loads from other origins."""
    for keyword, url in STYLE_SHEET_URL.findall(css):
        try:
            path = urlsplit(url).path.lower()
        except ValueError:  # such as an unfilled template
            continue
        is_style = keyword.startswith("@") or path.endswith((".css", "/css", "/css2"))
        yield Reference("style-src" if is_style else "font-src" if FONT.search(path) else "img-src", url)
