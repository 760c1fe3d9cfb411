"""Log groups of all stacks: none is left behind or created by a service."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import Assembly, as_list


@pytest.fixture(params=["assembly", "full_assembly"])
def templates(request: pytest.FixtureRequest) -> list[tuple[str, dict[str, Any]]]:
    assembly: Assembly = request.getfixturevalue(request.param)
    return [(path.name, json.loads(path.read_text())["Resources"]) for path in assembly.templates]


def of_type(
    templates: list[tuple[str, dict[str, Any]]], kind: str
) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Each resource of a type: its location, its properties and the resources of its stack."""
    for name, resources in templates:
        for logical_id, resource in resources.items():
            if resource["Type"] == kind:
                yield f"{name}: {logical_id}", resource["Properties"], resources


def test_every_function_logs_to_a_log_group_of_its_stack(templates: list[tuple[str, dict[str, Any]]]) -> None:
    """Lambda would create another group, which never expires and which no stack deletes."""
    for where, function, resources in of_type(templates, "AWS::Lambda::Function"):
        group = function.get("LoggingConfig", {}).get("LogGroup", {}).get("Ref")
        assert group in resources, f"{where} logs to a group that Lambda creates"
        assert resources[group]["Type"] == "AWS::Logs::LogGroup", where


def test_function_cannot_create_log_groups(templates: list[tuple[str, dict[str, Any]]]) -> None:
    """Lambda writes its last lines after the stack has deleted the group, and would create it again.

    The role has the Deny inline, because a separate policy is deleted before the role.
    """
    for where, function, resources in of_type(templates, "AWS::Lambda::Function"):
        role = resources[function["Role"]["Fn::GetAtt"][0]]["Properties"]
        denied = [
            statement
            for policy in role.get("Policies", [])
            for statement in policy["PolicyDocument"]["Statement"]
            if statement["Effect"] == "Deny" and statement["Resource"] == "*"
        ]
        if "AWSLambdaBasicExecutionRole" in json.dumps(role.get("ManagedPolicyArns", [])):
            assert any("logs:CreateLogGroup" in as_list(statement["Action"]) for statement in denied), where
    for where, policy, _ in of_type(templates, "AWS::IAM::Policy"):
        assert "logs:CreateLogGroup" not in json.dumps(policy), where


def test_log_group_name_is_not_one_that_lambda_creates(templates: list[tuple[str, dict[str, Any]]]) -> None:
    for where, group, _ in of_type(templates, "AWS::Logs::LogGroup"):
        assert "/aws/lambda/" not in json.dumps(group.get("LogGroupName", "")), where


def test_state_machine_log_group_has_vended_logs_prefix(templates: list[tuple[str, dict[str, Any]]]) -> None:
    """Other names use up the resource policy of CloudWatch Logs, which is limited to 5,120 characters."""
    for where, machine, resources in of_type(templates, "AWS::StepFunctions::StateMachine"):
        for destination in machine["LoggingConfiguration"]["Destinations"]:
            group = destination["CloudWatchLogsLogGroup"]["LogGroupArn"]["Fn::GetAtt"][0]
            name = json.dumps(resources[group]["Properties"].get("LogGroupName"))
            assert "/aws/vendedlogs/states/" in name, f"{where} logs to {name}"
            assert "AWS::StackId" in name, f"{where}: a retained group would block a new stack of the same name"
