"""A custom domain name in a hosted zone of Route 53."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from .types import DOMAIN_LABEL, TOP_LEVEL_DOMAIN, Conflict, SettingsModel, matches

DOMAIN = rf"({DOMAIN_LABEL}\.)+{TOP_LEVEL_DOMAIN}"
MAX_COMMON_NAME = 64  # characters; ACM holds the first name of a certificate to RFC 5280
MAX_DOMAIN = 253  # characters


class CustomDomainSettings(SettingsModel):
    """Settings of a system that can have a custom domain name; the zone is not looked up."""

    domain_name: (
        Annotated[
            str,
            matches(
                DOMAIN,
                "a domain name of at most 64 lowercase characters, without * and a trailing dot, "
                "such as www.example.com",
                max_length=MAX_COMMON_NAME,
            ),
        ]
        | None
    ) = Field(None, description="Custom domain name; needs hosted_zone_id and hosted_zone_name.")
    hosted_zone_id: (
        Annotated[str, matches(r"Z[A-Z0-9]{1,31}", "the ID of a hosted zone, such as Z0123456789ABCDEFGHIJ")] | None
    ) = Field(None, description="Route 53 hosted zone of the domain name.")
    hosted_zone_name: (
        Annotated[
            str,
            matches(
                DOMAIN, "a domain name in lowercase without a trailing dot, such as example.com", max_length=MAX_DOMAIN
            ),
        ]
        | None
    ) = Field(None, description="Name of that zone, such as `example.com`.")

    def conflicts(self) -> Iterator[Conflict]:
        """Find a domain name without its zone, or outside of it."""
        fields = ("domain_name", "hosted_zone_id", "hosted_zone_name")
        missing = [name for name in fields if getattr(self, name) is None]
        given = [name for name in fields if name not in missing]
        if missing and given:
            yield Conflict(given[0], "needs " + " and ".join(f"{{{name}}}" for name in missing))
        name, zone = self.domain_name, self.hosted_zone_name
        if name and zone and not f".{name}".endswith(f".{zone}"):
            yield Conflict("domain_name", "is not in the zone {hosted_zone_name}")
