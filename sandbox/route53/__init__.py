"""Route 53: health checks that are made, and names that are answered.

The control plane is MiniStack's. Here are health checks and changed records in templates
(`templates`), health checks made over HTTP and HTTPS at their interval, with their threshold
and search string (`checks`), the choice of a record by latency and health (`answers`), and a
DNS server on 127.0.0.1 (`dns`).

Left out: weighted, failover, geolocation, geoproximity, IP-based and multivalue records;
calculated, TCP and CloudWatch health checks, inverted and disabled ones; private zones, DNSSEC.
"""

from . import checks, templates
from .answers import endpoint_at

__all__ = ["checks", "endpoint_at", "install"]


def install() -> None:
    """Let templates have health checks, and the API tell their status."""
    templates.install()
    checks.install()
