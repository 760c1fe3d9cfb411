"""Settings of `AnalyticsHost`."""

import ipaddress
import re
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from . import Email, Section, VpcId, WholeNumber, like

# Minutes, hours, days of the month, months, days of the week, years: one of the days is not said.
CRON_OR_RATE = r"rate\([1-9]\d* (minute|hour|day)s?\)|cron\(\S+ \S+ (\? \S+ (?!\?)\S+|(?!\?)\S+ \S+ \?) \S+\)"
SubnetId = Annotated[
    str, like(r"subnet-([0-9a-f]{8}|[0-9a-f]{17})", "the id of a subnet, such as subnet-0123456789abcdef0")
]
AvailabilityZone = Annotated[
    str, like(r"[a-z]{2}(-[a-z]+)+-\d[a-o]", "the name of an availability zone, such as us-east-1b")
]
S3Location = Annotated[
    str,
    like(
        r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/([A-Za-z0-9/!_.=@()+-]+/)?",
        "s3://<bucket>/<prefix>/, with the last slash and no wildcards",
    ),
]
# Accounts and groups that Ubuntu, Session Manager, RStudio or the boot script have; of Ubuntu's, the likely ones.
TAKEN = {"root", "admin", "backup", "daemon", "games", "h2o", "list", "mail", "news", "nobody", "operator", "proxy"}
TAKEN |= {"rstudio-server", "ssm-user", "staff", "sudo", "sync", "sys", "ubuntu", "users", "www-data"}
ARM = re.compile(r"(a1|[a-z]+\d+[a-z]*g[a-z]*)[.-]")  # a g after the number


class AnalyticsHostSettings(Section):
    """Settings of `AnalyticsHost`."""

    instance_type: Annotated[str, like(r"[a-z][a-z0-9-]*\.[a-z0-9]+", "an instance type, such as t3.large")] = Field(
        "t3.large", description="EC2 instance type, x86_64. H2O gets half of its memory."
    )
    volume_gb: Annotated[WholeNumber, Field(ge=20, le=16384)] = Field(
        40, description="Size of the encrypted root volume."
    )
    vpc_id: VpcId | None = Field(None, description="An existing VPC; needs subnet_id. Without it, a small VPC is made.")
    subnet_id: SubnetId | None = Field(None, description="A subnet of that VPC from which the internet can be reached.")
    availability_zone: AvailabilityZone | None = Field(
        None, description="Zone of the stack's own subnet, for types that not every zone has; default: the first."
    )
    user_name: Annotated[str, like(r"[a-z][a-z0-9-]{1,30}", "2 to 31 small letters, digits and -, a letter first")] = (
        Field("analyst", description="Who logs in to RStudio, JupyterLab and H2O.")
    )
    allowed_cidr: str | None = Field(
        None, description="Range from which RStudio is reached over TLS; without it no port is open."
    )
    allow_anywhere: bool = Field(False, description="Accept an allowed_cidr wider than a /8.")
    idle_minutes: Annotated[WholeNumber, Field(ge=0, le=10080)] = Field(
        60, description="Stop after so long without use; 0 never does."
    )
    stop_schedule: (
        Annotated[
            str,
            like(
                CRON_OR_RATE, "rate(...), or cron(...) of six fields, one of days being ?, such as cron(0 20 * * ? *)"
            ),
        ]
        | None
    ) = Field(None, description="Stop by an EventBridge Scheduler expression instead, in UTC.")
    email: Email | None = Field(None, description="Who is told when the scheduled stop fails; needs stop_schedule.")
    h2o_nodes: Annotated[WholeNumber, Field(ge=1, le=16)] = Field(1, description="Hosts of the H2O cluster.")
    h2o_r_sha256: Annotated[str, like(r"[0-9a-f]{64}", "64 hexadecimal digits in small letters")] | None = Field(
        None, description="SHA-256 of H2O's R package, which H2O does not publish."
    )
    data_location: S3Location | None = Field(None, description="Where the songs are, if not in the stack's own bucket.")
    results_days: Annotated[WholeNumber, Field(ge=1, le=365)] = Field(7, description="How long query results are kept.")
    scan_limit_mb: Annotated[WholeNumber, Field(ge=10, le=10_000_000)] = Field(
        100, description="Athena cancels a query that reads more."
    )
    parquet: bool = Field(True, description="A second table, of the songs as Parquet.")

    @field_validator("allowed_cidr")
    @classmethod
    def _range(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            return str(ipaddress.IPv4Network(value, strict=False))
        except ValueError:
            raise ValueError("an IPv4 range in CIDR notation, such as 203.0.113.0/24") from None

    @field_validator("instance_type")
    @classmethod
    def _x86(cls, value: str) -> str:
        if ARM.match(value):
            raise ValueError("an x86_64 type, such as t3.large, for RStudio's package is")
        return value

    @field_validator("user_name")
    @classmethod
    def _new(cls, value: str) -> str:
        if value in TAKEN:
            raise ValueError("a name that Ubuntu has not given yet, such as analyst")
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        mistakes = []
        if self.allowed_cidr and ipaddress.IPv4Network(self.allowed_cidr).prefixlen < 8 and not self.allow_anywhere:
            mistakes.append("an allowed_cidr of at most a /8, unless allow_anywhere is true")
        if bool(self.vpc_id) != bool(self.subnet_id):
            mistakes.append("vpc_id and subnet_id together, or none of them")
        if self.availability_zone and self.subnet_id:
            mistakes.append("availability_zone or subnet_id, because a subnet is in one availability zone")
        if self.email and not self.stop_schedule:
            mistakes.append("email together with stop_schedule")
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return self
