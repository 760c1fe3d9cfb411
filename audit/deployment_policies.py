"""The IAM policies with which CloudFormation can deploy each stack, instead of CDK's default AdministratorAccess.

CloudFormation's resource schemas (cfn-lint has them) list the actions that each resource type needs to be created,
read, updated and deleted. The actions of a stack are those of all resource types in its templates, with any settings.
IAM actions are limited to roles, instance profiles and policies whose names begin with the stack's, which is how
CloudFormation names them.
"""

import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import cfnlint

from .assembly import Template

MAX_CHARACTERS = 6144  # of a managed policy, white space not counted (IAM and AWS STS quotas)
SCHEMAS = Path(cfnlint.__file__).parent / "data" / "schemas"
NO_CALLS = {"AWS::CDK::Metadata"}  # CloudFormation makes no call for it
# Stacks of which settings can add permissions to a role: aws-cdk-lib moves those that do not fit into managed policies.
WITH_MANAGED_POLICIES = ("DeployPipeline", "SecurityGroupRevert")
# What AWS's documentation requires of the caller, and the schemas do not list.
ALSO = {
    # API Gateway developer guide, "Using service-linked roles for API Gateway".
    "AWS::ApiGateway::DomainName": {"iam:CreateServiceLinkedRole"},
    "AWS::ApiGateway::RestApi": {"iam:CreateServiceLinkedRole"},
    # CloudFormation user guide, "Fn::GetAZs", which chooses the zone of a subnet.
    "AWS::EC2::Subnet": {"ec2:DescribeAccountAttributes", "ec2:DescribeAvailabilityZones"},
    # EC2 user guide, "Use a Systems Manager parameter instead of an AMI ID".
    "AWS::EC2::Instance": {"ssm:GetParameters"},
    # EFS API reference: CreateMountTarget, DeleteMountTarget, ModifyMountTargetSecurityGroups.
    "AWS::EFS::MountTarget": {
        "ec2:CreateNetworkInterface",
        "ec2:DeleteNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:ModifyNetworkInterfaceAttribute",
    },
    # CloudFront developer guide, "Set up IAM permissions for Lambda@Edge".
    "AWS::CloudFront::Distribution": {
        "iam:CreateServiceLinkedRole",
        "lambda:DisableReplication*",
        "lambda:EnableReplication*",
        "lambda:GetFunction",
    },
    # CloudFront developer guide, "Configure standard logging (v2)": CloudWatch Logs checks the caller's permission.
    "AWS::Logs::DeliverySource": {"cloudfront:AllowVendedLogDeliveryForResource"},
    # Developer Tools console user guide, "Permissions for CodeConnections": PassConnection.
    "AWS::CodePipeline::Pipeline": {"codeconnections:PassConnection"},
}


def policies(stack: str, templates: Iterable[Template]) -> dict[str, dict[str, Any]]:
    """The policy documents of a stack by file name, as many as IAM's limit on their length requires."""
    types = {resource["Type"] for template in templates for resource in template.resources.values()}
    if stack in WITH_MANAGED_POLICIES:
        types.add("AWS::IAM::ManagedPolicy")
    actions = sorted(set().union(*(actions_of(name) for name in types)))
    documents = list(_documents(stack, actions))
    names = [stack] if len(documents) == 1 else [f"{stack}-{number + 1}" for number in range(len(documents))]
    return {f"{name}.json": document for name, document in zip(names, documents, strict=True)}


def actions_of(resource_type: str) -> set[str]:
    """The IAM actions with which CloudFormation handles a resource type.

    Raises:
        KeyError: the type has no schema, or none that lists its actions.
    """
    if resource_type in NO_CALLS:
        return set()
    if resource_type.startswith("Custom::"):
        return {"lambda:InvokeFunction"}  # CloudFormation invokes the function behind it
    handlers = json.loads((SCHEMAS / "resources" / f"{_schemas()[resource_type]}.json").read_text())["handlers"]
    listed = [_normalize(action) for handler in handlers.values() for action in handler["permissions"]]
    return ALSO.get(resource_type, set()) | {action for action in listed if _exists(action)}


def _normalize(action: str) -> str:
    """Write the service in lower case, as IAM's documentation does and some schemas do not."""
    service, name = action.split(":")
    return f"{service.lower()}:{name}"


def _exists(action: str) -> bool:
    """Whether IAM knows the action, and a stack can need it: some schemas have others, or those of IAM users."""
    service, name = action.split(":")
    if service == "iam" and ("User" in name or "Group" in name):
        return False
    return name.lower() in _service_authorization_reference().get(service, {"Actions": {}})["Actions"]


@cache
def _service_authorization_reference() -> dict[str, Any]:
    path = Path(cfnlint.__file__).parent / "data" / "AdditionalSpecs" / "Policies.json"
    reference: dict[str, Any] = json.loads(path.read_text())
    return reference


@cache
def _schemas() -> dict[str, str]:
    schemas: dict[str, str] = json.loads((SCHEMAS / "providers" / "us-east-1.json").read_text())
    return schemas


def _documents(stack: str, actions: list[str]) -> Iterator[dict[str, Any]]:
    iam = [action for action in actions if action.startswith("iam:") and action != "iam:CreateServiceLinkedRole"]
    names = [f"arn:aws:iam::*:{kind}/{stack}-*" for kind in ("instance-profile", "policy", "role")]
    statements = [{"Effect": "Allow", "Action": iam, "Resource": names}] if iam else []
    others: list[str] = []
    for action in (action for action in actions if action not in iam):
        if _length(_policy(statements, [*others, action])) > MAX_CHARACTERS:
            yield _policy(statements, others)
            statements, others = [], []
        others.append(action)
    yield _policy(statements, others)


def _policy(statements: list[dict[str, Any]], actions: list[str]) -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [*statements, {"Effect": "Allow", "Action": actions, "Resource": "*"}],
    }


def _length(policy: dict[str, Any]) -> int:
    return len(json.dumps(policy, separators=(",", ":")))


def all_policies(templates: Iterable[Template]) -> dict[str, dict[str, Any]]:
    """The policy documents of every stack by file name."""
    by_stack: dict[str, list[Template]] = {}
    for template in templates:
        by_stack.setdefault(template.stack, []).append(template)
    return {name: document for stack in by_stack for name, document in policies(stack, by_stack[stack]).items()}


def write(folder: Path, documents: dict[str, dict[str, Any]]) -> None:
    """Replace the policies in `folder`."""
    for file in folder.glob("*.json"):
        file.unlink()
    for name, document in documents.items():
        (folder / name).write_text(json.dumps(document, indent=1) + "\n")
