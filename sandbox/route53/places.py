"""Where AWS regions and callers are, for latency: the nearer one is the quicker one.

Route 53 measures latency between networks and regions; here it is the distance between a
region's town and the caller's region. Callers are placed by addresses that AWS publishes as a
region's own (ip-ranges.json); everyone else is near `HERE`.
"""

from ipaddress import ip_address, ip_network
from math import asin, cos, radians, sin, sqrt

from walkthroughs.client_networks import CLIENT_NETWORKS

from ..process import REGION

HERE = REGION
# Latitude and longitude, rounded to degrees.
TOWNS = {
    "us-east-1": (39, -77),
    "us-east-2": (40, -83),
    "us-west-1": (37, -122),
    "us-west-2": (46, -120),
    "ca-central-1": (46, -74),
    "sa-east-1": (-24, -47),
    "eu-west-1": (53, -6),
    "eu-west-2": (52, 0),
    "eu-west-3": (49, 2),
    "eu-central-1": (50, 9),
    "eu-north-1": (59, 18),
    "eu-south-1": (45, 9),
    "af-south-1": (-34, 18),
    "me-south-1": (26, 51),
    "ap-south-1": (19, 73),
    "ap-southeast-1": (1, 104),
    "ap-southeast-2": (-34, 151),
    "ap-northeast-1": (36, 140),
    "ap-northeast-2": (37, 127),
    "ap-east-1": (22, 114),
}
CALLERS = {ip_network(network): region for region, network in CLIENT_NETWORKS.items()}


def region_of(address: str) -> str:
    """The region near which a caller with `address` is."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return HERE
    return next((region for network, region in CALLERS.items() if parsed in network), HERE)


def distance(one: str, other: str) -> float:
    """How far two regions are from each other, as an angle; those not in the table are far."""
    if one == other:
        return 0.0
    if one not in TOWNS or other not in TOWNS:
        return 4.0
    (latitude, longitude), (to_latitude, to_longitude) = (map(radians, TOWNS[region]) for region in (one, other))
    across = sin((to_latitude - latitude) / 2) ** 2
    along = cos(latitude) * cos(to_latitude) * sin((to_longitude - longitude) / 2) ** 2
    return 2 * asin(sqrt(across + along))
