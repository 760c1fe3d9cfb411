"""Security group rules: the operations that describe and change them, and rules in templates.

On request of `fault_injection`, DescribeSecurityGroupRules is eventually consistent.
"""

import secrets
import time
from collections.abc import Iterator
from functools import partial
from ipaddress import ip_network
from typing import Any

from ..ministack import ec2
from ..ministack.cloudformation import add_steps, resource_handlers
from ..ministack.requests import get_account_id
from .ec2_protocol import ApiError, Request, implement

MAX_RULES = 60  # for each direction
PAGE = 1000  # rules in a response
PROTOCOL_NAMES = {"6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6"}
Rule = dict[str, Any]  # as returned by DescribeSecurityGroupRules
visibility = {"delay": 0.0}  # seconds until changes are listed; set by fault injection
_history: dict[str, list[tuple[float, list[Rule]]]] = {}  # by group: the times of its changes, and its rules before
# The list of a stored permission that contains a type of source, and the source's key in it.
RANGES = {
    "CidrIpv4": ("IpRanges", "CidrIp"),
    "CidrIpv6": ("Ipv6Ranges", "CidrIpv6"),
    "PrefixListId": ("PrefixListIds", "PrefixListId"),
    "ReferencedGroupId": ("UserIdGroupPairs", "GroupId"),
}
PERMISSION_LISTS = {False: "IpPermissions", True: "IpPermissionsEgress"}  # of a group, by the direction of the rules
DIRECTIONS = {"Ingress": False, "Egress": True}  # in names of operations and properties: whether it is egress


def install() -> None:
    """Replace the operations, check the rules of groups in templates, and add rules that are separate resources."""
    for direction, is_egress in DIRECTIONS.items():
        implement(f"AuthorizeSecurityGroup{direction}", partial(_authorize, is_egress))
        implement(f"RevokeSecurityGroup{direction}", partial(_revoke, is_egress))
        implement(f"UpdateSecurityGroupRuleDescriptions{direction}", partial(_update_descriptions, is_egress))
        resource_handlers[f"AWS::EC2::SecurityGroup{direction}"] = {
            "create": partial(_create_rule, is_egress),
            "delete": _delete_rule,
        }
    implement("ModifySecurityGroupRules", _modify)
    implement("DescribeSecurityGroupRules", _describe)
    add_steps("AWS::EC2::SecurityGroup", check=lambda _id, properties: _check_template(properties))


def _check_template(properties: dict[str, Any]) -> None:
    for direction, is_egress in DIRECTIONS.items():
        for permission in ec2.template_permissions(properties.get(f"SecurityGroup{direction}")):
            list(rules_in(permission, {"GroupId": ""}, is_egress))


def _create_rule(
    is_egress: bool, _logical_id: str, properties: dict[str, Any], _stack_name: str
) -> tuple[str, dict[str, str]]:
    group = find_group(properties["GroupId"])
    (permission,) = ec2.template_permissions([properties])
    (rule,) = rules_in(permission, group, is_egress)
    store_rules(group, [*stored_rules(group), rule])
    return rule["SecurityGroupRuleId"], {"Id": rule["SecurityGroupRuleId"]}


def _delete_rule(rule_id: str, properties: dict[str, Any]) -> None:
    group = ec2.security_groups.get(properties["GroupId"])
    if group:
        store_rules(group, [rule for rule in stored_rules(group) if rule["SecurityGroupRuleId"] != rule_id])


def find_group(group_id: str | None) -> dict[str, Any]:
    group: dict[str, Any] | None = ec2.security_groups.get(group_id)
    if group is None:
        raise ApiError("InvalidGroup.NotFound", f"The security group '{group_id}' does not exist")
    return group


def stored_rules(group: dict[str, Any]) -> list[Rule]:
    """Return the rules of a group from MiniStack's permissions, adding IDs to rules that MiniStack has created."""
    rules: list[Rule] = []
    for is_egress, key in PERMISSION_LISTS.items():
        for permission in group[key]:
            rule_id = permission.setdefault("SecurityGroupRuleId", _new_rule_id())
            rules += rules_in(permission, group, is_egress, rule_id)
    return rules


def _listed_rules(group: dict[str, Any]) -> list[Rule]:
    """Return the rules before the changes that are not yet visible."""
    since = time.time() - visibility["delay"]
    return next((rules for at, rules in _history.get(group["GroupId"], []) if at > since), stored_rules(group))


def store_rules(group: dict[str, Any], rules: list[Rule]) -> None:
    if visibility["delay"]:
        _history.setdefault(group["GroupId"], []).append((time.time(), stored_rules(group)))
    for is_egress, key in PERMISSION_LISTS.items():
        group[key] = [_permission(rule) for rule in rules if rule["IsEgress"] == is_egress]


