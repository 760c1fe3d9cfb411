"""The page of multi_region_api, in a browser."""

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .browser import browser
from .walkthrough import Target

CLIENT = Path(__file__).parents[1] / "assets" / "multi_region_api" / "client"
INTERVAL_MS, RETURN_MS = 250, 1000  # the sandbox's health checks are 60 times faster, too
CALLS_BEFORE_SCREENSHOT = 12


class FailoverPage:
    """The opened page, which calls the API all the time."""

    def __init__(self, target: Target, driver: Any) -> None:
        self.target, self.driver = target, driver

    def text(self, element: str) -> str:
        return str(self.driver.find_element("id", element).text)

    def count(self, kind: str) -> int:
        """Return the number of `calls`, or of those `retried` or `failed`."""
        counts = {name: int(number) for number, name in (part.split() for part in self.text("counts").split(","))}
        return counts[kind]

    def wait_for_region(self, regions: Iterable[str]) -> str:
        """Wait until the page shows one of `regions`, and return it."""
        expected = set(regions)

        def shown() -> str | None:
            text = self.text("region")
            return text if text in expected else None

        return self.target.wait_until(shown, f"one of {sorted(expected)} on the page")

    def wait_for_retry(self) -> None:
        self.target.wait_until(lambda: self.count("retried"), "a retried call on the page")

    def take_screenshot(self, name: str, *, calls: int = CALLS_BEFORE_SCREENSHOT) -> None:
        """Save a screenshot after `calls` more calls."""
        if not self.target.pictures_folder:
            return
        expected = self.count("calls") + calls
        self.target.wait_until(lambda: self.count("calls") >= expected, f"{calls} more calls on the page")
        self.driver.save_screenshot(str(self.target.pictures_folder / f"multi_region_api_{name}.png"))


@contextmanager
def failover_page(target: Target, url: str, regional_urls: Sequence[str]) -> Iterator[FailoverPage]:
    """Open the page from the file system, with the API's URL and that of each Region."""
    settings = {
        "url": url,
        "regionalUrls": regional_urls,
        "intervalMs": INTERVAL_MS,
        "returnMs": RETURN_MS,
    }
    with tempfile.TemporaryDirectory() as name, browser(target, height=860) as driver:
        folder = Path(shutil.copytree(CLIENT, name, dirs_exist_ok=True))
        (folder / "settings.js").write_text(f"const SETTINGS = {json.dumps(settings)};\n")
        driver.get((folder / "index.html").as_uri())
        yield FailoverPage(target, driver)
