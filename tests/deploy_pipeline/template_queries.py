"""Read resources, roles and permissions from the template of `DeployPipeline`."""

import re
from typing import Any

from ..conftest import as_list, only_resource, resources_of_type


def logical_id(template: dict[str, Any], resource_type: str, word: str) -> str:
    """Return the logical ID of the only resource of a type whose ID contains `word`."""
    (name,) = (k for k, r in template["Resources"].items() if r["Type"] == resource_type and word in k)
    return name


def service_role(template: dict[str, Any]) -> str:
    """Return the logical ID of CloudFormation's service role."""
    name: str = template["Outputs"]["ServiceRoleArn"]["Value"]["Fn::GetAtt"][0]
    return name


def statements(template: dict[str, Any], role: str) -> list[dict[str, Any]]:
    """Return the statements of all policies of a role."""
    return [
        statement
        for policy in resources_of_type(template, "AWS::IAM::Policy")
        if {"Ref": role} in policy["Roles"]
        for statement in policy["PolicyDocument"]["Statement"]
    ]


def granted_actions(template: dict[str, Any], role: str) -> set[str]:
    return {action for statement in statements(template, role) for action in as_list(statement["Action"])}


def is_allowed(template: dict[str, Any], role: str, action: str, resource: str) -> bool:
    """Return whether a role allows an action on `resource`, the last part of an ARN with type and name."""
    for statement in statements(template, role):
        assert statement["Effect"] == "Allow"
        for arn in as_list(statement["Resource"]):
            parts = arn["Fn::Join"][1] if isinstance(arn, dict) and "Fn::Join" in arn else [arn]
            text = "".join(part for part in parts if isinstance(part, str))
            pattern = re.escape(text.rpartition(":")[2]).replace(r"\*", ".*").replace(r"\?", ".")
            if action in as_list(statement["Action"]) and re.fullmatch(pattern, resource):
                return True
    return False


def roles_by_id(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {k: r["Properties"] for k, r in template["Resources"].items() if r["Type"] == "AWS::IAM::Role"}


def pipeline_actions(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the actions of the pipeline, by stage and name."""
    stages = only_resource(template, "AWS::CodePipeline::Pipeline")["Stages"]
    return {f"{stage['Name']}/{action['Name']}": action for stage in stages for action in stage["Actions"]}


def nested_values(value: Any) -> list[Any]:
    """Return a value and every value within it."""
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return [value, *(deeper for item in inner for deeper in nested_values(item))]


def referenced_ids(value: Any) -> list[str]:
    """Return the logical IDs in every Ref and Fn::GetAtt within a value."""
    objects = [item for item in nested_values(value) if isinstance(item, dict)]
    return [item.get("Ref") or item["Fn::GetAtt"][0] for item in objects if item.keys() & {"Ref", "Fn::GetAtt"}]
