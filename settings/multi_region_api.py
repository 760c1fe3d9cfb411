"""Settings of `MultiRegionApi-<region>`."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from .custom_domain import CustomDomainSettings
from .regions import Region
from .types import (
    DOMAIN_LABEL,
    Conflict,
    Email,
    SettingsModel,
    conflicting_fields_error,
    matches,
    number,
    one_of,
    whole_number,
)

HealthCheckRegion = Literal[
    "us-east-1", "us-west-1", "us-west-2", "eu-west-1",
    "ap-southeast-1", "ap-southeast-2", "ap-northeast-1", "sa-east-1",
]  # fmt: skip
MIN_HEALTH_CHECK_REGIONS = 3  # Route 53's limit
# With drains, each of n Regions has n + 1 health checks; Route 53's default quota is 200 for an account.
MAX_REGIONS_WITH_DOMAIN_NAME = 13
MAX_ORIGINS = 20  # each is in the template that answers preflight requests
MAX_DEPENDENCIES = 20  # one policy of the health function's role names each table
# With preflight requests and health checks below 2,500, API Gateway's lowest default quota of an account and Region:
# requests above the quota would be throttled on the health path too.
MAX_RATE_LIMIT = 2_000
MAX_TIMEOUT_SECONDS = 1.5  # Route 53 waits 2 s for the status, which includes the network latency
PORT = r"([1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5])"
TABLE_DESCRIPTION = "the name of a DynamoDB table: 3 to 255 letters, digits, underscores, hyphens and periods"
HOST = rf"({DOMAIN_LABEL}\.)*{DOMAIN_LABEL}(:{PORT})?"

Origin = Annotated[str, matches(rf"\*|https?://{HOST}", "* or an origin, such as https://www.example.com")]


def _check_regions(regions: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(regions)) < len(regions):
        raise ValueError("no duplicate Regions")
    return regions


def _check_origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(origins)) < len(origins) or ("*" in origins and len(origins) > 1):
        raise ValueError("* alone, or origins without duplicates")
    return origins


class Dependency(SettingsModel):
    """A dependency of the API that the health function checks.

    Either a DynamoDB `table` whose whole primary key is `partition_key`, of type string (the check reads
    one item, which does not have to exist), or a `url` that returns a 2xx status within `timeout_seconds`.
    """

    name: Annotated[str, matches(r"[A-Za-z0-9_-]{1,40}", "1 to 40 letters, digits, hyphens and underscores")]
    table: Annotated[str, matches(r"[A-Za-z0-9_.-]{3,255}", TABLE_DESCRIPTION)] | None = None
    partition_key: Annotated[str, matches(r"(?s:.{1,255})", "1 to 255 characters")] = "id"
    url: (
        Annotated[
            str, matches(rf"https://{HOST}(/[!-~]*)?", "a URL that begins with https://, with its host in lowercase")
        ]
        | None
    ) = None
    timeout_seconds: Annotated[float, number(0.1, MAX_TIMEOUT_SECONDS)] = 1.0

    @model_validator(mode="after")
    def _check_table_or_url(self) -> Self:
        if (self.table is None) == (self.url is None):
            raise conflicting_fields_error(f"needs either table or url; given {'both' if self.table else 'neither'}")
        if self.url and "partition_key" in self.model_fields_set:
            raise conflicting_fields_error(f"partition_key={self.partition_key} has no effect with url={self.url}")
        return self


class MultiRegionApiSettings(CustomDomainSettings):
    """Settings of `MultiRegionApi-<region>`."""

    regions: Annotated[tuple[Region, ...], Field(min_length=1), AfterValidator(_check_regions)] = Field(
        ("us-east-1", "us-west-2"), description="Regions of the API, one stack each."
    )
    request_interval: Annotated[int, one_of(10, 30)] = Field(
        30, description="Seconds between the requests of each health checker, 30 or 10."
    )
    failure_threshold: Annotated[int, whole_number(1, 10)] = Field(
        2, description="Consecutive results that change a health check's status."
    )
    health_check_regions: Annotated[
        tuple[HealthCheckRegion, ...], Field(min_length=MIN_HEALTH_CHECK_REGIONS), AfterValidator(_check_regions)
    ] = Field(
        ("us-west-2", "eu-west-1", "ap-southeast-1"),
        description="Regions of the health checkers. More Regions send more requests, which are charged.",
    )
    string_matching: bool = Field(
        True, description="Health checks also search the response's text, which is charged; `false`: only the status."
    )
    drains: bool = Field(
        True, description="With a domain name, each Region can drain the others; `false` saves their health checks."
    )
    detailed_metrics: bool = Field(
        True,
        description="Metrics of each method, which are charged, and alarms for the health path; `false`: one alarm.",
    )
    dependencies: Annotated[tuple[Dependency, ...], Field(max_length=MAX_DEPENDENCIES)] = Field(
        (), description="Tables and URLs that must be available for a Region to be healthy."
    )
    allowed_origins: Annotated[
        tuple[Origin, ...], Field(min_length=1, max_length=MAX_ORIGINS), AfterValidator(_check_origins)
    ] = Field(("*",), description="Origins whose pages may call the API from a browser; `*` for any.")
    throttling_rate_limit: Annotated[int, whole_number(1, MAX_RATE_LIMIT)] = Field(
        100, description="Steady-state requests per second in each Region; bursts can be twice as large, up to 900."
    )
    email: Email | None = Field(None, description="Recipient of the alarms; AWS first sends a confirmation request.")
    cloudwatch_role: bool = Field(
        False,
        description="Create API Gateway's role for logs, replacing the role set for the account and Region.",
    )
    waf: bool = Field(False, description="Protect each API with a web ACL of AWS managed rules.")
    log_level: Literal["INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Lowest level of the functions' log messages; an unhealthy Region is a `WARNING`."
    )

    @field_validator("dependencies")
    @classmethod
    def _check_unique_names(cls, value: tuple[Dependency, ...]) -> tuple[Dependency, ...]:
        names = [dependency.name for dependency in value]
        if len(set(names)) < len(names):
            raise ValueError("unique names")
        return value

    def conflicts(self) -> Iterator[Conflict]:
        """Yield conflicts between the domain name, the hosted zone and the number of Regions."""
        yield from super().conflicts()
        if self.domain_name and self.drains and len(self.regions) > MAX_REGIONS_WITH_DOMAIN_NAME:
            yield Conflict(
                "regions", f"has more than {MAX_REGIONS_WITH_DOMAIN_NAME} Regions with {{domain_name}} and drains"
            )
