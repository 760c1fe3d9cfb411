"""EC2: the rules of security groups, as EC2 keeps them.

MiniStack has security groups; here every rule has one source and an id for life, as on AWS,
and the calls that change rules answer and refuse as AWS does: duplicates, unknown rules and
groups, malformed ranges, the quota of 60 rules for each direction, dry runs. A revoke of what
is not there is an error in a VPC of one's own and none in the default VPC. Every call that is
not read-only leaves a CloudTrail record, also those that MiniStack answers.

Source: EC2 API reference. Left out: tags of rules, VPC peering, what a prefix list counts
against the quota, DescribeSecurityGroups' IPv6 and prefix list ranges.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from ministack.core.router import extract_access_key_id
from ministack.services import ec2
from ministack.services.cloudformation import provisioners

from .. import cloudtrail
from . import instances
from .forms import nested, parsed, recorded_other, recorded_request, recorded_response, xml
from .rules import OPERATIONS, Answer, ApiError, identity, rules_in, store_rules, stored_rules

READ_ONLY = ("Describe", "Get", "List", "Search")
CFN_SOURCES = {
    "CidrIp": ("IpRanges", "CidrIp"),
    "CidrIpv6": ("Ipv6Ranges", "CidrIpv6"),
    "SourcePrefixListId": ("PrefixListIds", "PrefixListId"),
    "SourceSecurityGroupId": ("Groups", "GroupId"),
}


def install() -> None:
    """Answer the calls on security group rules here, and create groups from templates."""
    answer_others = ec2.handle_request

    async def handle_request(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        values = {name: value[0] for name, value in parse_qs(body.decode(), keep_blank_values=True).items()}
        operation = OPERATIONS.get(values.get("Action", ""))
        if operation is not None:
            ec2._ensure_defaults_initialized()
            return _answer(operation, values, headers)
        response = await answer_others(method, path, headers, body, query)
        _record_other(values, headers, response)
        return response

    ec2.handle_request = handle_request
    handlers = provisioners._RESOURCE_HANDLERS["AWS::EC2::SecurityGroup"]
    handlers["create"] = _creating(handlers["create"])
    handlers["update"] = _updating(handlers["create"])
    instances.install()


def _answer(operation: Callable[[Any], Answer], values: dict[str, str], headers: dict[str, str]) -> Any:
    name = values["Action"]
    request = nested({key: value for key, value in values.items() if key not in ("Action", "Version")})
    answer, error = None, None
    try:
        if request.pop("DryRun", "false") == "true":
            raise ApiError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
        answer = operation(request)
        response = ec2._xml(200, f"{name}Response", "".join(xml(key, value) for key, value in answer.elements.items()))
    except ApiError as problem:
        error = problem
        response = ec2._error(problem.code, escape(str(problem)), problem.status)
    if not name.startswith("Describe"):
        cloudtrail.record(
            name,
            access_key=extract_access_key_id(headers),
            user_agent=headers.get("user-agent", ""),
            request=recorded_request(name, request),
            response=recorded_response(name, answer.elements) if answer else None,
            error=(error.code, str(error)) if error else None,
        )
    return response


def _record_other(values: dict[str, str], headers: dict[str, str], response: tuple[int, Any, bytes]) -> None:
    """Record a call that MiniStack has answered."""
    name = values.get("Action", "")
    if not name or name.startswith(READ_ONLY):
        return
    status, _, body = response
    elements = parsed(body)
    error = None
    if status >= 400:
        problem = elements.get("errors", [{}])[0]
        error = (problem.get("code", "InternalError"), problem.get("message", ""))
    cloudtrail.record(
        name,
        access_key=extract_access_key_id(headers),
        user_agent=headers.get("user-agent", ""),
        request=recorded_other(nested({k: v for k, v in values.items() if k not in ("Action", "Version")})),
        response=None if error else recorded_other(elements),
        error=error,
    )


def _creating(create: Callable[..., Any]) -> Callable[..., Any]:
    """MiniStack creates the group; its rules are those of the template."""

    def create_group(logical_id: str, properties: dict[str, Any], stack_name: str) -> Any:
        bare = {k: v for k, v in properties.items() if k not in ("SecurityGroupIngress", "SecurityGroupEgress")}
        group_id, attributes = create(logical_id, bare, stack_name)
        ec2._tags[group_id] = properties.get("Tags", [])
        _change_rules(group_id, {}, properties)
        return group_id, attributes

    return create_group


def _updating(create: Callable[..., Any]) -> Callable[..., Any]:
    """New rules in place; anything else but tags is a new group (its create-only properties)."""

    def update_group(group_id: str, old: dict[str, Any], new: dict[str, Any], stack_name: str) -> Any:
        for name in ("GroupName", "GroupDescription", "VpcId"):
            if old.get(name) != new.get(name):
                return create("", new, stack_name)
        _change_rules(group_id, old, new)
        ec2._tags[group_id] = new.get("Tags", [])
        return group_id, {"GroupId": group_id, "VpcId": ec2._security_groups[group_id]["VpcId"]}

    return update_group


def _change_rules(group_id: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    group = ec2._security_groups[group_id]
    before, after = _template_rules(old, group), _template_rules(new, group)
    rules = {identity(rule): rule for rule in stored_rules(group)}
    if new.get("SecurityGroupEgress"):
        rules = {key: rule for key, rule in rules.items() if not rule["IsEgress"]}
    for key in before:
        rules.pop(key, None)
    store_rules(group, list((after | rules | after).values()))


def _template_rules(properties: dict[str, Any], group: dict[str, Any]) -> dict[Any, Any]:
    rules: dict[Any, Any] = {}
    for is_egress, name in ((False, "SecurityGroupIngress"), (True, "SecurityGroupEgress")):
        for item in properties.get(name) or []:
            permission = dict(item)
            for source, (ranges, key) in CFN_SOURCES.items():
                if item.get(source):
                    permission[ranges] = [{key: item[source], "Description": item.get("Description", "")}]
            rules |= {identity(rule): rule for rule in rules_in(permission, group, is_egress)}
    return rules