def _permission(rule: Rule) -> dict[str, Any]:
    kind = source_type(rule)
    ranges, name = RANGES[kind]
    entry = {name: source_of(rule)} | ({"Description": rule["Description"]} if rule.get("Description") else {})
    entry |= {"UserId": get_account_id()} if kind == "ReferencedGroupId" else {}
    ports = {name: rule[name] for name in ("FromPort", "ToPort") if rule["IpProtocol"] in PROTOCOL_NAMES.values()}
    lists: dict[str, list[Any]] = {name: [] for name, _ in RANGES.values()}
    common = {name: rule[name] for name in ("IpProtocol", "SecurityGroupRuleId")}
    return common | ports | lists | {ranges: [entry]}


def rules_in(permission: dict[str, Any], group: dict[str, Any], is_egress: bool, rule_id: str = "") -> Iterator[Rule]:
    """Yield a rule for each source of an IpPermission."""
    for kind, (ranges, name) in RANGES.items():
        for entry in permission.get(ranges) or []:
            request = {**permission, kind: entry[name], "Description": entry.get("Description", "")}
            yield _rule(request, group, is_egress, rule_id or _new_rule_id())


def _rule(request: dict[str, Any], group: dict[str, Any], is_egress: bool, rule_id: str) -> Rule:
    """Return the rule of a SecurityGroupRuleRequest."""
    protocol = PROTOCOL_NAMES.get(str(request.get("IpProtocol", "")), str(request.get("IpProtocol", "")))
    if not protocol:
        raise ApiError("InvalidParameterValue", "VPC security group rules must specify protocols explicitly.")
    has_ports = protocol in PROTOCOL_NAMES.values()
    ports = (request.get(name) for name in ("FromPort", "ToPort"))
    from_port, to_port = (-1 if port in (None, "") else int(port) for port in ports)
    if protocol in ("tcp", "udp") and not 0 <= from_port <= to_port <= 65535:
        raise ApiError("InvalidParameterValue", f"Invalid value for portRange: {from_port}-{to_port}")
    rule: Rule = {
        "SecurityGroupRuleId": rule_id,
        "GroupId": group["GroupId"],
        "GroupOwnerId": get_account_id(),
        "IsEgress": is_egress,
        "IpProtocol": protocol,
        "FromPort": from_port if has_ports else -1,
        "ToPort": to_port if has_ports else -1,
    }
    source_types = [name for name in RANGES if request.get(name)]
    if len(source_types) != 1:
        raise ApiError("InvalidParameterCombination", "Exactly one source must be specified for a rule.")
    source = str(request[source_types[0]])
    if source_types[0] == "ReferencedGroupId":
        rule["ReferencedGroupInfo"] = {"GroupId": find_group(source)["GroupId"], "UserId": get_account_id()}
    else:
        rule[source_types[0]] = _validate_source(source_types[0], source)
    return rule | ({"Description": request["Description"]} if request.get("Description") else {})


def _validate_source(kind: str, source: str) -> str:
    if kind == "PrefixListId":
        if source not in ec2.prefix_lists and ec2.managed_prefix_list(source) is None:
            raise ApiError("InvalidPrefixListID.NotFound", f"The prefix list ID '{source}' does not exist")
        return source
    try:
        network = ip_network(source, strict=False)
    except ValueError:
        network = None
    if network is None or network.version != int(kind[-1]):
        raise ApiError("InvalidParameterValue", f"CIDR block {source} is malformed")
    return str(network)


def source_type(rule: Rule) -> str:
    return next((name for name in RANGES if name in rule), "ReferencedGroupId")


def source_of(rule: Rule) -> str:
    return str(rule.get(source_type(rule)) or rule["ReferencedGroupInfo"]["GroupId"])


def identity(rule: Rule) -> tuple[Any, ...]:
    return (*(rule[k] for k in ("IsEgress", "IpProtocol", "FromPort", "ToPort")), source_type(rule), source_of(rule))


def _new_rule_id() -> str:
    return f"sgr-{secrets.token_hex(9)[:17]}"


def _authorize(is_egress: bool, request: Request) -> dict[str, Any]:
    group = find_group(request.get("GroupId"))
    stored = stored_rules(group)
    new = list(_requested_rules(request, group, is_egress))
    if not new:
        raise ApiError("MissingParameter", "The request must contain the parameter ipPermissions")
    _check_no_duplicates(stored + new)
    if sum(rule["IsEgress"] == is_egress for rule in stored + new) > MAX_RULES:
        message = "The maximum number of rules per security group has been reached."
        raise ApiError("RulesPerSecurityGroupLimitExceeded", message)
    store_rules(group, stored + new)
    return {"return": True, "securityGroupRuleSet": new}


