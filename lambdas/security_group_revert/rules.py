"""Security group rules as value objects, and the plan of changes that restores the approved rules.

Source of the field names and of how EC2 normalizes rules (canonical CIDRs, ports of protocols
without ports): EC2 API reference, SecurityGroupRule and SecurityGroupRuleRequest.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from typing import TYPE_CHECKING, Self, cast

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import IpPermissionTypeDef, SecurityGroupRuleRequestTypeDef

SOURCES = ("CidrIpv4", "CidrIpv6", "PrefixListId", "ReferencedGroupId")
PROTOCOL_NAMES = {"6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6"}
WITH_PORTS = ("tcp", "udp", "icmp", "icmpv6")


@dataclass(frozen=True)
class Rule:
    """One rule of a security group.

    Two rules are equal if EC2 would reject the second as a duplicate: description and ID are ignored.
    """

    is_egress: bool
    protocol: str
    from_port: int
    to_port: int
    source_type: str
    source: str
    account: str | None = field(default=None, compare=False)
    description: str | None = field(default=None, compare=False)
    rule_id: str | None = field(default=None, compare=False)

    @classmethod
    def from_describe(cls, item: Mapping[str, object]) -> Self:
        """Read a rule of DescribeSecurityGroupRules; never raises ValueError.

        An unknown source type cannot be approved, so the rule's ID is used as its source.
        """
        try:
            return cls.from_api(item)
        except (ArithmeticError, AttributeError, TypeError, ValueError):
            rule_id = str(item["SecurityGroupRuleId"])
            protocol = str(item.get("IpProtocol", "-1"))
            return cls(bool(item.get("IsEgress")), protocol, -1, -1, "unknown", rule_id, rule_id=rule_id)

    @classmethod
    def from_api(cls, item: Mapping[str, object], *, is_egress: bool | None = None) -> Self:
        """Read a rule with the API's field names: `SecurityGroupRule` or `SecurityGroupRuleRequest`.

        Raises:
            ValueError: the source is missing or not a string.
            TypeError: a port or ReferencedGroupInfo has another type than EC2's.
        """
        reference = item.get("ReferencedGroupInfo") or {}
        if not isinstance(reference, Mapping):
            raise TypeError(f"ReferencedGroupInfo is not an object: {reference!r}")
        values = {**item, "ReferencedGroupId": item.get("ReferencedGroupId") or reference.get("GroupId")}
        source_type = next((name for name in SOURCES if values.get(name)), None)
        if source_type is None:
            raise ValueError(f"rule without a source: {sorted(item)}")
        source, account = values[source_type], reference.get("UserId")
        if not isinstance(source, str):
            raise ValueError(f"{source_type} is not a string: {source!r}")
        if source_type == "ReferencedGroupId" and "/" in source:
            account, source = source.split("/")
        if source_type.startswith("Cidr"):
            source = str(ip_network(source, strict=False))
        protocol = str(item.get("IpProtocol", "-1")).lower()
        protocol = PROTOCOL_NAMES.get(protocol, protocol)
        has_ports = protocol in WITH_PORTS
        return cls(
            is_egress=bool(item.get("IsEgress", is_egress)),
            protocol=protocol,
            from_port=_port(item.get("FromPort")) if has_ports else -1,
            to_port=_port(item.get("ToPort")) if has_ports else -1,
            source_type=source_type,
            source=source,
            account=account,
            description=_text(item.get("Description")),
            rule_id=_text(item.get("SecurityGroupRuleId")),
        )

    def as_request(self) -> "SecurityGroupRuleRequestTypeDef":
        """Return the rule as a complete `SecurityGroupRuleRequest`, because EC2 clears missing fields."""
        request = {
            "IpProtocol": self.protocol,
            "FromPort": self.from_port,
            "ToPort": self.to_port,
            self.source_type: self.source,
            "Description": self.description or "",
        }
        return cast("SecurityGroupRuleRequestTypeDef", request)  # its keys depend on the rule

    def as_permission(self) -> "IpPermissionTypeDef":
        """Return the rule as an `IpPermission` with one source."""
        account = {"UserId": self.account} if self.account else {}
        sources = {
            "CidrIpv4": ("IpRanges", {"CidrIp": self.source}),
            "CidrIpv6": ("Ipv6Ranges", {"CidrIpv6": self.source}),
            "PrefixListId": ("PrefixListIds", {"PrefixListId": self.source}),
            "ReferencedGroupId": ("UserIdGroupPairs", {"GroupId": self.source} | account),
        }
        name, source = sources[self.source_type]
        description = {"Description": self.description} if self.description else {}
        ports = {"FromPort": self.from_port, "ToPort": self.to_port} if self.protocol in WITH_PORTS else {}
        permission = {"IpProtocol": self.protocol, name: [source | description], **ports}
        return cast("IpPermissionTypeDef", permission)  # its keys depend on the rule

    @property
    def identity(self) -> str:
        """Return a text without description and ID, which is the same for equal rules."""
        return str(replace(self, description=None))

    def __str__(self) -> str:
        direction = "outbound" if self.is_egress else "inbound"
        preposition = "to" if self.is_egress else "from"
        text = f"{direction} {self._traffic()} {preposition} {self.source}"
        return f'{text} "{self.description}"' if self.description else text

    def _traffic(self) -> str:
        if self.protocol == "-1":
            return "all traffic"
        if self.protocol not in WITH_PORTS:
            return f"protocol {self.protocol}"
        name, ports = self.protocol.upper(), (self.from_port, self.to_port)
        if self.protocol.startswith("icmp"):
            return name if ports[0] == -1 else f"{name} type {ports[0]} code {ports[1]}"
        if ports == (0, 65535):
            return f"{name} all ports"
        return f"{name} {ports[0]}" if ports[0] == ports[1] else f"{name} {ports[0]}-{ports[1]}"


def _port(value: object) -> int:
    if value is None:
        return -1
    if not isinstance(value, (int, float, str)):
        raise TypeError(f"not a port: {value!r}")
    return int(value)


def _text(value: object) -> str | None:
    return str(value) if value else None


@dataclass(frozen=True)
class Plan:
    """Changes that restore the approved rules; pairs are (existing, approved)."""

    revokes: tuple[Rule, ...] = ()
    modifications: tuple[tuple[Rule, Rule], ...] = ()  # the rule keeps its ID
    descriptions: tuple[tuple[Rule, Rule], ...] = ()
    restores: tuple[Rule, ...] = ()


def plan(existing: Iterable[Rule], approved: Iterable[Rule], optional: Iterable[Rule] = (), *, restore: bool) -> Plan:
    """Compare the rules of a group with the approved ones.

    A rule that is neither approved nor optional is revoked, or modified if it looks like an approved
    rule that someone edited. Without `restore` every unapproved rule is revoked, and missing rules
    are still part of the plan, to be reported.
    """
    rules = list(existing)
    existing_set = set(rules)
    approved_by_rule = {rule: rule for rule in approved}
    accepted = approved_by_rule.keys() | set(optional)
    unapproved = [rule for rule in rules if rule not in accepted]
    modifications, restores = [], []
    edits = _Edits(unapproved if restore else [])
    for missing in (rule for rule in approved_by_rule if rule not in existing_set):
        edited = edits.take(missing)
        if edited is None:
            restores.append(missing)
        else:
            modifications.append((edited, replace(missing, description=missing.description or edited.description)))
    unapproved = [rule for index, rule in enumerate(unapproved) if index not in edits.taken]
    descriptions = [
        (rule, approved_by_rule[rule])
        for rule in rules
        if rule in approved_by_rule and approved_by_rule[rule].description not in (None, rule.description)
    ]
    return Plan(tuple(unapproved), tuple(modifications), tuple(descriptions), tuple(restores))


class _Edits:
    """The unapproved rules that look like an edited approved rule, each of which is found once.

    Only rules with IP ranges: modifying a rule that refers to a group or a prefix list would need permissions on
    those as well. Two indexes keep the time linear.
    """

    def __init__(self, unapproved: list[Rule]) -> None:
        self.taken: set[int] = set()
        self._rules = unapproved
        self._indexes: dict[object, deque[int]] = {}
        for index, rule in enumerate(unapproved):
            for key in _edit_keys(rule):
                self._indexes.setdefault(key, deque()).append(index)

    def take(self, approved: Rule) -> Rule | None:
        """Return the first rule with the approved rule's source type, as EC2 requires, and its source or traffic."""
        indexes = [index for key in _edit_keys(approved) if (index := self._first(key)) is not None]
        if not indexes:
            return None
        self.taken.add(min(indexes))
        return self._rules[min(indexes)]

    def _first(self, key: object) -> int | None:
        indexes = self._indexes.get(key, deque())
        while indexes and indexes[0] in self.taken:
            indexes.popleft()
        return indexes[0] if indexes else None


def _edit_keys(rule: Rule) -> tuple[object, ...]:
    if not rule.source_type.startswith("Cidr"):
        return ()
    direction_and_type = rule.is_egress, rule.source_type
    return (*direction_and_type, rule.source), (*direction_and_type, _traffic(rule))


def _traffic(rule: Rule) -> tuple[str, int, int]:
    return rule.protocol, rule.from_port, rule.to_port
