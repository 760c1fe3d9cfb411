"""Headless Chromium for the walkthroughs, if it is installed.

On Debian and Ubuntu: ``apt-get install chromium chromium-driver``.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .walkthrough import SkipStep, Target

# Most of these disable background requests, such as update checks.
ARGUMENTS = (
    "--headless=new",
    "--disable-gpu",
    "--hide-scrollbars",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-sandbox",  # containers do not support it; only our own pages are opened
)


@contextmanager
def browser(target: Target, width: int = 1000, height: int = 700) -> Iterator[Any]:
    """Start Chromium and yield its Selenium driver.

    In the sandbox, every host name resolves to the local endpoints, and their certificates are accepted.

    Raises:
        SkipStep: Chromium or its driver is not installed.
    """
    chromium, driver = (shutil.which(name) for name in ("chromium", "chromedriver"))
    if not chromium or not driver:
        raise SkipStep("Chromium is not installed; on Debian: apt-get install chromium chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    with tempfile.TemporaryDirectory() as profile:
        for argument in (*ARGUMENTS, f"--window-size={width},{height}", f"--user-data-dir={profile}"):
            options.add_argument(argument)
        if target.endpoints:
            options.add_argument(f"--host-resolver-rules={target.endpoints.resolver_rules}")
            options.add_argument("--ignore-certificate-errors")
        driver_session = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
        try:
            driver_session.set_page_load_timeout(120)
            yield driver_session
        finally:
            driver_session.quit()
