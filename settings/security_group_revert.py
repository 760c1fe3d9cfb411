"""Settings of `SecurityGroupRevert`, and models of guarded groups and approved rules."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from lambdas.security_group_revert.rules import PROTOCOL_NAMES

from .types import (
    Conflict,
    Email,
    Ipv4Cidr,
    Ipv6Cidr,
    SettingsModel,
    VpcId,
    conflicting_fields_error,
    matches,
    whole_number,
)

MAX_GROUPS = 500  # the function's role lists each of them, in at most ten policies
MAX_TOTAL_RULES = 20_000  # the function reads them for each event
NAMED_PROTOCOLS = PROTOCOL_NAMES | {"all": "-1"}
ICMP_FAMILY = {"icmp": "cidr_ipv4", "icmpv6": "cidr_ipv6"}
MAX_ICMP_VALUE = 255  # of a type or code
MAX_BREAK_GLASS_PRINCIPALS = 5  # their ARNs are in an environment variable; all variables have 4 KB
MAX_BREAK_GLASS_MINUTES = 720
MAX_RULES_QUOTA = 1000  # rules per group and IP version; Amazon VPC quotas


def _protocol(value: Any) -> Any:
    """Convert a protocol name or number to the form that EC2 returns."""
    text = str(value).lower()
    return value if isinstance(value, bool) else NAMED_PROTOCOLS.get(text, text)


Port = Annotated[int, whole_number(-1, 65535)]
Protocol = Annotated[
    str,
    matches(
        r"-1|tcp|udp|icmp|icmpv6|\d|[1-9]\d|1\d\d|2[0-4]\d|25[0-5]",
        "tcp, udp, icmp, icmpv6, a protocol number from 0 to 255, or -1 for all",
    ),
    BeforeValidator(_protocol),
]
GroupId = Annotated[
    str, matches(r"sg-([0-9a-f]{8}|[0-9a-f]{17})", "the ID of a security group, such as sg-0123456789abcdef0")
]
PrincipalArn = Annotated[
    str,
    matches(
        r"arn:aws[a-z-]*:iam::\d{12}:(role|user)/([!-.0-~]+/)*[\w+=,.@-]{1,64}",
        "the ARN of an IAM role or user with its path, such as arn:aws:iam::111111111111:role/BreakGlass",
        max_length=512,
    ),
]
SOURCES = ("cidr_ipv4", "cidr_ipv6", "prefix_list_id", "referenced_group_id")


class ApprovedRule(SettingsModel):
    """One approved rule of a security group, with the field names of EC2's ``SecurityGroupRule``.

    Exactly one of ``cidr_ipv4``, ``cidr_ipv6``, ``prefix_list_id`` and ``referenced_group_id``
    is the source (ingress) or destination (egress). For ICMP the ports are type and code, -1 for all.
    A ``description`` is part of the approved rule; without one, any description is accepted.
    """

    ip_protocol: Protocol
    from_port: Port | None = None
    to_port: Port | None = None
    cidr_ipv4: Ipv4Cidr | None = None
    cidr_ipv6: Ipv6Cidr | None = None
    prefix_list_id: (
        Annotated[str, matches(r"pl-([0-9a-f]{8}|[0-9a-f]{17})", "the ID of a prefix list, such as pl-63a5400a")] | None
    ) = None
    referenced_group_id: (
        Annotated[
            str,
            matches(r"(\d{12}/)?sg-([0-9a-f]{8}|[0-9a-f]{17})", "the ID of a security group, or <account>/<group ID>"),
        ]
        | None
    ) = None
    description: (
        Annotated[
            str,
            matches(
                r"[A-Za-z0-9 ._\-:/()#,@\[\]+=&;{}!$*]+",
                "1 to 255 letters, digits, spaces and ._-:/()#,@[]+=&;{}!$*, as EC2 accepts",
                max_length=255,
            ),
        ]
        | None
    ) = None

    @model_validator(mode="after")
    def _check_source_and_ports(self) -> Self:
        problems = [*self._source_problems(), *self._port_problems()]
        if problems:
            raise conflicting_fields_error("; ".join(problems))
        return self

    def _source_problems(self) -> Iterator[str]:
        sources = [name for name in SOURCES if getattr(self, name) is not None]
        if len(sources) != 1:
            yield f"needs exactly one of {', '.join(SOURCES)}; given {', '.join(sources) or 'none'}"
        family = ICMP_FAMILY.get(self.ip_protocol)
        other = {"cidr_ipv4", "cidr_ipv6"} - {family}
        if family and other & set(sources):
            yield f"ip_protocol={self.ip_protocol} needs {family}, not {other.pop()}"

    def _port_problems(self) -> Iterator[str]:
        values = f"ip_protocol={self.ip_protocol} with from_port={self.from_port} and to_port={self.to_port}"
        first, last = self._ports()
        if self.ip_protocol in ("tcp", "udp"):
            if not 0 <= first <= last:
                yield f"{values}: needs 0 <= from_port <= to_port <= 65535"
        elif self.ip_protocol in ICMP_FAMILY:
            if max(first, last) > MAX_ICMP_VALUE:
                yield f"{values}: an ICMP type or code is from 0 to {MAX_ICMP_VALUE}, or -1 for all"
            if first == -1 and last != -1:
                yield f"{values}: from_port=-1 (all ICMP types) needs to_port=-1 (all codes)"
        elif (first, last) != (-1, -1):
            yield f"{values}: rules for this protocol apply to all ports; omit from_port and to_port"

    def _ports(self) -> tuple[int, int]:
        return (-1 if self.from_port is None else self.from_port, -1 if self.to_port is None else self.to_port)

    def identity(self) -> tuple[Any, ...]:
        """Return the fields that EC2 compares to detect duplicate rules: all except the description."""
        return (self.ip_protocol, *self._ports(), *(getattr(self, name) for name in SOURCES))

    def counts_for(self, family: str) -> bool:
        """Return whether the rule counts towards the quota of `family`; rules without a CIDR block count for both."""
        return getattr(self, family) is not None or not (self.cidr_ipv4 or self.cidr_ipv6)

    def as_api(self) -> dict[str, Any]:
        """Return the rule with the field names of EC2's API (``SecurityGroupRuleRequest``)."""
        names = {
            "IpProtocol": self.ip_protocol,
            "FromPort": self.from_port,
            "ToPort": self.to_port,
            "CidrIpv4": self.cidr_ipv4,
            "CidrIpv6": self.cidr_ipv6,
            "PrefixListId": self.prefix_list_id,
            "ReferencedGroupId": self.referenced_group_id,
            "Description": self.description,
        }
        return {name: value for name, value in names.items() if value is not None}


