"""Which other Regions this Region reports as drained.

Each Region stores its list in a parameter, and Route 53 reads every Region's report about every other Region.
The list can name only other Regions, and a drained Region cannot drain others, so the last Region in
service cannot be drained.
"""

import urllib.request
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from .health import DependencyCheck, check_dependencies

if TYPE_CHECKING:
    from types_boto3_ssm import SSMClient

NO_REGIONS = "none"  # a parameter cannot be empty
TOKEN_PREFIX = "drained="  # noqa: S105  # no secret
TIMEOUT_SECONDS = 1
MAX_BODY_BYTES = 5_120  # Route 53 searches no more


class DrainError(Exception):
    """The request is invalid, would leave no Region in service, or conflicts with another one."""


class DrainedList(NamedTuple):
    """The Regions that this Region drains, and the version of the parameter that stores them."""

    regions: set[str]
    version: int


def drained_token(region: str) -> str:
    """Return the text that Route 53 searches for; only a Region that drains `region` sends it."""
    return f"{TOKEN_PREFIX}{region}/"


def read_drained(ssm: "SSMClient", parameter: str) -> DrainedList:
    """Return the stored list."""
    stored = ssm.get_parameter(Name=parameter)["Parameter"]
    return DrainedList(set(stored["Value"].split(",")) - {NO_REGIONS}, stored["Version"])


def write_drained(ssm: "SSMClient", parameter: str, drained: DrainedList) -> None:
    """Store the list; `drained.version` is the version that was read before.

    Raises:
        DrainError: another command wrote the list after it was read, and its change is lost.
    """
    value = ",".join(sorted(drained.regions)) or NO_REGIONS
    version = ssm.put_parameter(Name=parameter, Value=value, Overwrite=True)["Version"]
    if version != drained.version + 1:
        raise DrainError(
            f"this command overwrote the change of another one at the same time; the list is now {value}: "
            "send the other command again"
        )


def change(request: object, drained: set[str], others: set[str], drained_by: Callable[[], list[str]]) -> set[str]:
    """Return the Regions to drain after `request`, which is ``{"drain": region}``, ``{"undrain": region}`` or empty.

    drained_by: returns the other Regions that report this Region as drained.

    Raises:
        DrainError: the request is invalid, or this Region is drained itself.
    """
    if not isinstance(request, Mapping) or set(request) - {"drain", "undrain"} or len(request) > 1:
        raise DrainError(
            f'invalid request {request!r}: accepted are {{"drain": Region}}, {{"undrain": Region}} and {{}}'
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
    """Return the Regions that report `region` as drained, without those that do not respond in time."""
    bodies: dict[str, str] = {}
    failed = check_dependencies(
        [DependencyCheck(source, TIMEOUT_SECONDS, partial(_read, source, url, bodies)) for source, url in urls.items()]
    )
    return [source for source in urls if source not in failed and drained_token(region) in bodies[source]]


def _read(source: str, url: str, bodies: dict[str, str]) -> None:
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310  # a setting of the stack
        bodies[source] = response.read(MAX_BODY_BYTES).decode(errors="replace")
