"""Handler that drains or undrains another Region; invoke it in any healthy Region.

It does not depend on the drained Region: the list of drained Regions is in this Region, and so is its report.
"""

import logging
import os
from typing import TypedDict

from .drains import DrainedList, change, read_drained, regions_reporting, write_drained
from .handler_settings import read_settings
from .ssm_client import ssm_client

REGION, PARAMETER = os.environ["AWS_REGION"], os.environ["DRAINED_PARAMETER"]
SETTINGS = read_settings()
OTHERS = set(SETTINGS["drain_urls"]) - {REGION}
LOGGER = logging.getLogger(__name__)
SSM = ssm_client()


class Drained(TypedDict):
    """The Regions that `region` drains."""

    region: str
    drained: list[str]


def handler(event: object, _context: object) -> Drained:
    """Apply the request and return the Regions that this Region drains."""
    urls = {region: f"{SETTINGS['drain_urls'][region]}{REGION}" for region in sorted(OTHERS)}
    drained = read_drained(SSM, PARAMETER)
    changed = change(event, drained.regions, OTHERS, lambda: regions_reporting(REGION, urls))
    if changed != drained.regions:
        write_drained(SSM, PARAMETER, DrainedList(changed, drained.version))
        LOGGER.warning(
            "Drained Regions changed", extra={"status": "changed", "region": REGION, "drained": sorted(changed)}
        )
    return {"region": REGION, "drained": sorted(changed)}
