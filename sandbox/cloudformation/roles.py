"""Service roles of stacks, as DescribeStacks reports them.

Not implemented: permissions of the role; that the role of a change set applies only after its execution.
"""

import re
from collections.abc import Callable
from typing import Any

from ..ministack import cloudformation
from .deletion import name_of

ROLE_OPERATIONS = ("CreateStack", "UpdateStack", "CreateChangeSet")
Operation = Callable[[dict[str, Any]], tuple[int, Any, bytes]]


def install(operations: dict[str, Operation]) -> None:
    """Store the role of a request, and report it."""
    operations |= {name: _store_role(operations[name]) for name in ROLE_OPERATIONS}
    describe = operations["DescribeStacks"]

    def describe_with_role(parameters: dict[str, Any]) -> tuple[int, Any, bytes]:
        def with_role(name: re.Match[str]) -> str:
            role = cloudformation.stacks[name[1]].get("RoleARN")
            return f"{name[0]}<RoleARN>{role}</RoleARN>" if role else name[0]

        status, headers, body = describe(parameters)
        return status, headers, re.sub("<StackName>(.+?)</StackName>", with_role, body.decode()).encode()

    operations["DescribeStacks"] = describe_with_role


def _store_role(operation: Operation) -> Operation:
    def call_and_store(parameters: dict[str, Any]) -> tuple[int, Any, bytes]:
        response = operation(parameters)
        role = cloudformation.parameter(parameters, "RoleARN")
        if response[0] == 200 and role:
            cloudformation.stacks[name_of(parameters)]["RoleARN"] = role
        return response

    return call_and_store
