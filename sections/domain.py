"""A domain name of one's own, in a hosted zone of Route 53."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from . import Section, like

DomainName = Annotated[
    str, like(r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}", "a domain name in small letters, such as www.example.com")
]


class InHostedZone(Section):
    """Settings of a system that can have a domain name; the zone is not looked up."""

    domain_name: DomainName | None = Field(
        None, description="Domain name of one's own; needs hosted_zone_id and hosted_zone_name."
    )
    hosted_zone_id: (
        Annotated[str, like(r"Z[A-Z0-9]+", "the id of a hosted zone, such as Z0123456789ABCDEFGHIJ")] | None
    ) = Field(None, description="Route 53 hosted zone of the domain name.")
    hosted_zone_name: DomainName | None = Field(None, description="Name of that zone, such as `example.com`.")

    @model_validator(mode="after")
    def _domain_with_its_zone(self) -> Self:
        given = [self.domain_name, self.hosted_zone_id, self.hosted_zone_name]
        if any(given) and not all(given):
            raise ValueError("domain_name, hosted_zone_id and hosted_zone_name together, or none of them")
        name, zone = self.domain_name, self.hosted_zone_name
        if name and zone and name != zone and not name.endswith(f".{zone}"):
            raise ValueError("a domain_name in the zone hosted_zone_name")
        return self
