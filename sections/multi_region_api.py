"""Settings of `MultiRegionApi-<region>`."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from . import Email, Number, Section, WholeNumber, like, one_of
from .domain import InHostedZone

Region = Annotated[str, like(r"[a-z]{2}(-[a-z]+)+-[1-9]", "a region, such as eu-west-1")]
MAX_CHECKS = 20  # the function's role names each table, in one policy
LONGEST_CHECK = 1.5  # seconds; Route 53 waits two for the status, and the way there takes its part


class DependencyCheck(Section):
    """Something that the API cannot do without, and how the health check asks for it.

    Either a DynamoDB `table` that has `partition_key`, of type string, for its whole key (an item
    is read, which need not exist), or a `url` that answers 2xx.
    """

    name: Annotated[str, like(r"[A-Za-z0-9_-]{1,40}", "1 to 40 letters, digits, - and _")]
    table: Annotated[str, like(r"[A-Za-z0-9_.-]{3,255}", "the name of a DynamoDB table")] | None = None
    partition_key: Annotated[str, Field(min_length=1, max_length=255)] = "id"
    url: (
        Annotated[str, like(r"https://[a-z0-9.-]+(:\d+)?(/[!-~]*)?", "an address that begins with https://")] | None
    ) = None
    seconds: Annotated[Number, Field(gt=0, le=LONGEST_CHECK)] = 1.0

    @model_validator(mode="after")
    def _one_dependency(self) -> Self:
        if (self.table is None) == (self.url is None):
            raise ValueError("exactly one of table and url")
        return self


class MultiRegionApiSettings(InHostedZone):
    """Settings of `MultiRegionApi-<region>`."""

    regions: Annotated[tuple[Region, ...], Field(min_length=1)] = Field(
        ("us-east-1", "us-west-2"), description="Where the API is; one stack a region."
    )
    check_seconds: Annotated[WholeNumber, one_of(10, 30)] = Field(
        30, description="Time between two requests of a health checker, 30 or 10."
    )
    check_threshold: Annotated[WholeNumber, Field(ge=1, le=10)] = Field(
        2, description="How many requests in a row change a health checker's mind."
    )
    checks: Annotated[tuple[DependencyCheck, ...], Field(max_length=MAX_CHECKS)] = Field(
        (), description="What a region needs besides itself to be healthy."
    )
    allowed_origin: Annotated[
        str, like(r"\*|https?://[a-z0-9.-]+(:\d+)?", "* or an origin, such as https://www.example.com")
    ] = Field("*", description="Origin whose pages may call the API from a browser; `*` for every one.")
    requests_per_second: Annotated[WholeNumber, Field(ge=1, le=10000)] = Field(
        100, description="Steady requests that each region takes; twice as many at once."
    )
    email: Email | None = Field(None, description="Who is told of alarms. AWS asks for a confirmation first.")
    cloudwatch_role: bool = Field(
        False,
        description="Set the role with which API Gateway writes logs, and replace the one of the account and region.",
    )
    waf: bool = Field(False, description="Put a web ACL with AWS's managed rules before each API.")

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.regions)) < len(self.regions):
            raise ValueError("each region once in regions")
        names = [check.name for check in self.checks]
        if len(set(names)) < len(names):
            raise ValueError("each name once in checks")
        return self
