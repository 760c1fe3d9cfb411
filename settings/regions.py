"""Names of Regions and Availability Zones, from botocore's data."""

from collections.abc import Mapping
from functools import cache
from typing import Annotated

from botocore.loaders import Loader

from .types import accepts


@cache
def partitions() -> Mapping[str, str]:
    """Map each Region that supports latency routing in Route 53 to its partition."""
    loader = Loader()
    regions = loader.load_service_model("route53", "service-2")["shapes"]["ResourceRecordSetRegion"]["enum"]
    known = {
        region: partition["id"]
        for partition in loader.load_data("partitions")["partitions"]
        for region in partition["regions"]
    }
    return {region: known[region] for region in regions if region in known}


Region = Annotated[str, accepts("an AWS Region, such as eu-west-1", lambda region: region in partitions())]
AvailabilityZone = Annotated[
    str,
    accepts(
        "the name of an Availability Zone, such as us-east-1b",
        lambda zone: zone[:-1] in partitions() and zone[-1:] in "abcdefghijklmno",
    ),
]
