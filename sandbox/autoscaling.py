"""Auto Scaling: groups with instances, filters of groups, and the rules for their capacity.

Instances of groups are EC2 instances that are running at once and have the tags of the group that propagate. A group
replaces an instance that is stopped, because it is unhealthy. Sources: Auto Scaling API reference and user guide. Not
implemented: scaling policies, schedules, health checks other than that of the state, suspended processes, instance
types and subnets other than the first, load balancers, pagination.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from .ec2 import instance_states
from .ministack import autoscaling, ec2
from .ministack.cloudformation import add_steps, extend_resource_type, resource_handlers

GROUP = "AWS::AutoScaling::AutoScalingGroup"
Request = dict[str, Any]
Handler = Callable[[Request], Any]
FILTER = re.compile(r"Filters\.member\.(\d+)\.Name")


def install() -> None:
    """Extend MiniStack's operations, and give groups instances."""
    for name, extension in {
        "DescribeAutoScalingGroups": _filtering,
        "UpdateAutoScalingGroup": _checking_capacity,
        "SetDesiredCapacity": _checking_capacity,
        "DeleteAutoScalingGroup": _checking_deletion,
    }.items():
        autoscaling.operations[name] = partial(extension, autoscaling.operations[name])
    autoscaling.reconcile.extend(_launching)
    add_steps(GROUP, apply=lambda name, _properties: autoscaling.reconcile(autoscaling.groups[name]))
    extend_resource_type(GROUP, delete=partial(_terminating, resource_handlers[GROUP]["delete"]))
    instance_states.WHEN_STOPPED.append(_replace)


def _filtering(describe: Handler, request: Request) -> Any:
    filters = {}
    for match in filter(None, map(FILTER.fullmatch, request)):
        prefix = f"Filters.member.{match[1]}.Values.member."
        filters[request[match[0]]] = [value for name, value in request.items() if name.startswith(prefix)]
    if not filters:
        return describe(request)
    requested = [value for name, value in request.items() if name.startswith("AutoScalingGroupNames.member.")]
    names = [
        name
        for name, group in autoscaling.groups.items()
        if name in (requested or [name]) and all(_matches(group, *pair) for pair in filters.items())
    ]
    return describe({f"AutoScalingGroupNames.member.{n}": name for n, name in enumerate(names or ["-"], 1)})


def _matches(group: dict[str, Any], name: str, values: list[str]) -> bool:
    """Return whether a tag of the group matches a filter: ``tag-key``, ``tag-value`` or ``tag:KEY``."""
    field = "Key" if name in ("tag-key", "key") else "Value"
    tags = [tag for tag in group["Tags"] if not name.startswith("tag:") or tag["Key"] == name.removeprefix("tag:")]
    return any(tag[field] in values for tag in tags)


def _checking_capacity(update: Handler, request: Request) -> Any:
    """Apply the rules of UpdateAutoScalingGroup: without a desired capacity, it moves within new bounds."""
    group = autoscaling.groups.get(request["AutoScalingGroupName"])
    if group is None:
        return update(request)
    minimum, maximum = (int(request.get(name, group[name])) for name in ("MinSize", "MaxSize"))
    moved = max(minimum, min(maximum, group["DesiredCapacity"]))
    desired = int(request.get("DesiredCapacity", moved))
    message = ""
    if minimum > maximum:
        message = f"Max bound, {maximum}, must be greater than or equal to min bound, {minimum}"
    elif not minimum <= desired <= maximum:
        message = f"Desired capacity:{desired} must be between the specified min size:{minimum} and max size:{maximum}"
    if message:
        return autoscaling.error_response("ValidationError", message)
    return update(request | {"DesiredCapacity": str(desired)})


def _checking_deletion(delete: Handler, request: Request) -> Any:
    group = autoscaling.groups.get(request["AutoScalingGroupName"])
    if group and group["Instances"] and request.get("ForceDelete") != "true":
        message = "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance"
        return autoscaling.error_response("ResourceInUse", f"{message} request(s) still in the group.")
    if group:
        group["DesiredCapacity"] = 0
        autoscaling.reconcile(group)
    return delete(request)


def _launching(reconcile: Callable[[dict[str, Any]], None], group: dict[str, Any]) -> None:
    """Terminate and launch instances, as MiniStack removes members of a group and adds ones without an instance."""
    before = {member["InstanceId"] for member in group["Instances"]}
    reconcile(group)
    for member in group["Instances"]:
        if member["InstanceId"] not in before:
            member["InstanceId"] = _launch(group)
    _terminate(before - {member["InstanceId"] for member in group["Instances"]})


def _terminating(delete: Callable[..., None], name: str, properties: dict[str, Any]) -> None:
    if name in autoscaling.groups:
        _terminate({member["InstanceId"] for member in autoscaling.groups[name]["Instances"]})
    delete(name, properties)


def _terminate(instances: set[str]) -> None:
    parameters = {f"InstanceId.{number}": [name] for number, name in enumerate(sorted(instances), 1)}
    if parameters:
        ec2.terminate_instances(parameters)


def _launch(group: dict[str, Any]) -> str:
    ec2.ensure_defaults()
    template = group.get("LaunchTemplate") or {}
    data = _launch_data({f"LaunchTemplate.{name}": value for name, value in template.items()} | group)
    (instance,) = ec2.launch_instances(
        image_id=data.get("ImageId", ""),
        instance_type=data.get("InstanceType", "t3.micro"),
        subnet_id=group["VPCZoneIdentifier"].split(",")[0] or ec2.default_subnet_id,
        count=1,
    )
    name: str = instance["InstanceId"]
    own = {"Key": "aws:autoscaling:groupName", "Value": group["AutoScalingGroupName"]}
    propagated = [{key: tag[key] for key in ("Key", "Value")} for tag in group["Tags"] if tag["PropagateAtLaunch"]]
    ec2.tags[name] = [own, *propagated]
    return name


def _launch_data(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return image and type of the instances; empty if the launch template or configuration does not exist."""
    found: dict[str, Any] = autoscaling.launch_configurations.get(parameters.get("LaunchConfigurationName"), {})
    names = {parameters.get(f"LaunchTemplate.LaunchTemplate{kind}") for kind in ("Id", "Name")} - {None, ""}
    for template in ec2.launch_templates.values():
        if names & {template["LaunchTemplateId"], template["LaunchTemplateName"]}:
            found = template["Versions"][-1]["LaunchTemplateData"]
    return found


def _replace(instance: str) -> None:
    """Replace a stopped instance of a group."""
    for group in autoscaling.groups.values():
        members = [member for member in group["Instances"] if member["InstanceId"] != instance]
        if len(members) < len(group["Instances"]):
            group["Instances"] = members
            _terminate({instance})
            autoscaling.reconcile(group)
