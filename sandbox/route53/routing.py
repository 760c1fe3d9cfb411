"""Latency routing with health checks, and the addresses of AWS endpoints.

Source: Route 53 developer guide, how Route 53 chooses records when health checking is
configured. A record is healthy if its health check is and, with EvaluateTargetHealth, a record that
the alias refers to is. AWS endpoints count as healthy. If no record is healthy, all are treated as healthy.
"""

from dataclasses import dataclass
from typing import Any

from ..ministack import route53
from . import health_checks, latency

ALIAS_TTL = 60  # seconds, as for endpoints of API Gateway and CloudFront
ENDPOINTS: list[str] = []  # names of AWS endpoints; the position decides on the addresses


@dataclass(frozen=True)
class Resolution:
    """The result of a query: whether the name exists, and its values with their TTL in seconds."""

    exists: bool
    values: tuple[str, ...] = ()
    ttl: int = 0


def resolve(name: str, record_type: str, client_region: str) -> Resolution | None:
    """Resolve a name for a client near `client_region`; None if it is in no hosted zone."""
    records = _records_of(name)
    if records is None:
        return None
    record = select_record([r for r in records if r["Type"] == record_type], client_region)
    if record is None:
        return Resolution(exists=bool(records))
    if "AliasTarget" not in record:
        return Resolution(True, tuple(record["ResourceRecords"]), int(record["TTL"]))
    target = record["AliasTarget"]["DNSName"].rstrip(".")
    endpoint = Resolution(True, (address_of(target, record_type),), ALIAS_TTL)
    return resolve(target, record_type, client_region) or endpoint


def select_record(records: list[dict[str, Any]], client_region: str) -> dict[str, Any] | None:
    """Return the nearest healthy record for a client near `client_region`."""
    nearest_first = sorted(
        records, key=lambda record: latency.distance(client_region, record.get("Region", client_region))
    )
    healthy = [record for record in nearest_first if _is_healthy(record)]
    return next(iter(healthy or nearest_first), None)


def _is_healthy(record: dict[str, Any]) -> bool:
    if "HealthCheckId" in record and not health_checks.is_healthy(record["HealthCheckId"]):
        return False
    alias = record.get("AliasTarget", {})
    if not alias.get("EvaluateTargetHealth"):
        return True
    targets = [r for r in _records_of(alias["DNSName"].rstrip(".")) or [] if r["Type"] == record["Type"]]
    return not targets or any(map(_is_healthy, targets))


def _records_of(name: str) -> list[dict[str, Any]] | None:
    """Return the records of a name in its most specific zone; None if it is in no zone."""
    zones = [zone for zone in route53.hosted_zones.values() if f".{name}.".endswith(f".{zone['name']}")]
    if not zones:
        return None
    zone = max(zones, key=lambda zone: len(zone["name"]))
    return [record for record in route53.records.get(zone["id"], []) if record["Name"] == f"{name}."]


def address_of(endpoint: str, record_type: str) -> str:
    """Return the address of an endpoint, from the ranges reserved for documentation."""
    if endpoint not in ENDPOINTS:
        ENDPOINTS.append(endpoint)
    number = ENDPOINTS.index(endpoint) + 1
    return f"2001:db8::{number:x}" if record_type == "AAAA" else f"192.0.2.{number}"


def endpoint_at(host: str, address: str = "") -> str:
    """Return the endpoint with `address`; by default the one that `host` resolves to in the default Region."""
    if not address:
        resolution = resolve(host, "A", latency.DEFAULT_REGION)
        if not resolution or not resolution.values:
            return host
        address = resolution.values[0]
    return next((name for name in ENDPOINTS if address in (address_of(name, "A"), address_of(name, "AAAA"))), host)
