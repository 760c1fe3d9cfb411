"""Typed settings of the five systems, read from CDK context.

Each setting is one flat context key, ``<system>:<field>``, given in `cdk.json` under
``context`` or on the command line: ``cdk deploy SecurityGroupRevert -c
security_group_revert:email=ops@example.com``. Lists and objects given on the command
line are JSON. This is the only module that reads CDK context; it never calls AWS.
"""

import ipaddress
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

OUR_KEY = re.compile(r"[a-z_]+:[a-z_]+")
SECURITY_GROUP_ID = r"^sg-([0-9a-f]{8}|[0-9a-f]{17})$"
NAMED_PROTOCOLS = {"6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6", "all": "-1"}


class SettingsError(Exception):
    """Everything that is wrong with the settings, as one text for a person to read."""


class Section(BaseModel):
    """What all sections share: they cannot be changed and accept no unknown field."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _canonical_cidr(value: Any) -> Any:
    """EC2 stores ``10.1.2.3/8`` as ``10.0.0.0/8``; an approved rule is held the same way."""
    try:
        return str(ipaddress.ip_network(value, strict=False))
    except ValueError:
        raise ValueError("an IP range in CIDR notation, such as 203.0.113.0/24 or 2001:db8::/32") from None


def _protocol(value: Any) -> Any:
    text = str(value).lower()
    return NAMED_PROTOCOLS.get(text, text)


Port = Annotated[int, Field(ge=-1, le=65535)]
Cidr = Annotated[str, BeforeValidator(_canonical_cidr)]


class ApprovedRule(Section):
    """One approved rule of a security group, in the words of EC2's ``SecurityGroupRule``.

    Exactly one of ``cidr_ipv4``, ``cidr_ipv6``, ``prefix_list_id`` and
    ``referenced_group_id`` says where traffic comes from (ingress) or goes to (egress). For
    ICMP the ports are type and code, -1 for all. A rule with a ``description`` is approved
    with that description only; without one, any description will do.
    """

    ip_protocol: Annotated[str, BeforeValidator(_protocol), Field(pattern=r"^(-1|tcp|udp|icmp|icmpv6|\d{1,3})$")]
    from_port: Port | None = None
    to_port: Port | None = None
    cidr_ipv4: Cidr | None = None
    cidr_ipv6: Cidr | None = None
    prefix_list_id: Annotated[str, Field(pattern=r"^pl-[0-9a-f]{8,17}$")] | None = None
    referenced_group_id: Annotated[str, Field(pattern=r"^(\d{12}/)?sg-[0-9a-f]{8,17}$")] | None = None
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


ALL_EGRESS = (ApprovedRule(ip_protocol="-1", cidr_ipv4="0.0.0.0/0"),)


class GuardedGroup(Section):
    """A security group that exists already, and the rules approved for it."""

    group_id: Annotated[str, Field(pattern=SECURITY_GROUP_ID)]
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
    email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")] | None = Field(
        None, description="Who gets the notices. AWS asks for a confirmation first."
    )
    restore: bool = Field(True, description="Put back approved rules that were removed or edited.")
    egress: bool = Field(False, description="Guard egress rules too.")
    sweep_minutes: Annotated[int, Field(ge=1, le=1440)] = Field(
        5, description="How often every guarded group is checked without an event."
    )
    sample_group: bool = Field(
        True, description="Create the post's Web Server group (HTTPS from anywhere) and guard it."
    )
    vpc_id: Annotated[str, Field(pattern=r"^vpc-([0-9a-f]{8}|[0-9a-f]{17})$")] | None = Field(
        None, description="VPC of the sample group; without it, the default VPC."
    )
    groups: tuple[GuardedGroup, ...] = Field((), description="Groups that exist already, each with its approved rules.")
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
        return self


class StaticSiteSettings(Section):
    """Settings of `StaticSite`."""

    site: str = Field("samples/static_site/site", description="Folder with the site to deploy.")
    without_slash: Literal["redirect", "rewrite"] = Field(
        "redirect", description="What `/docs` gets: a redirect to `/docs/`, or its index page at once."
    )
    redirect_status: Literal[301, 308] = Field(308, description="Status of redirects; 308 keeps the method.")
    canonical: bool = Field(False, description="Redirect `/docs/index.html` to `/docs/`.")
    files: tuple[Annotated[str, Field(pattern=r"^/")], ...] = Field(
        (), description="Files without an extension, such as `/LICENSE`."
    )
    caching: bool = Field(True, description="`false` is the post's TTL of 0: every request goes to the bucket.")
    content_security_policy: str = Field(
        "default-src 'self'; frame-ancestors 'none'; base-uri 'self'; form-action 'self'; object-src 'none'",
        description="The Content-Security-Policy header of every answer.",
    )
    domain_name: Annotated[str, Field(pattern=r"^([a-z0-9-]+\.)+[a-z]{2,}$")] | None = Field(
        None, description="Domain name of the site; needs hosted_zone_id and hosted_zone_name."
    )
    hosted_zone_id: Annotated[str, Field(pattern=r"^Z[A-Z0-9]+$")] | None = Field(
        None, description="Route 53 hosted zone of the domain name."
    )
    hosted_zone_name: Annotated[str, Field(pattern=r"^([a-z0-9-]+\.)+[a-z]{2,}$")] | None = Field(
        None, description="Name of that zone, such as `example.com`."
    )
    waf: bool = Field(False, description="Put a web ACL with AWS's managed rules before the site.")

    @field_validator("redirect_status", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        return int(value) if isinstance(value, str) and value.isdigit() else value

    @field_validator("site")
    @classmethod
    def _folder_with_index_page(cls, value: str) -> str:
        if not Path(value, "index.html").is_file():
            raise ValueError("a folder that has an index.html")
        return value

    @model_validator(mode="after")
    def _domain_with_its_zone(self) -> Self:
        given = [self.domain_name, self.hosted_zone_id, self.hosted_zone_name]
        if any(given) and not all(given):
            raise ValueError("domain_name, hosted_zone_id and hosted_zone_name together, or none of them")
        name, zone = self.domain_name, self.hosted_zone_name
        if name and zone and name != zone and not name.endswith(f".{zone}"):
            raise ValueError("a domain_name in the zone hosted_zone_name")
        return self


class Settings(Section):
    """The settings of the whole application, one section a system."""

    static_site: StaticSiteSettings = StaticSiteSettings()
    security_group_revert: SecurityGroupRevertSettings = SecurityGroupRevertSettings()

    @classmethod
    def from_context(cls, context: Mapping[str, Any]) -> Self:
        """Read the settings out of CDK context, as `app.node.get_all_context()` gives it.

        Keys that are not of the form ``<word>:<word>`` belong to CDK and are passed over.

        Raises:
            SettingsError: naming every key that is wrong, what was given, what is accepted.
        """
        given: dict[str, dict[str, Any]] = {}
        mistakes = []
        for key, value in context.items():
            if not OUR_KEY.fullmatch(key):
                continue
            system, field = key.split(":")
            section = cls.model_fields.get(system)
            if section is None:
                mistakes.append(f"{key}: no such system; there is {', '.join(sorted(cls.model_fields))}")
            elif field not in _fields_of(section):
                mistakes.append(f"{key}: no such setting; there is {', '.join(_fields_of(section))}")
            else:
                given.setdefault(system, {})[field] = _parsed(value)
        try:
            settings = cls.model_validate(given)
        except ValidationError as error:
            mistakes += [_mistake(detail) for detail in error.errors()]
        if mistakes:
            raise SettingsError("\n".join(["Wrong settings:", *(f"  {line}" for line in mistakes)]))
        return settings


def _fields_of(section: Any) -> list[str]:
    return list(section.annotation.model_fields)


def _parsed(value: Any) -> Any:
    """`-c` gives every value as text; an object or a list is JSON there."""
    if isinstance(value, str) and value.strip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _mistake(detail: Any) -> str:
    system, *path = detail["loc"]
    key = f"{system}:{path[0]}" if path else str(system)
    inner = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path[1:])
    message = detail["msg"].removeprefix("Value error, ")
    given = "" if detail["type"] == "missing" or not path else f" given {_short(detail['input'])};"
    return f"{key}{inner}:{given} accepted: {_accepted(detail, message)}"


def _accepted(detail: Any, message: str) -> str:
    if detail["type"] == "string_pattern_mismatch":
        return f"text of the form {detail['ctx']['pattern']}"
    if detail["type"] == "literal_error":
        return str(detail["ctx"]["expected"])
    if detail["type"].startswith("bool"):
        return "true or false"
    if detail["type"] == "extra_forbidden":
        return "no field of this name"
    return message[:1].lower() + message[1:] if message.startswith("Input") else message


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else text[:77] + "..."
