"""Service roles of stacks, as DescribeStacks reports them.

Left out: permissions of the role; that the role of a change set applies only after its execution.
"""

import re
from collections.abc import Callable
from typing import Any

from ministack.services.cloudformation import _stacks, handlers

ROLE_OPERATIONS = ("CreateStack", "UpdateStack", "CreateChangeSet")
Operation = Callable[[dict[str, Any]], tuple[int, Any, bytes]]


def install(operations: dict[str, Operation]) -> None:
    """Store the role of a request, and report it."""
    operations |= {name: _store_role(operations[name]) for name in ROLE_OPERATIONS}
    describe = operations["DescribeStacks"]

    def describe_with_role(parameters: dict[str, Any]) -> tuple[int, Any, bytes]:
        def with_role(name: re.Match[str]) -> str:
            role = _stacks[name[1]].get("RoleARN")
            return f"{name[0]}<RoleARN>{role}</RoleARN>" if role else name[0]

        status, headers, body = describe(parameters)
        return status, headers, re.sub("<StackName>(.+?)</StackName>", with_role, body.decode()).encode()

    operations["DescribeStacks"] = describe_with_role


def name_of(parameters: dict[str, Any]) -> str:
    """Return the name of the stack in a request; the CDK CLI sends the stack's id."""
    name: str = handlers._p(parameters, "StackName").split("/")[-2:][0]
    return name


def _store_role(operation: Operation) -> Operation:
    def call_and_store(parameters: dict[str, Any]) -> tuple[int, Any, bytes]:
        response = operation(parameters)
        role = handlers._p(parameters, "RoleARN")
        if response[0] == 200 and role:
            _stacks[name_of(parameters)]["RoleARN"] = role
        return response

    return call_and_store