def _revoke(is_egress: bool, request: Request) -> dict[str, Any]:
    group = find_group(request.get("GroupId"))
    stored = stored_rules(group)
    ids = request.get("SecurityGroupRuleId")
    unknown: list[Any] = []
    if ids:
        _check_ids(ids, stored, is_egress)
        revoked = [rule for rule in stored if rule["SecurityGroupRuleId"] in ids]
    else:
        requested = {identity(rule): rule for rule in _requested_rules(request, group, is_egress)}
        revoked = [rule for rule in stored if identity(rule) in requested]
        missing = requested.keys() - {identity(rule) for rule in revoked}
        if missing and group["VpcId"] != ec2.default_vpc_id:
            raise ApiError("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
        unknown = [{"IpProtocol": requested[key]["IpProtocol"]} for key in missing]
    store_rules(group, [rule for rule in stored if rule not in revoked])
    removed = [_revoked_rule(rule) for rule in revoked]
    return {"return": True, "unknownIpPermissionSet": unknown, "revokedSecurityGroupRuleSet": removed}


def _revoked_rule(rule: Rule) -> dict[str, Any]:
    """Return a rule in the format of the revoke calls."""
    common = {k: v for k, v in rule.items() if k not in ("GroupOwnerId", "ReferencedGroupInfo")}
    return common | ({"ReferencedGroupId": source_of(rule)} if "ReferencedGroupInfo" in rule else {})


def _modify(request: Request) -> dict[str, Any]:
    group = find_group(request.get("GroupId"))
    stored = stored_rules(group)
    updates = {update["SecurityGroupRuleId"]: update for update in request.get("SecurityGroupRule", [])}
    _check_ids(list(updates), stored)
    changed = [_modify_rule(rule, updates.get(rule["SecurityGroupRuleId"]), group) for rule in stored]
    _check_no_duplicates(changed)
    store_rules(group, changed)
    return {"return": True}


def _modify_rule(rule: Rule, update: dict[str, Any] | None, group: dict[str, Any]) -> Rule:
    if update is None:
        return rule
    new = _rule(update.get("SecurityGroupRule", {}), group, rule["IsEgress"], rule["SecurityGroupRuleId"])
    if source_type(new) != source_type(rule):
        message = f"You may not specify a {source_type(new)} for an existing {source_type(rule)} rule."
        raise ApiError("InvalidParameterValue", message)
    return new


def _update_descriptions(is_egress: bool, request: Request) -> dict[str, Any]:
    group = find_group(request.get("GroupId"))
    stored = stored_rules(group)
    by_id = {
        d["SecurityGroupRuleId"]: d.get("Description", "") for d in request.get("SecurityGroupRuleDescription", [])
    }
    _check_ids(list(by_id), stored, is_egress)
    requested = _requested_rules(request, group, is_egress)
    by_identity = {identity(rule): rule.get("Description", "") for rule in requested}
    if by_identity.keys() - {identity(rule) for rule in stored}:
        raise ApiError("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
    for rule in stored:
        for key, descriptions in ((rule["SecurityGroupRuleId"], by_id), (identity(rule), by_identity)):
            if key in descriptions:
                rule["Description"] = descriptions[key]
    store_rules(group, stored)
    return {"return": True}


def _describe(request: Request) -> dict[str, Any]:
    filters = {f["Name"]: f.get("Value", []) for f in request.get("Filter", [])}
    ids = request.get("SecurityGroupRuleId") or filters.get("security-group-rule-id")
    rules = [rule for group in ec2.security_groups.values() for rule in _listed_rules(group)]
    if ids:
        _check_ids(ids, rules)
    matching = [
        rule
        for rule in rules
        if rule["GroupId"] in filters.get("group-id", [rule["GroupId"]])
        and rule["SecurityGroupRuleId"] in (ids or [rule["SecurityGroupRuleId"]])
    ]
    start, size = int(request.get("NextToken", 0)), int(request.get("MaxResults", PAGE))
    more = {"nextToken": str(start + size)} if start + size < len(matching) else {}
    return {"securityGroupRuleSet": matching[start : start + size], **more}


def _requested_rules(request: Request, group: dict[str, Any], is_egress: bool) -> Iterator[Rule]:
    """Yield the rules of a request's permissions, and of its top-level parameters."""
    for permission in request.get("IpPermissions", []):
        yield from rules_in({**permission, "UserIdGroupPairs": permission.get("Groups")}, group, is_egress)
    if request.get("CidrIp"):
        yield from rules_in({**request, "IpRanges": [{"CidrIp": request["CidrIp"]}]}, group, is_egress)


def _check_ids(ids: list[str], rules: list[Rule], is_egress: bool | None = None) -> None:
    existing = {rule["SecurityGroupRuleId"] for rule in rules if is_egress in (None, rule["IsEgress"])}
    for rule_id in ids:
        if rule_id not in existing:
            message = f"The security group rule ID '{rule_id}' does not exist"
            raise ApiError("InvalidSecurityGroupRuleId.NotFound", message)


def _check_no_duplicates(rules: list[Rule]) -> None:
    identities = set()
    for rule in rules:
        if identity(rule) in identities:
            traffic = f"{rule['IpProtocol'].upper()}, from port: {rule['FromPort']}, to port: {rule['ToPort']}"
            message = f'the specified rule "peer: {source_of(rule)}, {traffic}, ALLOW" already exists'
            raise ApiError("InvalidPermission.Duplicate", message)
        identities.add(identity(rule))
