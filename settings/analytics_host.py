"""Settings of `AnalyticsHost`."""

import ipaddress
import re
from collections.abc import Iterator
from functools import cache
from typing import Annotated

from pydantic import Field

from .regions import AvailabilityZone
from .types import Conflict, Email, Ipv4Cidr, SettingsModel, VpcId, accepts, matches, whole_number


def _cron_field(value: str, *others: str) -> str:
    """Match ``*``, values, ranges and steps of `value`, or one of `others`."""
    item = rf"(\*|{value}(-{value})?)(/\d{{1,2}})?"
    return f"({'|'.join([f'{item}(,{item})*', *others])})"


MINUTES, HOURS = _cron_field(r"[0-5]?\d"), _cron_field(r"(1\d|2[0-3]|0?\d)")
DAY = r"(0?[1-9]|[12]\d|3[01])"
DAYS = _cron_field(DAY, "L", "LW", rf"L-{DAY}", rf"{DAY}W")
MONTHS = _cron_field(r"(0?[1-9]|1[0-2]|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)")
WEEKDAY = r"([1-7]|SUN|MON|TUE|WED|THU|FRI|SAT)"
WEEKDAYS = _cron_field(WEEKDAY, "L", rf"{WEEKDAY}L", rf"{WEEKDAY}#[1-5]")
YEARS = _cron_field(r"(19[7-9]\d|20\d\d|21\d\d)")
CRON = rf"cron\({MINUTES} {HOURS} ({DAYS} {MONTHS} \?|\? {MONTHS} {WEEKDAYS}) {YEARS}\)"
RATE = r"rate\((1 (minute|hour|day)|([2-9]|[1-9]\d{1,4}) (minutes|hours|days))\)"
SubnetId = Annotated[
    str, matches(r"subnet-([0-9a-f]{8}|[0-9a-f]{17})", "the ID of a subnet, such as subnet-0123456789abcdef0")
]
# Reserved by S3: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
RESERVED_BUCKET = r"(xn--|sthree-|amzn-s3-demo-)|[^/]*(-s3alias|--ol-s3|\.mrap|--x-s3|--table-s3)/|\d+\.\d+\.\d+\.\d+/"
BUCKET = (
    rf"(?!{RESERVED_BUCKET})(?![^/]{{0,2}}/|[^/]{{64}})[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*"
)
S3Location = Annotated[
    str,
    matches(
        rf"s3://{BUCKET}/([A-Za-z0-9/!_.=@()+-]+/)?",
        "s3://<bucket>/<prefix>/, with a trailing slash and no wildcards",
    ),
]
DatabaseName = Annotated[
    str,
    matches(
        r"[a-z0-9_-]+",
        "the name of a Glue database: up to 255 lowercase letters, digits, hyphens and underscores",
        max_length=255,
    ),
]
PolicyArn = Annotated[
    str,
    matches(
        r"arn:aws[a-z-]*:iam::(\d{12}|aws):policy/([\w+=,.@-]+/){0,8}[\w+=,.@-]{1,128}",
        "the ARN of a managed policy, such as arn:aws:iam::111111111111:policy/ReadOrders",
        max_length=512,
    ),
]
DATABASE = "analytics_host"  # lowercase, as Glue requires, so not the stack name
MAX_POLICIES = 9  # of 10 on a role (IAM's quota); aws-cdk-lib can need one for the role's own permissions
MAX_READABLE = 10  # locations, or databases
MAX_READABLE_CHARACTERS = 1500  # of both; the role's policies contain each value twice
# Users and groups that Ubuntu's server image, Session Manager, RStudio or the boot script creates.
RESERVED_USER_NAMES = (
    "adm|admin|audio|backup|bin|cdrom|crontab|daemon|dhcpcd|dialout|dip|disk|ec2-instance-connect|fax|floppy"
    "|fwupd-refresh|games|h2o|input|irc|kmem|kvm|landscape|list|lp|lxd|mail|man|messagebus|netdev|news|nobody|nogroup"
    "|operator|plugdev|polkitd|pollinate|proxy|rdma|render|root|rstudio-server|sasl|sgx|shadow|src|ssh|ssh-keys|sshd"
    "|ssl-cert|ssm-user|staff|sudo|sync|sys|syslog|systemd-.*|tape|tcpdump|tss|tty|ubuntu|users|usbmux|utmp|uucp"
    "|uuidd|video|voice|www-data"
)
# Arm (a1, or a g after the generation number), macOS, and families without hardware virtualization (HVM), which the
# image needs.
UNSUPPORTED_FAMILY = r"mac|a1\.|c1\.|m1\.|m2\.|t1\.|[a-z]+\d+[a-z]*g|[a-z0-9]+-gb\d"


@cache
def _instance_types() -> frozenset[str]:
    from botocore.loaders import Loader  # only where it is needed, because this import takes 0.1 s

    return frozenset(Loader().load_service_model("ec2", "service-2")["shapes"]["InstanceType"]["enum"])


def _is_x86_type(name: str) -> bool:
    return name in _instance_types() and not re.match(UNSUPPORTED_FAMILY, name)


