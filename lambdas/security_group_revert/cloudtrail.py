"""Read changes to security group rules from CloudTrail records.

EventBridge delivers the record as `detail` of an "AWS API Call via CloudTrail" event. Records of
the same call differ: parameters can be flat (`cidrIp`, `fromPort` at the top) or in `ipPermissions`,
a single element is an object instead of a list, and a group can be identified by name. The rules are
read from the response, or from the request if the response has none.
Source: CloudTrail user guide, record contents; EC2 API reference.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from .events import CloudTrailRecord, Json, JsonObject, UserIdentity
from .rules import Rule

GROUP_ID = re.compile(r"sg-[0-9a-f]+")
ENDPOINT_ID = re.compile(r"vpce-[0-9a-f]+")
INSTANCE_ID = re.compile(r"\bi-[0-9a-f]+")
INTERFACE_ID = re.compile(r"\beni-[0-9a-f]+")
PREFIX_LIST_ID = re.compile(r"pl-[0-9a-f]+")
# Calls that don't change rules, but change what existing rules apply to.
PREFIX_LIST_EVENTS = frozenset(
    {
        *("ModifyManagedPrefixList", "RestoreManagedPrefixListVersion"),
        # IPAM then updates the prefix list.
        *("CreateIpamPrefixListResolverTarget", "ModifyIpamPrefixListResolverTarget"),
    }
)
# Services through which a caller can make any call, such as CloudFormation and Systems Manager, are not among them.
SCALING_SERVICES = frozenset(
    f"{name}.amazonaws.com" for name in ("autoscaling", "ec2fleet", "ecs", "spot", "spotfleet")
)
SCALING_CALLS = ("AttachNetworkInterface", "CreateNetworkInterface", "RunInstances")
INTERFACE_EVENTS = frozenset(
    {
        *("AttachNetworkInterface", "CreateNetworkInterface", "ModifyInstanceAttribute"),
        *("ModifyNetworkInterfaceAttribute", "RunInstances"),
        # Another account can then attach the interface to its instance.
        "CreateNetworkInterfacePermission",
        *("ImportInstance", "RequestSpotFleet", "RequestSpotInstances", "RunScheduledInstances"),
        # Endpoints, for which EC2 creates network interfaces. Some of them allow connections from outside the VPC.
        *("ApplySecurityGroupsToClientVpnTargetNetwork", "CreateClientVpnEndpoint", "ModifyClientVpnEndpoint"),
        *("CreateInstanceConnectEndpoint", "ModifyInstanceConnectEndpoint", "CreateVerifiedAccessEndpoint"),
        *("CreateVpcEndpoint", "ModifyVpcEndpoint"),
        # EC2 creates interfaces that send health checks.
        *("CreateApplicationStatusCheck", "ModifyApplicationStatusCheck"),
    }
)


@dataclass(frozen=True)
class Call:
    """An API call and its caller. All values are copied from the record, so they are untrusted input."""

    event_id: str
    request_id: str  # as in the response to the call
    event_name: str
    caller: str
    session_name: str  # chosen by the caller; empty without a role session
    source_identity: str
    access_key_id: str
    source_ip: str
    user_agent: str
    time: str

    @property
    def timestamp(self) -> float:
        """Return the time of the call in seconds since the epoch, or infinity if the record has none."""
        try:
            return datetime.fromisoformat(self.time).timestamp()
        except ValueError:
            return float("inf")


@dataclass(frozen=True)
class Change:
    """One API call that changed security group rules."""

    call: Call
    group_ids: frozenset[str]  # empty if the record has no group IDs, or has them in an unknown format
    rule_ids: frozenset[str]
    added: tuple[Rule, ...]  # as the call added or changed them
    removed: tuple[Rule, ...]
    principal: str = ""  # ARN of the role or user, with its path; empty for any other kind of caller

    @cached_property
    def _rules(self) -> frozenset[Rule]:
        return frozenset(self.added + self.removed)

    def refers_to(self, rule: Rule) -> bool:
        """Return whether the record names the rule."""
        return rule.rule_id in self.rule_ids or rule in self._rules


def read_change(record: CloudTrailRecord) -> Change | None:
    """Read a CloudTrail record. Return None for a call that failed or was a dry run."""
    if record.get("errorCode"):
        return None
    name = str(record.get("eventName", ""))
    request = _object(_capitalize_keys(record.get("requestParameters") or {}))
    response = _object(_capitalize_keys(record.get("responseElements") or {}))
    request |= _object(request.pop(f"{name}Request", None) or {})  # newer calls nest their parameters
    is_egress = name.endswith("Egress")
    response_rules = _items(response.get("SecurityGroupRuleSet")) + _items(response.get("RevokedSecurityGroupRuleSet"))
    updates = _items(request.get("SecurityGroupRule")) + _items(request.get("SecurityGroupRuleDescription"))
    ids: list[JsonObject] = [{"SecurityGroupRuleId": i} for i in _list(request.get("SecurityGroupRuleIds"))]
    rules = tuple(_rules([*(response_rules or _request_rules(request)), *map(_flatten, updates)], is_egress))
    removes = name.startswith("Revoke")
    return Change(
        call=read_call(record),
        group_ids=_group_ids([request, *response_rules]),
        rule_ids=frozenset(_rule_id(item) for item in response_rules + updates + ids) - {""},
        added=() if removes else rules,
        removed=rules if removes else (),
        principal=_principal(record.get("userIdentity") or {}),
    )


def read_call(record: CloudTrailRecord) -> Call:
    """Read the call and its caller from a CloudTrail record."""
    identity = record.get("userIdentity") or {}
    caller, session_name = _caller(identity)
    return Call(
        event_id=str(record.get("eventID", "")),
        request_id=str(record.get("requestID", "")),
        event_name=str(record.get("eventName", "")),
        caller=caller,
        session_name=session_name,
        source_identity=str((identity.get("sessionContext") or {}).get("sourceIdentity") or ""),
        access_key_id=str(identity.get("accessKeyId") or ""),
        source_ip=str(record.get("sourceIPAddress", "unknown")),
        user_agent=str(record.get("userAgent", "unknown")),
        time=str(record.get("eventTime", "unknown")),
    )


def referenced_ids(record: CloudTrailRecord) -> tuple[frozenset[str], frozenset[str]]:
    """Return the IDs of security groups and of prefix lists anywhere in a record, in any format."""
    text = json.dumps([record.get("requestParameters"), record.get("responseElements")])
    return frozenset(GROUP_ID.findall(text)), frozenset(PREFIX_LIST_ID.findall(text))


def modified_endpoint_ids(record: CloudTrailRecord) -> list[str]:
    """Return the VPC endpoint whose groups ModifyVpcEndpoint changed; the record has only the changed groups."""
    text = json.dumps(record.get("requestParameters"))
    is_change = record.get("eventName") == "ModifyVpcEndpoint" and GROUP_ID.search(text)
    return sorted(set(ENDPOINT_ID.findall(text))) if is_change else []


def attachment_filters(record: CloudTrailRecord) -> list[tuple[str, str]]:
    """Return filters, name and value, for the interfaces that a call attaches, or lets another account attach.

    The records of these calls have no groups.
    """
    if record.get("eventName") not in ("AttachNetworkInterface", "CreateNetworkInterfacePermission"):
        return []
    text = json.dumps(record.get("requestParameters"))
    patterns = {"attachment.instance-id": INSTANCE_ID, "network-interface-id": INTERFACE_ID}
    return [(name, value) for name, pattern in patterns.items() for value in sorted(set(pattern.findall(text)))]


def is_scaling(record: CloudTrailRecord) -> bool:
    """Return whether a service made the call that starts instances or tasks whenever the load changes."""
    return (record.get("userIdentity") or {}).get("invokedBy") in SCALING_SERVICES


def _group_ids(items: list[JsonObject]) -> frozenset[str]:
    ids = frozenset(str(item["GroupId"]) for item in items if item.get("GroupId"))
    return ids if all(map(GROUP_ID.fullmatch, ids)) else frozenset()


def _capitalize_keys(value: Json) -> Json:
    """Capitalize all keys, because records of older calls have `groupId` instead of `GroupId`."""
    if isinstance(value, dict):
        return {key[:1].upper() + key[1:]: _capitalize_keys(inner) for key, inner in value.items()}
    return [_capitalize_keys(inner) for inner in value] if isinstance(value, list) else value


def _object(value: Json) -> JsonObject:
    """Return the value, which must be an object; raises TypeError otherwise."""
    if not isinstance(value, dict):
        raise TypeError(f"not an object: {value!r}")
    return value


def _items(value: Json) -> list[JsonObject]:
    return [_object(item) for item in _list(value)]


def _list(value: Json) -> list[Json]:
    """Return a list: one element is recorded as itself, several as a list or `items`, none as null or ``{}``."""
    if isinstance(value, dict) and "Items" in value:
        value = value["Items"]
    if not value:
        return []
    return value if isinstance(value, list) else [value]


def _rule_id(item: JsonObject) -> str:
    rule_id = item.get("SecurityGroupRuleId") or ""
    return str(rule_id["SecurityGroupRuleId"] if isinstance(rule_id, dict) else rule_id)


def _flatten(update: JsonObject) -> JsonObject:
    """Merge the nested values of a ModifySecurityGroupRules update into the level that contains the rule ID."""
    inner = update.get("SecurityGroupRule")
    return {**update, **inner} if isinstance(inner, dict) else update


def _request_rules(request: JsonObject) -> Iterator[JsonObject]:
    """Yield the rules in a request, one for each source."""
    for permission in [request, *_items(request.get("IpPermissions"))]:
        sources: list[JsonObject] = [{"CidrIpv4": permission.get("CidrIp")}]
        sources += [{"CidrIpv4": i.get("CidrIp")} for i in _items(permission.get("IpRanges"))]
        sources += [{"CidrIpv6": i.get("CidrIpv6")} for i in _items(permission.get("Ipv6Ranges"))]
        sources += [{"PrefixListId": i.get("PrefixListId")} for i in _items(permission.get("PrefixListIds"))]
        sources += [{"ReferencedGroupId": i.get("GroupId")} for i in _items(permission.get("Groups"))]
        for source in sources:
            yield {key: permission.get(key) for key in ("IpProtocol", "FromPort", "ToPort")} | source


def _rules(items: list[JsonObject], is_egress: bool) -> Iterator[Rule]:
    for item in items:
        try:
            yield Rule.from_api({"IsEgress": is_egress, **item})
        except ValueError:
            continue  # an unknown format; the group itself is still compared


def _principal(identity: UserIdentity) -> str:
    """Return the ARN of the role or user. Federated users have neither: their names are chosen by others."""
    match identity.get("type"):
        case "AssumedRole":
            issuer = (identity.get("sessionContext") or {}).get("sessionIssuer") or {}
            return str(issuer.get("arn") or "")
        case "IAMUser":
            return str(identity.get("arn") or "")
        case _:
            return ""


def _caller(identity: UserIdentity) -> tuple[str, str]:
    """Return the caller without the session name, and the session name."""
    names = (identity.get(key) for key in ("arn", "userName", "principalId", "invokedBy", "type"))
    caller, session_name = str(next((name for name in names if name), "unknown")), ""
    if ":assumed-role/" in caller:
        caller, _, session_name = caller.rpartition("/")
    invoked_by = identity.get("invokedBy")
    return (f"{caller} through {invoked_by}" if invoked_by and invoked_by != caller else caller), session_name
