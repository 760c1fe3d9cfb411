"""Names of Regions and Availability Zones, from botocore's data."""

from functools import cache
from typing import Annotated

from .types import accepts


@cache
def supported_regions() -> frozenset[str]:
    """Return the Regions of the partition `aws` that Route 53's latency routing supports.

    Other partitions lack Lambda@Edge, or publish Route 53's metrics elsewhere.
    """
    from botocore.loaders import Loader  # only where it is needed, because this import takes 0.1 s

    loader = Loader()
    regions = loader.load_service_model("route53", "service-2")["shapes"]["ResourceRecordSetRegion"]["enum"]
    (partition,) = (p for p in loader.load_data("partitions")["partitions"] if p["id"] == "aws")
    return frozenset(regions) & partition["regions"].keys()


Region = Annotated[
    str,
    accepts("an AWS Region, such as eu-west-1, except in China and GovCloud", lambda name: name in supported_regions()),
]
AvailabilityZone = Annotated[
    str,
    accepts(
        "the name of an Availability Zone, such as us-east-1b",
        lambda zone: zone[:-1] in supported_regions() and zone[-1:] in "abcdefghijklmno",
    ),
]
