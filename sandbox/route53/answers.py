"""What a name leads to: the record that Route 53 chooses, and the addresses of AWS's endpoints.

Source: Route 53 developer guide, how Route 53 chooses records when health checking is
configured. A record counts as healthy when its health check does and, if it evaluates the
target's health, when a record that it stands for does; of AWS's own endpoints nothing is known
but that they are there. When none is healthy, all count as healthy.
"""

from dataclasses import dataclass
from typing import Any

from ministack.services import route53

from . import checks, places

ALIAS_TTL = 60  # seconds; that of API Gateway's and CloudFront's endpoints
ENDPOINTS: list[str] = []  # names in AWS, each with addresses by its place here, from ranges for documentation


@dataclass(frozen=True)
class Answer:
    """What a DNS server says: whether the name is there, and the values with their TTL in seconds."""

    exists: bool
    values: tuple[str, ...] = ()
    ttl: int = 0


def answer(name: str, record_type: str, caller: str) -> Answer | None:
    """Answer for a name as a caller near the region `caller` is told; None: no zone has it."""
    records = _records_of(name)
    if records is None:
        return None
    record = choose([r for r in records if r["Type"] == record_type], caller)
    if record is None:
        return Answer(exists=bool(records))
    if "AliasTarget" not in record:
        return Answer(True, tuple(record["ResourceRecords"]), int(record["TTL"]))
    target = record["AliasTarget"]["DNSName"].rstrip(".")
    return answer(target, record_type, caller) or Answer(True, (address_of(target, record_type),), ALIAS_TTL)


def choose(records: list[dict[str, Any]], caller: str) -> dict[str, Any] | None:
    """The record that a caller near the region `caller` gets: the nearest healthy one."""
    nearest_first = sorted(records, key=lambda record: places.distance(caller, record.get("Region", caller)))
    healthy = [record for record in nearest_first if _is_healthy(record)]
    return next(iter(healthy or nearest_first), None)


def _is_healthy(record: dict[str, Any]) -> bool:
    if "HealthCheckId" in record and not checks.is_healthy(record["HealthCheckId"]):
        return False
    target = record.get("AliasTarget", {})
    if not target.get("EvaluateTargetHealth"):
        return True
    behind = [r for r in _records_of(target["DNSName"].rstrip(".")) or [] if r["Type"] == record["Type"]]
    return not behind or any(map(_is_healthy, behind))


def _records_of(name: str) -> list[dict[str, Any]] | None:
    """The records of a name in its zone, the most specific one; None without a zone."""
    zones = [zone for zone in route53._zones.values() if f".{name}.".endswith(f".{zone['name']}")]
    if not zones:
        return None
    zone = max(zones, key=lambda zone: len(zone["name"]))
    return [record for record in route53._records.get(zone["id"], []) if record["Name"] == f"{name}."]


def address_of(endpoint: str, record_type: str) -> str:
    """An address of an endpoint, from the ranges for documentation."""
    if endpoint not in ENDPOINTS:
        ENDPOINTS.append(endpoint)
    number = ENDPOINTS.index(endpoint) + 1
    return f"2001:db8::{number:x}" if record_type == "AAAA" else f"192.0.2.{number}"


def endpoint_at(host: str, address: str = "") -> str:
    """The endpoint with `address`; without, the one that a caller here is led to by `host`."""
    if not address:
        found = answer(host, "A", places.HERE)
        if not found or not found.values:
            return host
        address = found.values[0]
    return next((name for name in ENDPOINTS if address in (address_of(name, "A"), address_of(name, "AAAA"))), host)
