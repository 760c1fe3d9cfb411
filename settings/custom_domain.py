"""A custom domain name in a Route 53 hosted zone."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from .types import DOMAIN_LABEL, TOP_LEVEL_DOMAIN, Conflict, SettingsModel, matches

DOMAIN = rf"({DOMAIN_LABEL}\.)+{TOP_LEVEL_DOMAIN}"
MAX_COMMON_NAME = 64  # characters; ACM limits the first name of a certificate as RFC 5280 does
MAX_DOMAIN = 253  # characters


class CustomDomainSettings(SettingsModel):
    """Settings of a system that supports a custom domain name. The hosted zone is not looked up."""

    domain_name: (
        Annotated[
            str,
            matches(
                DOMAIN,
                "a domain name of at most 64 lowercase characters, without * or a trailing dot, "
                "such as www.example.com",
                max_length=MAX_COMMON_NAME,
            ),
        ]
        | None
    ) = Field(None, description="Custom domain name. Requires hosted_zone_id and hosted_zone_name.")
    hosted_zone_id: (
        Annotated[str, matches(r"Z[A-Z0-9]{1,31}", "the ID of a hosted zone, such as Z0123456789ABCDEFGHIJ")] | None
    ) = Field(None, description="ID of the Route 53 hosted zone that contains the domain name.")
    hosted_zone_name: (
        Annotated[
            str,
            matches(
                DOMAIN, "a domain name in lowercase without a trailing dot, such as example.com", max_length=MAX_DOMAIN
            ),
        ]
        | None
    ) = Field(None, description="Name of the hosted zone, such as `example.com`.")

    def conflicts(self) -> Iterator[Conflict]:
        """Yield conflicts between the domain name and the hosted zone."""
        fields = ("domain_name", "hosted_zone_id", "hosted_zone_name")
        missing = [name for name in fields if getattr(self, name) is None]
        present = [name for name in fields if name not in missing]
        if missing and present:
            yield Conflict(present[0], "needs " + " and ".join(f"{{{name}}}" for name in missing))
        name, zone = self.domain_name, self.hosted_zone_name
        if name and zone and not f".{name}".endswith(f".{zone}"):
            yield Conflict("domain_name", "is not in the zone {hosted_zone_name}")
