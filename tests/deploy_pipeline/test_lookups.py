"""Lookups of an inspection: the resources of a stack, and the create-only properties of a type."""

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambdas.deploy_pipeline.lookups import lookups

from .fake_cloudformation import DENIED, error

STACK, QUEUE = "AWS::CloudFormation::Stack", "AWS::SQS::Queue"


def test_resources_of_nested_stacks_belong_to_the_stack() -> None:
    stacks = {
        "app": [(STACK, "arn:child"), (QUEUE, "outer"), (QUEUE, "")],  # the last one is being created
        "arn:child": [(STACK, "arn:grandchild")],
        "arn:grandchild": [(QUEUE, "inner")],
    }

    def pages(StackName: str) -> list[Any]:
        rows = [{"ResourceType": kind, "PhysicalResourceId": name} for kind, name in stacks[StackName]]
        return [{"StackResourceSummaries": [row]} for row in rows]

    cloudformation: Any = SimpleNamespace(get_paginator=lambda _operation: SimpleNamespace(paginate=pages))
    assert lookups(cloudformation, "app").physical_ids() == {
        (STACK, "arn:child"),
        (STACK, "arn:grandchild"),
        (QUEUE, "outer"),
        (QUEUE, "inner"),
    }


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