class AnalyticsHostSettings(SettingsModel):
    """Settings of `AnalyticsHost`."""

    instance_type: Annotated[
        str,
        accepts(
            "an x86_64 instance type (the only architecture that RStudio supports) that the installed version of boto3"
            " knows, such as t3.large",
            _is_x86_type,
        ),
    ] = Field("t3.large", description="x86_64 instance type. H2O uses half of its memory.")
    volume_gb: Annotated[int, whole_number(20, 16384)] = Field(40, description="Size of the encrypted root volume.")
    vpc_id: VpcId | None = Field(
        None, description="Existing VPC; requires subnet_id. Default: the stack creates a VPC."
    )
    subnet_id: SubnetId | None = Field(None, description="Subnet of that VPC with a route to the internet.")
    availability_zone: AvailabilityZone | None = Field(
        None, description="Zone of the subnet that the stack creates. Default: the Region's first."
    )
    user_name: Annotated[
        str,
        matches(
            rf"(?!({RESERVED_USER_NAMES})\Z)[a-z][a-z0-9-]{{1,30}}",
            "2 to 31 lowercase letters, digits and hyphens, a letter first; not an existing user or group of Ubuntu",
        ),
    ] = Field("analyst", description="User name for RStudio, JupyterLab and H2O.")
    allowed_cidr: Ipv4Cidr | None = Field(
        None, description="IPv4 range that can reach RStudio over TLS. Default: no port is open."
    )
    allow_anywhere: bool = Field(False, description="Accept an allowed_cidr wider than a /8.")
    idle_minutes: Annotated[int, whole_number(0, 10080)] = Field(
        60, description="Minutes without use after which the host stops; 0 disables this."
    )
    stop_schedule: (
        Annotated[
            str,
            matches(
                f"{CRON}|{RATE}",
                "rate(...), or cron(...) with six fields, where day of month or day of week is ?, "
                "such as cron(0 20 * * ? *)",
                max_length=256,
            ),
        ]
        | None
    ) = Field(None, description="EventBridge Scheduler expression (UTC) that also stops the hosts.")
    email: Email | None = Field(
        None, description="Recipient of the alarm when a scheduled stop fails; requires stop_schedule."
    )
    h2o_nodes: Annotated[int, whole_number(1, 16)] = Field(1, description="Number of hosts in the H2O cluster.")
    h2o_r_sha256: Annotated[str, matches(r"[0-9a-f]{64}", "64 lowercase hexadecimal digits")] | None = Field(
        None, description="Expected SHA-256 of the H2O R package."
    )
    data_location: S3Location | None = Field(
        None, description="S3 location of existing songs. Default: the stack's data bucket."
    )
    read_locations: Annotated[tuple[S3Location, ...], Field(max_length=MAX_READABLE)] = Field(
        (), description="More S3 locations that the hosts can read."
    )
    read_databases: Annotated[tuple[DatabaseName, ...], Field(max_length=MAX_READABLE)] = Field(
        (),
        description="More Glue databases that the hosts can query; requires the tables' locations in read_locations.",
    )
    extra_policies: Annotated[tuple[PolicyArn, ...], Field(max_length=MAX_POLICIES)] = Field(
        (), description="ARNs of managed policies to attach to the hosts' role."
    )
    results_retention_days: Annotated[int, whole_number(1, 365)] = Field(
        7, description="Days after which query results are deleted."
    )
    bytes_scanned_cutoff_mb: Annotated[int, whole_number(10, 10_000_000)] = Field(
        100, description="Megabytes that a query can scan before Athena cancels it."
    )
    parquet: bool = Field(True, description="Create a second table for the songs as Parquet.")

    def conflicts(self) -> Iterator[Conflict]:
        """Yield settings that require or exclude another setting."""
        if self.vpc_id and not self.subnet_id:
            yield Conflict("vpc_id", "needs {subnet_id}")
        if self.subnet_id and not self.vpc_id:
            yield Conflict("subnet_id", "needs {vpc_id}")
        if self.allowed_cidr and ipaddress.IPv4Network(self.allowed_cidr).prefixlen < 8 and not self.allow_anywhere:
            yield Conflict("allowed_cidr", "is wider than a /8; needs analytics_host:allow_anywhere=true")
        if self.allow_anywhere and not self.allowed_cidr:
            yield Conflict("allow_anywhere", "needs {allowed_cidr}")
        if self.availability_zone and self.subnet_id:
            yield Conflict("availability_zone", "has no effect with {subnet_id}")
        if self.email and not self.stop_schedule:
            yield Conflict("email", "needs {stop_schedule}")
        for field in ("read_locations", "read_databases", "extra_policies"):
            values = getattr(self, field)
            if len(set(values)) < len(values):
                yield Conflict(field, "has a value more than once")
        if DATABASE in self.read_databases:
            yield Conflict("read_databases", f"cannot contain {DATABASE}, the stack's database, which hosts can read")
        characters = sum(map(len, self.read_locations + self.read_databases))
        if characters > MAX_READABLE_CHARACTERS:
            limit = f"IAM's quota allows {MAX_READABLE_CHARACTERS}, including {{read_databases}}"
            yield Conflict("read_locations", f"has {characters} characters; {limit}")
