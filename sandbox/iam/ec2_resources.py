"""EC2: the resources of operations, what RunInstances requires, and condition keys with tags.

Service authorization reference, Amazon EC2; EC2 user guide, "Example policies to control access the Amazon EC2 API".
"""

import re
from collections.abc import Iterator, Mapping

from ..ministack import autoscaling, ec2, iam
from ..process import ACCOUNT
from .operations import Operation
from .policy import Context, Permission

ID = re.compile(r"Id(\.\d+)?$")
TAG = re.compile(r"(?:TagSpecification\.(\d+)\.)?Tag\.\d+\.Key")


def resources(operation: Operation, kinds: list[str]) -> list[str]:
    """Return the ARNs of the resources among the parameters; `kinds` are the types that the action supports."""
    if operation.name == "RunInstances":
        return list(_launched(operation))
    ids = dict.fromkeys(value for name, value in operation.parameters.items() if ID.search(name))
    typed = ((ec2.resource_type(value).removeprefix("managed-"), value) for value in ids)
    return [f"arn:aws:ec2:{operation.region}:{ACCOUNT}:{kind}/{value}" for kind, value in typed if kind in kinds]


def _launched(operation: Operation) -> Iterator[str]:
    """Yield the resources that RunInstances uses and creates."""
    region = f"arn:aws:ec2:{operation.region}"
    for kind in ("instance", "network-interface", "volume"):
        yield f"{region}:{ACCOUNT}:{kind}/*"
    yield f"{region}::image/{operation.get('ImageId') or '*'}"
    yield f"{region}:{ACCOUNT}:subnet/{operation.get('SubnetId') or ec2.default_subnet_id}"
    for group in operation.values("SecurityGroupId") or [ec2.default_security_group_id]:
        yield f"{region}:{ACCOUNT}:security-group/{group}"
    for parameter, kind in (("KeyName", "key-pair"), ("LaunchTemplate.LaunchTemplateId", "launch-template")):
        if operation.get(parameter):
            yield f"{region}:{ACCOUNT}:{kind}/{operation.get(parameter)}"


def implied(operation: Operation) -> Iterator[Permission]:
    """Yield the permissions to tag what RunInstances creates, and to pass the role of its instances."""
    for kind, tags in _request_tags(operation).items():
        if kind:  # the operation itself is not one on tags
            arn = f"arn:aws:ec2:{operation.region}:{ACCOUNT}:{kind}/*"
            context = {"ec2:CreateAction": operation.name, **_tag_keys("aws:RequestTag", tags)}
            yield Permission("ec2:CreateTags", arn, context, f"tags of {operation.name}")
    profile = operation.get("IamInstanceProfile.Name") or operation.get("IamInstanceProfile.Arn").rpartition("/")[2]
    for name in iam.instance_profiles.get(profile, {}).get("Roles", []):
        context = {"iam:PassedToService": "ec2.amazonaws.com"}
        yield Permission("iam:PassRole", iam.roles[name]["Arn"], context, f"instance profile of {operation.name}")


def _request_tags(operation: Operation) -> dict[str, dict[str, str]]:
    """Return the tags of a request by resource type; the type is empty for the tags of CreateTags."""
    tags: dict[str, dict[str, str]] = {}
    for name in operation.parameters:
        match = TAG.fullmatch(name)
        if match:
            kind = operation.get(f"TagSpecification.{match[1]}.ResourceType") if match[1] else ""
            tags.setdefault(kind, {})[operation.get(name)] = operation.get(f"{name.removesuffix('Key')}Value")
    return tags


def _tag_keys(prefix: str, tags: Mapping[str, str]) -> dict[str, str | list[str]]:
    keys: dict[str, str | list[str]] = {f"{prefix}/{key}": value for key, value in tags.items()}
    return keys | ({"aws:TagKeys": list(tags)} if prefix == "aws:RequestTag" and tags else {})


def request_context(operation: Operation, arn: str) -> Context:
    """Return the condition keys of a request for one of its resources."""
    if operation.service != "ec2":
        return {}
    tags = _request_tags(operation)
    kind = arn.rpartition(":")[2].partition("/")[0]
    context = _tag_keys("aws:RequestTag", tags.get(kind, {}) | tags.get("", {}))
    if operation.name == "RunInstances" and kind == "instance":
        context["ec2:InstanceType"] = operation.get("InstanceType")
    return context


def tag_context(arn: str) -> Context:
    """Return the condition keys with the tags of an existing instance, other EC2 resource or Auto Scaling group."""
    parts = arn.split(":", 5)
    service = parts[2] if len(parts) == 6 else ""
    if service not in ("ec2", "autoscaling"):
        return {}
    name = parts[5].rpartition("/")[2]
    found = ec2.tags.get(name, []) if service == "ec2" else autoscaling.groups.get(name, {}).get("Tags", [])
    tags = {tag["Key"]: tag["Value"] for tag in found}
    return _tag_keys("aws:ResourceTag", tags) | _tag_keys(f"{service}:ResourceTag", tags)
