"""Responses to the CDK CLI while a stack operation is in progress.

The CDK CLI reads the status of a stack every five seconds, but operations on the sandbox take less than that. So its
request waits until the operation has ended. Other clients receive the current status at once, as on AWS.
"""

import asyncio
import re
from typing import Any
from urllib.parse import parse_qs

from ..ministack import cloudformation
from ..ministack.requests import service_handlers

USER_AGENT = "aws-cdk/"
MAX_WAIT_SECONDS = 30
INTERVAL_SECONDS = 0.05


def install() -> None:
    """Let requests of the CDK CLI wait for operations in progress."""
    handler = service_handlers["cloudformation"]

    async def handle_request(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        if USER_AGENT in headers.get("user-agent", ""):
            await _wait(parse_qs(body.decode(errors="replace")))
        return await handler(method, path, headers, body, query)

    service_handlers["cloudformation"] = handle_request


async def _wait(parameters: dict[str, list[str]]) -> None:
    """Wait until no operation on the stack of the request is in progress."""
    if parameters.get("Action", [""])[0] != "DescribeStacks" or "StackName" not in parameters:
        return
    for _ in range(int(MAX_WAIT_SECONDS / INTERVAL_SECONDS)):
        stack = cloudformation.find_stack(parameters["StackName"][0])
        if not stack or not re.fullmatch("(CREATE|UPDATE|ROLLBACK|DELETE).*_IN_PROGRESS", stack["StackStatus"]):
            return
        await asyncio.sleep(INTERVAL_SECONDS)
