"""Settings of `MultiRegionApi-<region>`."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from .domain import CustomDomainSettings
from .regions import Region, partitions
from .types import DOMAIN_LABEL, Email, SettingsModel, contradiction, matches, number, one_of, whole_number

MAX_CHECKS = 20  # the function's role names each table, in one policy
MAX_CHECK_SECONDS = 1.5  # Route 53 waits two for the status, and the way there takes its part
PORT = r"([1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5])"
TABLE_IN_WORDS = "the name of a DynamoDB table: 3 to 255 letters, digits, underscores, hyphens and periods"
HOST = rf"({DOMAIN_LABEL}\.)*{DOMAIN_LABEL}(:{PORT})?"


def _in_one_partition(regions: tuple[str, ...]) -> tuple[str, ...]:
    if len({partitions()[region] for region in regions}) > 1:
        raise ValueError("regions of one partition, because the same credentials deploy to all")
    if len(set(regions)) < len(regions):
        raise ValueError("each region once")
    return regions


class DependencyCheck(SettingsModel):
    """A dependency of the API, and how the health check tests it.

    Either a DynamoDB `table` whose whole primary key is `partition_key`, of type string (an item is
    read, which need not exist), or a `url` that returns a 2xx status within `seconds`.
    """

    name: Annotated[str, matches(r"[A-Za-z0-9_-]{1,40}", "1 to 40 letters, digits, hyphens and underscores")]
    table: Annotated[str, matches(r"[A-Za-z0-9_.-]{3,255}", TABLE_IN_WORDS)] | None = None
    partition_key: Annotated[str, matches(r"(?s:.{1,255})", "1 to 255 characters")] = "id"
    url: (
        Annotated[
            str, matches(rf"https://{HOST}(/[!-~]*)?", "a URL that begins with https://, with its host in lowercase")
        ]
        | None
    ) = None
    seconds: Annotated[float, number(0.1, MAX_CHECK_SECONDS)] = 1.0

    @model_validator(mode="after")
    def _one_dependency(self) -> Self:
        if (self.table is None) == (self.url is None):
            raise contradiction(f"needs either table or url; given {'both' if self.table else 'neither'}")
        if self.url and "partition_key" in self.model_fields_set:
            raise contradiction(f"partition_key={self.partition_key} has no effect with url={self.url}")
        return self


class MultiRegionApiSettings(CustomDomainSettings):
    """Settings of `MultiRegionApi-<region>`."""

    regions: Annotated[tuple[Region, ...], Field(min_length=1), AfterValidator(_in_one_partition)] = Field(
        ("us-east-1", "us-west-2"), description="Regions of the API; one stack each."
    )
    check_seconds: Annotated[int, one_of(10, 30)] = Field(
        30, description="Seconds between two requests of a health checker, 30 or 10."
    )
    check_threshold: Annotated[int, whole_number(1, 10)] = Field(
        2, description="Consecutive results that change a health check's status."
    )
    checks: Annotated[tuple[DependencyCheck, ...], Field(max_length=MAX_CHECKS)] = Field(
        (), description="Dependencies that a region needs to be healthy."
    )
    allowed_origin: Annotated[
        str, matches(rf"\*|https?://{HOST}", "* or an origin, such as https://www.example.com")
    ] = Field("*", description="Origin whose pages may call the API from a browser; `*` for any.")
    requests_per_second: Annotated[int, whole_number(1, 10_000)] = Field(
        100, description="Steady-state rate limit of each region; bursts may be twice as large."
    )
    email: Email | None = Field(None, description="Recipient of the alarms; AWS sends a confirmation request first.")
    cloudwatch_role: bool = Field(
        False,
        description="Set the role with which API Gateway writes logs, and replace the one of the account and region.",
    )
    waf: bool = Field(False, description="Protect each API with a web ACL of AWS managed rules.")

    @field_validator("checks")
    @classmethod
    def _each_name_once(cls, value: tuple[DependencyCheck, ...]) -> tuple[DependencyCheck, ...]:
        names = [check.name for check in value]
        if len(set(names)) < len(names):
            raise ValueError("each name once")
        return value