# Default egress rules of EC2: the first in every new group, the second only in VPCs with an IPv6 CIDR block.
ALL_EGRESS = (ApprovedRule(ip_protocol="-1", cidr_ipv4="0.0.0.0/0"),)
ALL_EGRESS_IPV6 = (ApprovedRule(ip_protocol="-1", cidr_ipv6="::/0"),)


class GuardedGroup(SettingsModel):
    """An existing security group and its approved rules."""

    group_id: GroupId
    name: Annotated[str, matches(r"[^\x00-\x1f\x7f]*", "one line of up to 60 characters", max_length=60)] = ""
    ingress: tuple[ApprovedRule, ...] = ()
    egress: tuple[ApprovedRule, ...] = ALL_EGRESS

    @model_validator(mode="after")
    def _check_duplicate_rules(self) -> Self:
        for direction in ("ingress", "egress"):
            rules = [rule.identity() for rule in getattr(self, direction)]
            repeated = [position for position, rule in enumerate(rules) if rule in rules[:position]]
            if repeated:
                raise conflicting_fields_error(
                    f"{direction}[{repeated[0]}] repeats {direction}[{rules.index(rules[repeated[0]])}]; "
                    "EC2 ignores the description"
                )
        return self


class SecurityGroupRevertSettings(SettingsModel):
    """Settings of `SecurityGroupRevert`."""

    mode: Literal["revert", "notify"] = Field("revert", description="`notify` only reports changes.")
    email: Email | None = Field(None, description="Recipient of the notifications, who must confirm the subscription.")
    restore: bool = Field(True, description="Restore approved rules that were removed or modified.")
    guard_egress: bool = Field(False, description="Guard egress rules too.")
    sweep_minutes: Annotated[int, whole_number(1, 1440)] = Field(
        5, description="Minutes between scheduled checks of all guarded groups."
    )
    max_reverts: Annotated[int, whole_number(1, 1000)] = Field(
        10,
        description="Reverts of the same change within `revert_window_hours`; then it is left in place, with an alarm.",
    )
    revert_window_hours: Annotated[int, whole_number(1, 168)] = Field(
        24, description="Hours for which reverts of a change are counted, from the first one."
    )
    break_glass_principals: Annotated[tuple[PrincipalArn, ...], Field(max_length=MAX_BREAK_GLASS_PRINCIPALS)] = Field(
        (), description="Roles and users whose added and removed rules are reverted only after `break_glass_minutes`."
    )
    break_glass_minutes: Annotated[int, whole_number(1, MAX_BREAK_GLASS_MINUTES)] = Field(
        60, description="Minutes, from the call, until break-glass changes are reverted."
    )
    sample_group: bool = Field(
        True, description="Create the original post's Web Server group (HTTPS from anywhere) and guard it."
    )
    vpc_id: VpcId | None = Field(None, description="VPC of the sample group; default: the default VPC.")
    groups: Annotated[tuple[GuardedGroup, ...], Field(max_length=MAX_GROUPS)] = Field(
        (), description="Existing groups to guard, with their approved rules."
    )
    rules_per_group: Annotated[int, whole_number(1, MAX_RULES_QUOTA)] = Field(
        60, description="Your quota of inbound or outbound rules per security group."
    )
    create_trail: bool = Field(
        False, description="Create a CloudTrail trail. EventBridge receives API calls only through a trail."
    )
    log_level: Literal["INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Lowest level of the function's log messages. Metrics do not depend on it."
    )

    def conflicts(self) -> Iterator[Conflict]:
        """Yield conflicts between groups, rules and the other settings."""
        ids = [group.group_id for group in self.groups]
        repeated = sorted({group_id for group_id in ids if ids.count(group_id) > 1})
        if repeated:
            yield Conflict("groups", f"has {', '.join(repeated)} more than once")
        if "break_glass_minutes" in self.model_fields_set and not self.break_glass_principals:
            yield Conflict("break_glass_minutes", "has no effect without {break_glass_principals}")
        if not self.groups and not self.sample_group:
            yield Conflict("sample_group", "needs at least one group in {groups}")
        if self.vpc_id and not self.sample_group:
            yield Conflict("vpc_id", "has no effect with {sample_group}")
        rules = sum(len(group.ingress) + len(group.egress) for group in self.groups)
        if rules > MAX_TOTAL_RULES:
            yield Conflict("groups", f"has {rules} rules (valid: at most {MAX_TOTAL_RULES} rules in all groups)")
        for group in self.groups:
            if "egress" in group.model_fields_set and not self.guard_egress:
                yield Conflict(
                    "groups", f"has egress rules for {group.group_id}, which have no effect with {{guard_egress}}"
                )
            for direction in ("ingress", "egress"):
                yield from self._over_quota(group, direction)

    def _over_quota(self, group: GuardedGroup, direction: str) -> Iterator[Conflict]:
        for family in ("cidr_ipv4", "cidr_ipv6"):
            count = sum(rule.counts_for(family) for rule in getattr(group, direction))
            if count > self.rules_per_group:
                text = (
                    f"has {count} {direction} rules for {family} in {group.group_id}; EC2 accepts {{rules_per_group}}"
                )
                yield Conflict("groups", text)
