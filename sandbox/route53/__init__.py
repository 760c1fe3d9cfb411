"""Route 53: health checks that send requests, and a DNS server.

The control plane is MiniStack's. This package adds health checks over HTTP and HTTPS with their interval, threshold
and search string (`health_checks`), latency routing with health checks (`routing`, `latency`), and a DNS server on
127.0.0.1 (`dns`).

Not implemented: weighted, failover, geolocation, geoproximity, IP-based and multivalue records; TCP and
CloudWatch health checks, disabled ones, and those with an IP address only; private zones, DNSSEC. Not
validated: records that conflict, are outside their zone, or refer to an unknown zone or health check.
"""

from . import health_checks
from .routing import endpoint_at

install = health_checks.install

__all__ = ["endpoint_at", "health_checks", "install"]
