"""Look up facts about resources that a change set does not contain; each is looked up once, when it is needed."""

import json
from functools import cache
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from .inspection import NESTED, Lookups

if TYPE_CHECKING:
    from types_boto3_cloudformation import CloudFormationClient

# Resources that were once part of the stack. Others can have created resources with the same names since.
REMOVED = ("DELETE_COMPLETE", "DELETE_SKIPPED")


def lookups(cloudformation: "CloudFormationClient", stack_name: str) -> Lookups:
    """Create the lookups for a stack and its nested stacks."""

    @cache
    def physical_ids() -> frozenset[tuple[str, str]]:
        return frozenset(_physical_ids(cloudformation, stack_name))

    @cache
    def create_only(resource_type: str) -> tuple[str, ...] | None:
        return _create_only(cloudformation, resource_type)

    return Lookups(physical_ids, create_only)


def _physical_ids(cloudformation: "CloudFormationClient", stack_name: str) -> set[tuple[str, str]]:
    physical_ids: set[tuple[str, str]] = set()
    stacks = [stack_name]
    while stacks:
        for page in cloudformation.get_paginator("list_stack_resources").paginate(StackName=stacks.pop()):
            for resource in page["StackResourceSummaries"]:
                if resource["ResourceStatus"] in REMOVED:
                    continue
                kind, physical_id = resource["ResourceType"], resource.get("PhysicalResourceId", "")
                if kind == NESTED and physical_id and (kind, physical_id) not in physical_ids:
                    stacks.append(physical_id)
                physical_ids.add((kind, physical_id))
    return {(kind, physical_id) for kind, physical_id in physical_ids if physical_id}


def _create_only(cloudformation: "CloudFormationClient", resource_type: str) -> tuple[str, ...] | None:
    """Return JSON pointers to the create-only properties of a type; None if it has no readable schema."""
    try:
        described = cloudformation.describe_type(Type="RESOURCE", TypeName=resource_type)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("TypeNotFoundException", "CFNRegistryException", "ValidationError"):
            return None
        raise
    try:
        schema = json.loads(described.get("Schema") or "null")
    except RecursionError:  # of a third-party type
        return None
    if schema is None:
        return None
    return (*schema.get("createOnlyProperties", ()), *schema.get("conditionalCreateOnlyProperties", ()))
