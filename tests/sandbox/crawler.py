"""A crawler that follows every link of a site as browsers resolve it, and loads every asset."""

import re
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from typing import NamedTuple, Protocol
from urllib.parse import urldefrag, urljoin, urlsplit

MAX_REDIRECTS = 3
STYLE_SHEET_URL = re.compile(r"url\(\s*[\"']?(?!data:)([^\"')]+)")


class Response(Protocol):
    """What the crawler reads of a response."""

    @property
    def status(self) -> int: ...
    @property
    def data(self) -> bytes: ...
    @property
    def headers(self) -> Mapping[str, str]: ...


class Crawl(NamedTuple):
    """The URLs of a site that answered, with their content types, and the others, with their statuses."""

    found: dict[str, str]
    broken: dict[str, str]


class _Links(HTMLParser):
    """The URLs in the links and assets of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.feed(html)

    def handle_starttag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value for name, value in attrs if value}
        if attributes.get("rel") != "canonical":
            self.urls += [attributes[name] for name in ("href", "src") if name in attributes]


def crawl(start: str, get: Callable[[str], Response]) -> Crawl:
    """Follow the links of the site at `start`, which has a slash at its end; `get` does not follow redirects."""
    crawled, waiting = Crawl({}, {}), {start: "the start"}
    while waiting:
        url, source = waiting.popitem()
        address, response = _follow(url, get)
        if response.status != 200:
            crawled.broken[url] = f"{response.status}, linked from {source}"
            continue
        crawled.found[url] = response.headers.get("content-type", "")
        for link in _links(response):
            target = urldefrag(urljoin(address, link)).url
            if target.startswith(start) and target not in {*crawled.found, *crawled.broken}:
                waiting[target] = address
    return crawled


def _follow(url: str, get: Callable[[str], Response]) -> tuple[str, Response]:
    """Return the address that a browser shows for `url`, and the response."""
    response = get(url)
    for _ in range(MAX_REDIRECTS):
        if "location" not in response.headers:
            break
        url = urljoin(url, response.headers["location"])
        response = get(url)
    return url, response


def _links(response: Response) -> list[str]:
    content_type = response.headers.get("content-type", "")
    if content_type.startswith("text/html"):
        urls = _Links(response.data.decode()).urls
    elif content_type.startswith("text/css"):
        urls = STYLE_SHEET_URL.findall(response.data.decode())
    else:
        urls = []
    return [url for url in urls if urlsplit(url).scheme in ("", "http", "https")]
