"""Facts about logs that hold for the templates of all stacks: no log group stays behind that no stack knows."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import Assembly, as_list


@pytest.fixture(params=["assembly", "full_assembly"])
def templates(request: pytest.FixtureRequest) -> list[tuple[str, dict[str, Any]]]:
    found: Assembly = request.getfixturevalue(request.param)
    return [(path.name, json.loads(path.read_text())["Resources"]) for path in found.templates]


def of_type(
    templates: list[tuple[str, dict[str, Any]]], kind: str
) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Each resource of a type: where it is, its properties, and the resources of its stack."""
    for name, resources in templates:
        for logical_id, resource in resources.items():
            if resource["Type"] == kind:
                yield f"{name}: {logical_id}", resource["Properties"], resources


def test_every_function_logs_to_a_log_group_of_its_stack(templates: list[tuple[str, dict[str, Any]]]) -> None:
    """Lambda creates any other by itself, which never expires and which nothing removes."""
    for where, function, resources in of_type(templates, "AWS::Lambda::Function"):
        group = function.get("LoggingConfig", {}).get("LogGroup", {}).get("Ref")
        assert group in resources, f"{where} logs to a group that Lambda creates"
        assert resources[group]["Type"] == "AWS::Logs::LogGroup", where


def test_no_function_may_create_a_log_group(templates: list[tuple[str, dict[str, Any]]]) -> None:
    """Lambda writes its last lines after the stack's removal has deleted the group, and would create it anew.

    The denial is in the role itself, because a policy of its own is deleted before the role.
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


def test_no_log_group_has_a_name_that_lambda_may_take_first(templates: list[tuple[str, dict[str, Any]]]) -> None:
    for where, group, _ in of_type(templates, "AWS::Logs::LogGroup"):
        assert "/aws/lambda/" not in json.dumps(group.get("LogGroupName", "")), where


def test_state_machine_logs_below_the_prefix_for_vended_logs(templates: list[tuple[str, dict[str, Any]]]) -> None:
    """Each other name takes room in the one resource policy of CloudWatch Logs, which has 5,120 characters."""
    for where, machine, resources in of_type(templates, "AWS::StepFunctions::StateMachine"):
        for destination in machine["LoggingConfiguration"]["Destinations"]:
            group = destination["CloudWatchLogsLogGroup"]["LogGroupArn"]["Fn::GetAtt"][0]
            name = json.dumps(resources[group]["Properties"].get("LogGroupName"))
            assert "/aws/vendedlogs/states/" in name, f"{where} logs to {name}"
            assert "AWS::StackId" in name, f"{where}: a group that was kept would stop a new stack of the same name"
