"""What a CloudTrail record says of a change to security group rules.

EventBridge delivers the record as `detail` of an "AWS API Call via CloudTrail" event. The
same call comes in several forms: flat (`cidrIp`, `fromPort` at the top) or `ipPermissions`,
an object where there is one and a list where there are several, a group name in place of
its id. The rules are read from the response where it has them, else from the request.
Source: CloudTrail user guide, record contents; EC2 API reference.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .rules import Rule

GROUP_ID = re.compile(r"sg-[0-9a-f]+")
PREFIX_LIST_ID = re.compile(r"pl-[0-9a-f]+")
# Calls that change whom rules apply to, and no rule.
PREFIX_LIST_EVENTS = frozenset({"ModifyManagedPrefixList", "RestoreManagedPrefixListVersion"})
INTERFACE_EVENTS = frozenset(
    {
        *("CreateNetworkInterface", "ModifyInstanceAttribute", "ModifyNetworkInterfaceAttribute", "RunInstances"),
        # Endpoints, whose interfaces EC2 makes. Through some of them people connect from outside of the VPC.
        *("ApplySecurityGroupsToClientVpnTargetNetwork", "CreateClientVpnEndpoint", "ModifyClientVpnEndpoint"),
        *("CreateInstanceConnectEndpoint", "ModifyInstanceConnectEndpoint", "CreateVerifiedAccessEndpoint"),
        *("CreateVpcEndpoint", "ModifyVpcEndpoint"),
    }
)


@dataclass(frozen=True)
class Call:
    """One API call: which, and who made it. All texts are as the record has them, so not to be trusted."""

    event_id: str
    event_name: str
    who: str
    session_name: str  # which the caller chose; empty for a call without a role session
    source_identity: str
    access_key_id: str
    source_ip: str
    user_agent: str
    when: str

    @property
    def timestamp(self) -> float:
        """When the call was made, in seconds since the epoch; infinity when the record does not say."""
        try:
            return datetime.fromisoformat(self.when).timestamp()
        except ValueError:
            return float("inf")


@dataclass(frozen=True)
class Change:
    """One API call that changed security group rules."""

    call: Call
    group_ids: frozenset[str]  # empty when the record does not say, or not in a form known here
    rule_ids: frozenset[str]
    added: tuple[Rule, ...]  # rules as the call left them
    removed: tuple[Rule, ...]  # rules that the call took away

    def concerns(self, rule: Rule) -> bool:
        return rule.rule_id in self.rule_ids or rule in self.added or rule in self.removed


def read_change(record: dict[str, Any]) -> Change | None:
    """Read a CloudTrail record; None for a call that failed or was a dry run."""
    if record.get("errorCode"):
        return None
    name = str(record.get("eventName", ""))
    request = _capitalized(record.get("requestParameters") or {})
    response = _capitalized(record.get("responseElements") or {})
    request |= request.pop(f"{name}Request", None) or {}  # the newer calls are one level down
    is_egress = name.endswith("Egress")
    answered = _items(response.get("SecurityGroupRuleSet")) + _items(response.get("RevokedSecurityGroupRuleSet"))
    updated = _items(request.get("SecurityGroupRule")) + _items(request.get("SecurityGroupRuleDescription"))
    named = [{"SecurityGroupRuleId": rule_id} for rule_id in _items(request.get("SecurityGroupRuleIds"))]
    rules = tuple(_rules([*(answered or _requested(request)), *map(_flattened, updated)], is_egress))
    removes = name.startswith("Revoke")
    return Change(
        call=read_call(record),
        group_ids=_group_ids([request, *answered]),
        rule_ids=frozenset(_rule_id(item) for item in answered + updated + named) - {""},
        added=() if removes else rules,
        removed=rules if removes else (),
    )


def read_call(record: dict[str, Any]) -> Call:
    """Read which call a CloudTrail record is about, and who made it."""
    identity = record.get("userIdentity") or {}
    who, session_name = _who(identity)
    return Call(
        event_id=str(record.get("eventID", "")),
        event_name=str(record.get("eventName", "")),
        who=who,
        session_name=session_name,
        source_identity=str((identity.get("sessionContext") or {}).get("sourceIdentity") or ""),
        access_key_id=str(identity.get("accessKeyId") or ""),
        source_ip=str(record.get("sourceIPAddress", "unknown")),
        user_agent=str(record.get("userAgent", "unknown")),
        when=str(record.get("eventTime", "unknown")),
    )


def named_ids(record: dict[str, Any]) -> tuple[frozenset[str], frozenset[str]]:
    """The security groups and the prefix lists that a record names anywhere, in whatever form."""
    text = json.dumps([record.get("requestParameters"), record.get("responseElements")])
    return frozenset(GROUP_ID.findall(text)), frozenset(PREFIX_LIST_ID.findall(text))


def made_by_service(record: dict[str, Any]) -> bool:
    """Whether an AWS service made the call by itself, such as Auto Scaling that starts an instance."""
    return str((record.get("userIdentity") or {}).get("invokedBy", "")).endswith(".amazonaws.com")


def _group_ids(items: list[dict[str, Any]]) -> frozenset[str]:
    ids = frozenset(str(item["GroupId"]) for item in items if item.get("GroupId"))
    return ids if all(map(GROUP_ID.fullmatch, ids)) else frozenset()


def _capitalized(value: Any) -> Any:
    """CloudTrail writes `groupId` for older calls and `GroupId` for newer ones: make it one."""
    if isinstance(value, dict):
        return {key[:1].upper() + key[1:]: _capitalized(inner) for key, inner in value.items()}
    return [_capitalized(inner) for inner in value] if isinstance(value, list) else value


def _items(value: Any) -> list[Any]:
    """One element comes as itself, several as a list or as `items`, none as nothing or ``{}``."""
    if isinstance(value, dict) and "Items" in value:
        value = value["Items"]
    if not value:
        return []
    return value if isinstance(value, list) else [value]


def _rule_id(item: dict[str, Any]) -> str:
    rule_id = item.get("SecurityGroupRuleId") or ""
    return rule_id["SecurityGroupRuleId"] if isinstance(rule_id, dict) else str(rule_id)


def _flattened(update: dict[str, Any]) -> dict[str, Any]:
    """ModifySecurityGroupRules nests the new values below the id of the rule."""
    inner = update.get("SecurityGroupRule")
    return {**update, **inner} if isinstance(inner, dict) else update


def _requested(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The rules that a request names, one for each source."""
    for permission in [request, *_items(request.get("IpPermissions"))]:
        sources = [{"CidrIpv4": permission.get("CidrIp")}]
        sources += [{"CidrIpv4": i.get("CidrIp")} for i in _items(permission.get("IpRanges"))]
        sources += [{"CidrIpv6": i.get("CidrIpv6")} for i in _items(permission.get("Ipv6Ranges"))]
        sources += [{"PrefixListId": i.get("PrefixListId")} for i in _items(permission.get("PrefixListIds"))]
        sources += [{"ReferencedGroupId": i.get("GroupId")} for i in _items(permission.get("Groups"))]
        for source in sources:
            yield {key: permission.get(key) for key in ("IpProtocol", "FromPort", "ToPort")} | source


def _rules(items: list[dict[str, Any]], is_egress: bool) -> Iterator[Rule]:
    for item in items:
        try:
            yield Rule.from_api({"IsEgress": is_egress, **item})
        except ValueError:
            continue  # a form not known here; the group itself is compared all the same


def _who(identity: dict[str, Any]) -> tuple[str, str]:
    """The caller without the name of the session, and that name."""
    names = (identity.get(key) for key in ("arn", "userName", "principalId", "invokedBy", "type"))
    who, session_name = str(next((name for name in names if name), "unknown")), ""
    if ":assumed-role/" in who:
        who, _, session_name = who.rpartition("/")
    invoked_by = identity.get("invokedBy")
    return (f"{who} through {invoked_by}" if invoked_by and invoked_by != who else who), session_name
