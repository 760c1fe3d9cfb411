"""Deletion of stacks: CloudFormation refuses it while another stack imports an export, with a reason in the status.

The status is DELETE_IN_PROGRESS as soon as DeleteStack returns.
"""

from typing import Any

from ..ministack import cloudformation
from . import exports

STARTED = cloudformation.xml_response(200, "DeleteStackResponse", "")


def install() -> None:
    """Replace MiniStack's operation."""
    cloudformation.operations["DeleteStack"] = _start_deletion


def _start_deletion(parameters: dict[str, Any]) -> Any:
    stack = cloudformation.find_stack(cloudformation.parameter(parameters, "StackName"))
    if stack and not stack.get("EnableTerminationProtection"):
        reason = exports.first_in_use(stack)
        if reason:
            stack["StackStatusReason"] = reason
            return STARTED
    response = cloudformation.delete_stack(parameters)
    if response[0] == 200 and stack and stack["StackStatus"] != "DELETE_COMPLETE":
        stack["StackStatus"] = "DELETE_IN_PROGRESS"
    return response


def name_of(parameters: dict[str, Any]) -> str:
    """Return the name of the stack in a request; the CDK CLI sends the stack's id."""
    name: str = cloudformation.parameter(parameters, "StackName").split("/")[-2:][0]
    return name
