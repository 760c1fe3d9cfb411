"""Service roles of stacks, as DescribeStacks reports them, and its responses to the CDK CLI.

The CDK CLI reads the status of a stack every five seconds, but operations on the sandbox take less than that. So its
request waits until the operation has ended. Other clients receive the current status at once, as on AWS.

Not implemented: that the role of a change set applies only after its execution. `iam.provisioning` checks the
permissions of the role.
"""

import asyncio
import re
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from ..ministack import cloudformation
from ..ministack.requests import service_handlers

USER_AGENT = "aws-cdk/"
MAX_WAIT_SECONDS = 30
INTERVAL_SECONDS = 0.05
Operation = Callable[[dict[str, Any]], tuple[int, Any, bytes]]


def install(operations: dict[str, Operation]) -> None:
    """Store the role of a request and report it, and let requests of the CDK CLI wait for operations in progress."""
    for name in ("CreateStack", "UpdateStack", "CreateChangeSet"):
        operations[name] = partial(_storing_role, operations[name])
    operations["DescribeStacks"] = partial(_with_roles, operations["DescribeStacks"])
    service_handlers["cloudformation"] = partial(_waiting, service_handlers["cloudformation"])


def _storing_role(operation: Operation, parameters: dict[str, Any]) -> tuple[int, Any, bytes]:
    response = operation(parameters)
    role = cloudformation.parameter(parameters, "RoleARN")
    if response[0] == 200 and role:
        cloudformation.find_stack(cloudformation.parameter(parameters, "StackName"))["RoleARN"] = role
    return response


def _with_roles(describe: Operation, parameters: dict[str, Any]) -> tuple[int, Any, bytes]:
    def with_role(name: re.Match[str]) -> str:
        role = cloudformation.stacks[name[1]].get("RoleARN")
        return f"{name[0]}<RoleARN>{role}</RoleARN>" if role else name[0]

    status, headers, body = describe(parameters)
    return status, headers, re.sub("<StackName>(.+?)</StackName>", with_role, body.decode()).encode()


async def _waiting(handle: Callable[..., Any], method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
    if USER_AGENT in headers.get("user-agent", ""):
        await _wait(parse_qs(body.decode(errors="replace")))
    return await handle(method, path, headers, body, query)


async def _wait(parameters: dict[str, list[str]]) -> None:
    """Wait until no operation on the stack of the request is in progress."""
    if parameters.get("Action", [""])[0] != "DescribeStacks" or "StackName" not in parameters:
        return
    for _ in range(int(MAX_WAIT_SECONDS / INTERVAL_SECONDS)):
        stack = cloudformation.find_stack(parameters["StackName"][0])
        if not stack or not re.fullmatch("(CREATE|UPDATE|ROLLBACK|DELETE).*_IN_PROGRESS", stack["StackStatus"]):
            return
        await asyncio.sleep(INTERVAL_SECONDS)
