"""Which other Regions this Region reports as drained.

Each Region stores its list in a parameter, and Route 53 reads every Region's report about every other Region.
The list can name only other Regions, and a drained Region cannot drain others, so the last Region in
service cannot be drained.
"""

import re
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

NO_REGIONS = "none"  # a parameter cannot be empty
TOKEN_PREFIX = "drained="  # noqa: S105  # no secret
TIMEOUT_SECONDS = 1
MAX_BODY_BYTES = 5_120  # Route 53 searches no more


class DrainError(Exception):
    """The request is invalid, or would leave no Region in service."""


def drained_token(region: str) -> str:
    """Return the text that Route 53 searches for; only a Region that drains `region` sends it."""
    return f"{TOKEN_PREFIX}{region}/"


def read_drained(ssm: Any, parameter: str) -> set[str]:
    """Return the Regions that this Region drains."""
    value = ssm.get_parameter(Name=parameter)["Parameter"]["Value"]
    return set(value.split(",")) - {NO_REGIONS}


def write_drained(ssm: Any, parameter: str, regions: set[str]) -> None:
    """Store the Regions that this Region drains."""
    ssm.put_parameter(Name=parameter, Value=",".join(sorted(regions)) or NO_REGIONS, Overwrite=True)


def change(
    request: Mapping[str, object], drained: set[str], others: set[str], drained_by: Callable[[], list[str]]
) -> set[str]:
    """Return the Regions to drain after `request`, which is ``{"drain": region}``, ``{"undrain": region}`` or empty.

    drained_by: returns the other Regions that report this Region as drained.

    Raises:
        DrainError: the request is invalid, or this Region is drained itself.
    """
    unknown = sorted(set(request) - {"drain", "undrain"})
    if unknown or len(request) > 1:
        raise DrainError(
            f'invalid request {dict(request)}: accepted are {{"drain": Region}}, {{"undrain": Region}} and {{}}'
        )
    for action, region in request.items():
        if not isinstance(region, str) or region not in others:
            raise DrainError(
                f"{action}: {region!r} is not another Region of the API; accepted: {', '.join(sorted(others))}"
            )
        if action == "undrain":
            return drained - {region}
        sources = drained_by()
        if sources:
            raise DrainError(
                f"this Region is drained by {', '.join(sources)}, so draining {region} could leave no Region in "
                "service; undrain this Region there first, or drain from another Region"
            )
        return drained | {region}
    return drained


def regions_reporting(region: str, urls: Mapping[str, str]) -> list[str]:
    """Return the Regions that report `region` as drained. A Region that does not respond is ignored."""
    with ThreadPoolExecutor(max(1, len(urls))) as executor:
        bodies = dict(zip(urls, executor.map(_get, urls.values()), strict=True))
    return [source for source, body in bodies.items() if drained_token(region) in body]


def _get(url: str) -> str:
    if not re.match("https://", url):
        raise ValueError(f"not an HTTPS URL: {url}")
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310  # checked above
            return str(response.read(MAX_BODY_BYTES).decode(errors="replace"))
    except (OSError, urllib.error.HTTPError):
        return ""
