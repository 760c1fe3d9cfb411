"""Settings of `SecurityGroupRevert`, and the words for approved rules."""

import ipaddress
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from . import Email, Section, VpcId, WholeNumber, like

MAX_GROUPS = 500  # the function's role names each, in at most ten policies
MAX_RULES_IN_ALL = 20_000  # the function reads them with each event
NAMED_PROTOCOLS = {"6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6", "all": "-1"}


def _canonical_cidr(value: Any) -> Any:
    """EC2 stores ``10.1.2.3/8`` as ``10.0.0.0/8``; an approved rule is held the same way."""
    try:
        return str(ipaddress.ip_network(value, strict=False))
    except ValueError:
        raise ValueError("an IP range in CIDR notation, such as 203.0.113.0/24 or 2001:db8::/32") from None


def _protocol(value: Any) -> Any:
    text = str(value).lower()
    return NAMED_PROTOCOLS.get(text, text)


Port = Annotated[WholeNumber, Field(ge=-1, le=65535)]
Cidr = Annotated[str, BeforeValidator(_canonical_cidr)]
Protocol = Annotated[
    str,
    BeforeValidator(_protocol),
    like(
        r"-1|tcp|udp|icmp|icmpv6|1?\d{1,2}|2[0-4]\d|25[0-5]",
        "tcp, udp, icmp, icmpv6, a protocol's number (0 to 255), or -1 for all",
    ),
]
GroupId = Annotated[
    str, like(r"sg-([0-9a-f]{8}|[0-9a-f]{17})", "the id of a security group, such as sg-0123456789abcdef0")
]


class ApprovedRule(Section):
    """One approved rule of a security group, in the words of EC2's ``SecurityGroupRule``.

    Exactly one of ``cidr_ipv4``, ``cidr_ipv6``, ``prefix_list_id`` and
    ``referenced_group_id`` says where traffic comes from (ingress) or goes to (egress). For
    ICMP the ports are type and code, -1 for all. A rule with a ``description`` is approved
    with that description only; without one, any description will do.
    """

    ip_protocol: Protocol
    from_port: Port | None = None
    to_port: Port | None = None
    cidr_ipv4: Cidr | None = None
    cidr_ipv6: Cidr | None = None
    prefix_list_id: (
        Annotated[str, like(r"pl-[0-9a-f]{8,17}", "the id of a prefix list, such as pl-63a5400a")] | None
    ) = None
    referenced_group_id: Annotated[str, like(r"(\d{12}/)?sg-[0-9a-f]{8,17}", "sg-..., or <account>/sg-...")] | None = (
        None
    )
    description: Annotated[str, Field(max_length=255)] | None = None

    @model_validator(mode="after")
    def _one_source_and_right_ports(self) -> Self:
        sources = (self.cidr_ipv4, self.cidr_ipv6, self.prefix_list_id, self.referenced_group_id)
        if sum(source is not None for source in sources) != 1:
            raise ValueError("exactly one of cidr_ipv4, cidr_ipv6, prefix_list_id and referenced_group_id")
        if (self.cidr_ipv4 and ":" in self.cidr_ipv4) or (self.cidr_ipv6 and ":" not in self.cidr_ipv6):
            raise ValueError("IPv4 ranges in cidr_ipv4, IPv6 ranges in cidr_ipv6")
        if self.ip_protocol in ("tcp", "udp"):
            if self.from_port is None or self.to_port is None:
                raise ValueError(f"from_port and to_port, which {self.ip_protocol} needs")
            if not 0 <= self.from_port <= self.to_port:
                raise ValueError("ports with 0 <= from_port <= to_port <= 65535")
        return self

    def as_api(self) -> dict[str, Any]:
        """Give the rule as EC2's API names it (``SecurityGroupRuleRequest``)."""
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


# EC2 gives every new group the first, and the second where the VPC has an IPv6 CIDR block.
ALL_EGRESS = (ApprovedRule(ip_protocol="-1", cidr_ipv4="0.0.0.0/0"),)
ALL_EGRESS_IPV6 = (ApprovedRule(ip_protocol="-1", cidr_ipv6="::/0"),)


class GuardedGroup(Section):
    """A security group that exists already, and the rules approved for it."""

    group_id: GroupId
    name: Annotated[str, Field(max_length=60)] = ""
    ingress: tuple[ApprovedRule, ...] = ()
    egress: tuple[ApprovedRule, ...] = ALL_EGRESS

    @model_validator(mode="after")
    def _no_rule_twice(self) -> Self:
        for direction in ("ingress", "egress"):
            rules = [rule.model_copy(update={"description": None}) for rule in getattr(self, direction)]
            if len(set(rules)) < len(rules):
                raise ValueError(f"each {direction} rule once (a description does not make it another)")
        return self


class SecurityGroupRevertSettings(Section):
    """Settings of `SecurityGroupRevert`."""

    mode: Literal["revert", "notify"] = Field("revert", description="`notify` only reports; nothing is changed.")
    email: Email | None = Field(None, description="Who gets the notices. AWS asks for a confirmation first.")
    restore: bool = Field(True, description="Put back approved rules that were removed or edited.")
    egress: bool = Field(False, description="Guard egress rules too.")
    sweep_minutes: Annotated[WholeNumber, Field(ge=1, le=1440)] = Field(
        5, description="How often every guarded group is checked without an event."
    )
    max_reverts: Annotated[WholeNumber, Field(ge=1, le=1000)] = Field(
        10,
        description="How often the same change is reverted within revert_window_hours; then it is left, with an alarm.",
    )
    revert_window_hours: Annotated[WholeNumber, Field(ge=1, le=168)] = Field(
        24, description="How long reverts of the same change are counted, from the first one."
    )
    sample_group: bool = Field(
        True, description="Create the post's Web Server group (HTTPS from anywhere) and guard it."
    )
    vpc_id: VpcId | None = Field(None, description="VPC of the sample group; without it, the default VPC.")
    groups: Annotated[tuple[GuardedGroup, ...], Field(max_length=MAX_GROUPS)] = Field(
        (), description="Groups that exist already, each with its approved rules."
    )
    create_trail: bool = Field(
        False, description="Create a CloudTrail trail. Without a trail EventBridge sees no calls."
    )

    @model_validator(mode="after")
    def _something_to_guard(self) -> Self:
        ids = [group.group_id for group in self.groups]
        if len(set(ids)) < len(ids):
            raise ValueError("each group_id once in groups")
        if not self.groups and not self.sample_group:
            raise ValueError("at least one group in groups when sample_group is false")
        if sum(len(group.ingress) + len(group.egress) for group in self.groups) > MAX_RULES_IN_ALL:
            raise ValueError(f"at most {MAX_RULES_IN_ALL} rules in all groups")
        return self
