"""Distance between clients and AWS Regions, as a substitute for latency.

Route 53 measures the latency between networks and Regions. Here it is the distance between a
record's Region and the Region near the client. A client's address decides that Region if it is in a
network that AWS publishes as a Region's (ip-ranges.json); other clients are near `DEFAULT_REGION`.
"""

from ipaddress import ip_address, ip_network
from math import cos, dist, radians, sin

from walkthroughs import client_networks

from ..process import REGION

DEFAULT_REGION = REGION
UNKNOWN_DISTANCE = 3.0  # longer than the diameter of the Earth
# Latitude and longitude, rounded to degrees.
REGION_COORDINATES = {
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
CLIENT_NETWORKS = {ip_network(network): region for region, network in client_networks.CLIENT_NETWORKS.items()}


def region_near(address: str) -> str:
    """Return the Region that is nearest to the client at `address`."""
    try:
        client = ip_address(address)
    except ValueError:
        return DEFAULT_REGION
    return next((region for network, region in CLIENT_NETWORKS.items() if client in network), DEFAULT_REGION)


def distance(origin: str, destination: str) -> float:
    """Return the distance between two Regions in a straight line, in radii of the Earth."""
    if origin == destination:
        return 0.0
    if origin not in REGION_COORDINATES or destination not in REGION_COORDINATES:
        return UNKNOWN_DISTANCE
    return dist(_point(origin), _point(destination))


def _point(region: str) -> tuple[float, float, float]:
    latitude, longitude = map(radians, REGION_COORDINATES[region])
    return cos(latitude) * cos(longitude), cos(latitude) * sin(longitude), sin(latitude)
