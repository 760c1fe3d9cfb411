"""Lookups of an inspection: the resources of a stack, and the create-only properties of a type."""

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambdas.deploy_pipeline.lookups import lookups

from .fake_cloudformation import DENIED, error

STACK, QUEUE = "AWS::CloudFormation::Stack", "AWS::SQS::Queue"


def physical_ids(
    stacks: dict[str, list[tuple[str, str]]], statuses: dict[str, str] | None = None
) -> frozenset[tuple[str, str]]:
    def pages(StackName: str) -> list[Any]:
        rows = [
            {
                "ResourceType": kind,
                "PhysicalResourceId": name,
                "ResourceStatus": (statuses or {}).get(name, "CREATE_COMPLETE"),
            }
            for kind, name in stacks[StackName]
        ]
        return [{"StackResourceSummaries": [row]} for row in rows]

    cloudformation: Any = SimpleNamespace(get_paginator=lambda _operation: SimpleNamespace(paginate=pages))
    return lookups(cloudformation, "app").physical_ids()


def test_resources_of_nested_stacks_belong_to_the_stack() -> None:
    stacks = {
        "app": [(STACK, "arn:child"), (QUEUE, "outer"), (QUEUE, "")],  # the last one is being created
        "arn:child": [(STACK, "arn:grandchild")],
        "arn:grandchild": [(QUEUE, "inner")],
    }
    assert physical_ids(stacks) == {
        (STACK, "arn:child"),
        (STACK, "arn:grandchild"),
        (QUEUE, "outer"),
        (QUEUE, "inner"),
    }


@pytest.mark.parametrize("status", ["DELETE_COMPLETE", "DELETE_SKIPPED"])
@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="a policy for a queue that the stack once had, and that now belongs to others",
    expected="its target is not in the stack",
    observed="deleted and retained resources are not looked up, and neither are deleted nested stacks",
)
def test_former_resources_do_not_belong_to_the_stack(status: str) -> None:
    """CloudFormation can list resources that an update or a rollback has removed."""
    stacks = {"app": [(QUEUE, "current"), (QUEUE, "former"), (STACK, "arn:former")]}
    assert physical_ids(stacks, {"former": status, "arn:former": status}) == {(QUEUE, "current")}


def create_only(refusal: ClientError) -> tuple[str, ...] | None:
    def describe_type(**_request: str) -> None:
        raise refusal

    cloudformation: Any = SimpleNamespace(describe_type=describe_type)
    return lookups(cloudformation, "app").create_only("Own::Type::Resource")


@pytest.mark.parametrize("code", ["TypeNotFoundException", "CFNRegistryException", "ValidationError"])
def test_type_without_readable_schema_has_unknown_properties(code: str) -> None:
    assert create_only(error(code)) is None


def test_denied_schema_is_an_error() -> None:
    with pytest.raises(ClientError):
        create_only(DENIED)
