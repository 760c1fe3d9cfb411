"""What the inspection has to know of resources beyond the change set; each question is asked once."""

import json
from functools import cache
from typing import Any

from botocore.exceptions import ClientError

from .inspection import NESTED, Lookups


def lookups(cloudformation: Any, stack_name: str) -> Lookups:
    """Answer the questions about the resources of a stack and those nested in it."""

    @cache
    def physical_ids() -> frozenset[tuple[str, str]]:
        return frozenset(_physical_ids(cloudformation, stack_name))

    @cache
    def create_only(resource_type: str) -> tuple[str, ...] | None:
        return _create_only(cloudformation, resource_type)

    return Lookups(physical_ids, create_only)


def _physical_ids(cloudformation: Any, stack_name: str) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    waiting = [stack_name]
    while waiting:
        for page in cloudformation.get_paginator("list_stack_resources").paginate(StackName=waiting.pop()):
            for resource in page["StackResourceSummaries"]:
                kind, physical_id = resource["ResourceType"], resource.get("PhysicalResourceId", "")
                if kind == NESTED and physical_id and (kind, physical_id) not in found:
                    waiting.append(physical_id)
                found.add((kind, physical_id))
    return {(kind, physical_id) for kind, physical_id in found if physical_id}


def _create_only(cloudformation: Any, resource_type: str) -> tuple[str, ...] | None:
    """JSON pointers to the properties that can replace a resource; None if the type has no schema."""
    try:
        described = cloudformation.describe_type(Type="RESOURCE", TypeName=resource_type)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("TypeNotFoundException", "CFNRegistryException", "ValidationError"):
            return None
        raise
    schema = json.loads(described.get("Schema") or "null")
    if schema is None:
        return None
    return (*schema.get("createOnlyProperties", ()), *schema.get("conditionalCreateOnlyProperties", ()))
