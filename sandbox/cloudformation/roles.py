"""CloudFormation: the service role of a stack, which DescribeStacks reports.

Left out: its permissions, and that a change set's role counts only from the execution on.
"""

import re
from collections.abc import Callable
from typing import Any

from ministack.services.cloudformation import _stacks, handlers

from .removal import name_of

TAKING_A_ROLE = ("CreateStack", "UpdateStack", "CreateChangeSet")
Operation = Callable[[dict[str, Any]], tuple[int, Any, bytes]]


def install(operations: dict[str, Operation]) -> None:
    """Keep the role that a call names, and report it."""
    operations |= {name: _keeping(operations[name]) for name in TAKING_A_ROLE}
    describe = operations["DescribeStacks"]

    def describe_with_role(parameters: dict[str, Any]) -> tuple[int, Any, bytes]:
        def with_role(name: re.Match[str]) -> str:
            role = _stacks[name[1]].get("RoleARN")
            return f"{name[0]}<RoleARN>{role}</RoleARN>" if role else name[0]

        status, headers, body = describe(parameters)
        return status, headers, re.sub("<StackName>(.+?)</StackName>", with_role, body.decode()).encode()

    operations["DescribeStacks"] = describe_with_role


def _keeping(call: Operation) -> Operation:
    def call_and_keep(parameters: dict[str, Any]) -> tuple[int, Any, bytes]:
        answer = call(parameters)
        role = handlers._p(parameters, "RoleARN")
        if answer[0] == 200 and role:
            _stacks[name_of(parameters)]["RoleARN"] = role
        return answer

    return call_and_keep
