"""Call the API, and leave a Region that fails: each attempt resolves its name and opens a new connection."""

import http.client
import json
import random
import time
import urllib.error
import urllib.request
from typing import Any

ATTEMPTS, TIMEOUT_SECONDS, DELAY_SECONDS = 6, 3, 0.5


def get(url: str, *regional_urls: str, attempts: int = ATTEMPTS) -> Any:
    """Return the decoded response of `url`, whose name all Regions share, or else of a Region's own URL.

    Retries status 429 and 5xx and connection errors; the last one is raised.
    """
    urls = [url, *random.sample(regional_urls, len(regional_urls))]
    for attempt in range(attempts):
        try:
            # urllib sends `Connection: close`, so it never reuses a connection.
            target = urls[attempt % len(urls)]
            with urllib.request.urlopen(target, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310  # the caller's URL
                return json.load(response)
        except urllib.error.HTTPError as error:
            error.close()  # it is the response, and holds a connection
            if attempt + 1 == attempts or not (error.code == 429 or error.code >= 500):
                raise
        except (OSError, http.client.HTTPException):
            if attempt + 1 == attempts:
                raise
        time.sleep(random.uniform(0, DELAY_SECONDS * 2**attempt))  # noqa: S311  # jitter, no secret
    raise ValueError(f"attempts={attempts}; accepted: 1 or more")
