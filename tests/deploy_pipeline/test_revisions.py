"""Revisions can be superseded: a push of code, a new route, or a new image is safe; the removal of the last is not."""

import json
import re
from typing import Any

import pytest

from lambdas.deploy_pipeline.inspection import Policy

from .changes import MARKER, change, detail, reasons

VERSION = "AWS::Lambda::Version"


def version(action: str, logical_id: str, function: str | None, **more: Any) -> Any:
    when = {"Add": "AfterContext", "Remove": "BeforeContext"}[action]
    context = {when: json.dumps({"Properties": {"FunctionName": function}})} if function else {}
    return change(action, logical_id, VERSION, **context, **more)


@pytest.mark.parametrize("policy_action", ["Delete", "Retain"])
@pytest.mark.parametrize("new", ["orders", MARKER, None])
def test_removal_of_superseded_revision_is_safe(policy_action: str, new: str | None) -> None:
    old = version("Remove", "Version1", "orders", PolicyAction=policy_action)
    assert not reasons(old, version("Add", "Version2", new))
    for not_visible in (None, MARKER):
        assert not reasons(version("Remove", "Version1", not_visible), version("Add", "Version2", new))
    assert reasons(old, version("Add", "Version2", new), policy=Policy(revisions=False))


@pytest.mark.parametrize(
    "kind",
    ["AWS::ApiGateway::Deployment", "AWS::ApiGatewayV2::Deployment", "AWS::Lambda::LayerVersion", VERSION],
)
def test_every_revision_type_is_accepted(kind: str) -> None:
    assert not reasons(change("Remove", "Old", kind), change("Add", "New", kind))


@pytest.mark.reliability(
    "deploy_pipeline",
    "System-specific",
    fault="a revision (Lambda version, API deployment) is removed without a successor",
    expected="rejected, unlike the removal of a superseded revision",
    observed='"it is deleted"',
)
def test_removal_of_last_revision_is_unsafe() -> None:
    old = version("Remove", "Version1", "orders")
    assert reasons(old) == "it is deleted"
    assert reasons(old, version("Add", "Version2", "payments")) == "it is deleted", "of another function"
    assert reasons(old, change("Add", "Layer", "AWS::Lambda::LayerVersion")) == "it is deleted"
    assert reasons(version("Remove", "V", None)) == "it is deleted"
    assert reasons(change("Dynamic", "V", VERSION))


NAMED, UNNAMED = {"Family": "orders", "Cpu": "256"}, {"Cpu": "256"}


@pytest.mark.parametrize(("old", "new"), [(NAMED, UNNAMED), (UNNAMED, NAMED), (UNNAMED, UNNAMED)])
def test_revision_with_generated_name_is_of_another_family(old: Any, new: Any) -> None:
    kind, contexts = "AWS::ECS::TaskDefinition", [json.dumps({"Properties": shown}) for shown in (old, new)]
    removed = change("Remove", "Old", kind, PolicyAction="Delete", BeforeContext=contexts[0])
    assert reasons(removed, change("Add", "New", kind, AfterContext=contexts[1])) == "it is deleted"


def test_replacement_of_task_definition_is_safe() -> None:
    """A new image replaces the task definition, and updates the service in place."""
    task = change(
        "Modify",
        "Task",
        "AWS::ECS::TaskDefinition",
        Replacement="True",
        Details=[detail("Always", name="ContainerDefinitions")],
    )
    service = [detail("Never", "Dynamic", name="TaskDefinition", source="ResourceReference", entity="Task")]
    assert not reasons(task, change("Modify", "Service", "AWS::ECS::Service", Details=service))
    schedule = [detail("Always", "Dynamic", name="Task", source="ResourceReference", entity="Task")]
    dependent = change("Modify", "Other", "A::B::C", Replacement="Conditional", Details=schedule)
    assert reasons(task, dependent) == "it may be replaced because of Task", "its ARN does not stay the same"
    assert reasons(task, policy=Policy(revisions=False)) == "it is replaced because of ContainerDefinitions"


@pytest.mark.parametrize(
    ("kind", "name", "arn"),
    [
        (VERSION, "FunctionName", "arn:aws:lambda:us-east-1:111111111111:function:orders"),
        ("AWS::Lambda::LayerVersion", "LayerName", "arn:aws:lambda:us-east-1:111111111111:layer:orders"),
        (VERSION, "FunctionName", "arn:aws:lambda:us-east-1:111111111111:function:function"),
        ("AWS::ECS::TaskDefinition", "Family", "arn:aws:ecs:us-east-1:111111111111:task-definition/orders"),
    ],
)
def test_removed_revision_is_known_by_its_arn(kind: str, name: str, arn: str) -> None:
    """CloudFormation shows a reference in a removed resource as known after the update."""
    context = json.dumps({"Properties": {name: MARKER}})
    old = change("Remove", "Old", kind, PhysicalResourceId=f"{arn}:3", BeforeContext=context)

    def successor(value: str) -> Any:
        return change("Add", "New", kind, AfterContext=json.dumps({"Properties": {name: value}}))

    assert not reasons(old, successor(re.split("[:/]", arn)[-1]))
    assert not reasons(old, successor(arn))
    assert not reasons(old, successor(MARKER))
    assert reasons(old, successor("3")) == reasons(old, successor("payments")) == "it is deleted"
    other_account = arn.replace("111111111111", "000000000000")
    assert reasons(old, successor(other_account)) == "it is deleted"
