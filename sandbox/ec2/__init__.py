"""EC2: security group rules, instances as processes (`instances`), and their states (`instance_states`).

Implements: rules with one source and a permanent id; the calls that change rules, with AWS's errors for duplicates,
unknown rules and groups, malformed ranges, the quota of 60 rules for each direction, and dry runs. Revoking a missing
rule fails in a nondefault VPC and succeeds in the default VPC. All mutating calls, including those that MiniStack
handles, create CloudTrail events.

Source: EC2 API reference. Not implemented: tags of rules, VPC peering, prefix list entries counting towards the rule
quota, IPv6 and prefix list ranges in DescribeSecurityGroups.
"""

from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from .. import cloudtrail
from ..ministack import ec2
from ..ministack.cloudformation import extend_resource_type, resource_handlers
from ..ministack.requests import access_key_of
from . import instance_states, instances
from .ec2_protocol import (
    cloudtrail_parameters,
    cloudtrail_request,
    cloudtrail_response,
    parse_query,
    parse_xml,
    to_xml,
)
from .rules import OPERATIONS, ApiError, Result, find_group, identity, rules_in, store_rules, stored_rules

READ_ONLY = ("Describe", "Get", "List", "Search")
TEMPLATE_SOURCES = {  # property of a template: list and key of the API
    "CidrIp": ("IpRanges", "CidrIp"),
    "CidrIpv6": ("Ipv6Ranges", "CidrIpv6"),
    "SourcePrefixListId": ("PrefixListIds", "PrefixListId"),
    "SourceSecurityGroupId": ("Groups", "GroupId"),
    "DestinationSecurityGroupId": ("Groups", "GroupId"),
}


def install() -> None:
    """Replace the operations on security group rules, and extend the security group resource."""
    ec2.handle_request.wrap(_handle_rules)
    create = _with_rules(resource_handlers["AWS::EC2::SecurityGroup"]["create"])
    extend_resource_type("AWS::EC2::SecurityGroup", create=create, update=_update_handler(create))
    for name in ("SecurityGroupIngress", "SecurityGroupEgress"):
        resource_handlers[f"AWS::EC2::{name}"] = {"create": partial(_create_rule, name), "delete": _delete_rule}
    instances.install()
    instance_states.install()


