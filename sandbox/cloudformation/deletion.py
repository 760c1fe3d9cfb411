"""Deletion of stacks: the status is DELETE_IN_PROGRESS as soon as DeleteStack returns."""

from typing import Any

from ..ministack import cloudformation


def install() -> None:
    """Replace MiniStack's operation."""
    cloudformation.operations["DeleteStack"] = _start_deletion


def _start_deletion(parameters: dict[str, Any]) -> tuple[int, Any, bytes]:
    name = name_of(parameters)
    response: tuple[int, Any, bytes] = cloudformation.delete_stack(parameters | {"StackName": [name]})
    stack = cloudformation.stacks.get(name)
    if response[0] == 200 and stack and stack["StackStatus"] != "DELETE_COMPLETE":
        stack["StackStatus"] = "DELETE_IN_PROGRESS"
    return response


def name_of(parameters: dict[str, Any]) -> str:
    """Return the name of the stack in a request; the CDK CLI sends the stack's id."""
    name: str = cloudformation.parameter(parameters, "StackName").split("/")[-2:][0]
    return name
