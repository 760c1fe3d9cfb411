"""Route 53: health checks that are made, and names that are answered.

The control plane is MiniStack's. Here are health checks and changed records in templates
(`templates`), health checks made over HTTP and HTTPS at their interval, with their threshold
and search string (`checks`), the choice of a record by latency and health (`answers`), and a
DNS server on 127.0.0.1 (`dns`).

Left out: weighted, failover, geolocation, geoproximity, IP-based and multivalue records;
calculated, TCP and CloudWatch health checks, inverted and disabled ones, those of an address without
a name; private zones, DNSSEC. What Route 53 refuses is not: records that clash, lie outside their zone, lead to an
unknown zone or name a health check that is not there.
"""

from . import checks, templates
from .answers import endpoint_at

__all__ = ["checks", "endpoint_at", "install"]


def install() -> None:
    """Let templates have health checks, and the API tell their status."""
    templates.install()
    checks.install()