def _handle_rules(original_handle_request: Callable[..., Any]) -> Callable[..., Any]:
    """Execute `OPERATIONS` here, and record the calls that MiniStack handles."""

    async def handle_request(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        values = {name: value[0] for name, value in parse_qs(body.decode(), keep_blank_values=True).items()}
        operation = OPERATIONS.get(values.get("Action", ""))
        if operation is not None:
            ec2.ensure_defaults()
            return _execute(operation, values, headers)
        response = await original_handle_request(method, path, headers, body, query)
        _record_original(values, headers, response)
        return response

    return handle_request


def _execute(operation: Callable[[Any], Result], values: dict[str, str], headers: dict[str, str]) -> Any:
    name = values["Action"]
    request = parse_query({key: value for key, value in values.items() if key not in ("Action", "Version")})
    result, error = None, None
    try:
        if request.pop("DryRun", "false") == "true":
            raise ApiError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
        result = operation(request)
        response = ec2.xml_response(
            200, f"{name}Response", "".join(to_xml(key, value) for key, value in result.elements.items())
        )
    except ApiError as problem:
        error = problem
        response = ec2.error_response(problem.code, escape(str(problem)), problem.status)
    if not name.startswith("Describe"):
        cloudtrail.record(
            "ec2",
            name,
            identity=cloudtrail.user_identity(access_key_of(headers)),
            user_agent=headers.get("user-agent", ""),
            request=cloudtrail_request(name, request),
            response=cloudtrail_response(name, result.elements) if result else None,
            request_id=_request_id(response),
            error=(f"Client.{error.code}", str(error)) if error else None,
        )
    return response


def _record_original(values: dict[str, str], headers: dict[str, str], response: tuple[int, Any, bytes]) -> None:
    """Record a call that MiniStack has handled."""
    name = values.get("Action", "")
    if not name or name.startswith(READ_ONLY):
        return
    status, _, body = response
    elements = parse_xml(body)
    error = None
    if status >= 400:
        problem = elements.get("errors", [{}])[0]
        error = (f"Client.{problem.get('code', 'InternalError')}", problem.get("message", ""))
    cloudtrail.record(
        "ec2",
        name,
        identity=cloudtrail.user_identity(access_key_of(headers)),
        user_agent=headers.get("user-agent", ""),
        request=cloudtrail_parameters(parse_query({k: v for k, v in values.items() if k not in ("Action", "Version")})),
        response=None if error else cloudtrail_parameters(elements),
        request_id=_request_id(response),
        error=error,
    )


def _request_id(response: tuple[int, Any, bytes]) -> str:
    elements = parse_xml(response[2])
    return str(elements.get("requestId") or elements.get("requestID") or "")  # the latter in errors


def _with_rules(create: Callable[..., Any]) -> Callable[..., Any]:
    """Return a create handler: MiniStack creates the group, and its rules are added here."""

    def create_group(logical_id: str, properties: dict[str, Any], stack_name: str) -> Any:
        without_rules = {
            k: v for k, v in properties.items() if k not in ("SecurityGroupIngress", "SecurityGroupEgress")
        }
        group_id, attributes = create(logical_id, without_rules, stack_name)
        ec2.tags[group_id] = properties.get("Tags", [])
        _change_rules(group_id, {}, properties)
        return group_id, attributes

    return create_group


def _update_handler(create: Callable[..., Any]) -> Callable[..., Any]:
    """Return an update handler: rules and tags change in place, create-only properties create a new group."""

    def update_group(group_id: str, old: dict[str, Any], new: dict[str, Any], stack_name: str) -> Any:
        for name in ("GroupName", "GroupDescription", "VpcId"):
            if old.get(name) != new.get(name):
                return create("", new, stack_name)
        _change_rules(group_id, old, new)
        ec2.tags[group_id] = new.get("Tags", [])
        return group_id, {"GroupId": group_id, "VpcId": ec2.security_groups[group_id]["VpcId"]}

    return update_group


def _change_rules(group_id: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    group = ec2.security_groups[group_id]
    before, after = _template_rules(old, group), _template_rules(new, group)
    rules = {identity(rule): rule for rule in stored_rules(group)}
    if new.get("SecurityGroupEgress"):
        rules = {key: rule for key, rule in rules.items() if not rule["IsEgress"]}
    for key in before:
        rules.pop(key, None)
    store_rules(group, list((after | rules | after).values()))


def _create_rule(
    name: str, _logical_id: str, properties: dict[str, Any], _stack_name: str
) -> tuple[str, dict[str, str]]:
    group = find_group(properties["GroupId"])
    (rule,) = _template_rules({name: [properties]}, group).values()
    store_rules(group, [*stored_rules(group), rule])
    return rule["SecurityGroupRuleId"], {"Id": rule["SecurityGroupRuleId"]}


def _delete_rule(rule_id: str, properties: dict[str, Any]) -> None:
    group = ec2.security_groups.get(properties["GroupId"])
    if group:
        store_rules(group, [rule for rule in stored_rules(group) if rule["SecurityGroupRuleId"] != rule_id])


def _template_rules(properties: dict[str, Any], group: dict[str, Any]) -> dict[Any, Any]:
    rules: dict[Any, Any] = {}
    for is_egress, name in ((False, "SecurityGroupIngress"), (True, "SecurityGroupEgress")):
        for item in properties.get(name) or []:
            permission = dict(item)
            for source, (ranges, key) in TEMPLATE_SOURCES.items():
                if item.get(source):
                    permission[ranges] = [{key: item[source], "Description": item.get("Description", "")}]
            rules |= {identity(rule): rule for rule in rules_in(permission, group, is_egress)}
    return rules
