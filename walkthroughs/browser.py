"""A real browser for the walkthroughs: headless Chromium, where there is one.

On Debian and Ubuntu: ``apt-get install chromium chromium-driver``.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .walkthrough import SkipStep, Target

# Chromium looks for updates and the like at every start; a walkthrough needs none of it.
QUIET = (
    "--headless=new",
    "--disable-gpu",
    "--hide-scrollbars",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-sandbox",  # which containers do not allow; only our own pages are opened
)


@contextmanager
def browser(target: Target, width: int = 1000, height: int = 700) -> Iterator[Any]:
    """Open Chromium; give the Selenium driver.

    In the sandbox every host name leads to its ports for endpoints, whose certificates nobody
    else trusts.

    Raises:
        SkipStep: Chromium or its driver is not installed.
    """
    chromium, driver = (shutil.which(name) for name in ("chromium", "chromedriver"))
    if not chromium or not driver:
        raise SkipStep("no browser here: apt-get install chromium chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    with tempfile.TemporaryDirectory() as profile:
        for argument in (*QUIET, f"--window-size={width},{height}", f"--user-data-dir={profile}"):
            options.add_argument(argument)
        if target.endpoints:
            options.add_argument(f"--host-resolver-rules={target.endpoints.resolver_rules}")
            options.add_argument("--ignore-certificate-errors")
        opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
        try:
            opened.set_page_load_timeout(30)
            yield opened
        finally:
            opened.quit()
