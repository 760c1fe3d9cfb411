"""Deletion of stacks and resources.

Implements: stack ids in place of names; DELETE_IN_PROGRESS as soon as DeleteStack returns; the deletion policies
``Retain`` and ``RetainExceptOnCreate`` (after a failed creation only ``Retain``); termination protection. Left out:
deletion policies of resources that an update removes.
"""

import re
from typing import Any

from ministack.services.cloudformation import _stacks, handlers, stacks

RETAINED_POLICIES = {
    "DELETE_IN_PROGRESS": ("Retain", "RetainExceptOnCreate"),
    "ROLLBACK_IN_PROGRESS": ("Retain",),
    "UPDATE_ROLLBACK_IN_PROGRESS": ("Retain",),
}
PROTECTED = "EnableTerminationProtection"


def install() -> None:
    """Replace MiniStack's operations."""
    delete_stack, delete_resource = handlers._delete_stack, stacks._delete_resource

    def start_deletion(parameters: dict[str, Any]) -> tuple[int, Any, bytes]:
        name = name_of(parameters)
        if name in _stacks and _stacks[name].get(PROTECTED) == "true":
            message = f"Stack [{name}] cannot be deleted while TerminationProtection is enabled"
            return handlers._error("ValidationError", message)
        response: tuple[int, Any, bytes] = delete_stack(parameters | {"StackName": [name]})
        stack = _stacks.get(name)
        if response[0] == 200 and stack and stack["StackStatus"] != "DELETE_COMPLETE":
            stack["StackStatus"] = "DELETE_IN_PROGRESS"
        return response

    def delete_unless_retained(kind: str, physical_id: str, properties: Any, stack_name: str, logical_id: str) -> None:
        stack = _stacks[stack_name]
        # MiniStack parses the template only when the operation succeeds.
        resources = handlers._parse_template(stack["_template_body"])["Resources"]
        policy = resources.get(logical_id, {}).get("DeletionPolicy", "Delete")
        if policy not in RETAINED_POLICIES.get(stack["StackStatus"], ()):
            delete_resource(kind, physical_id, properties, stack_name, logical_id)

    handlers._ACTION_HANDLERS["DeleteStack"] = start_deletion
    stacks._delete_resource = delete_unless_retained
    _install_protection(handlers._ACTION_HANDLERS)


def _install_protection(operations: dict[str, Any]) -> None:
    describe = operations["DescribeStacks"]

    def protect(parameters: dict[str, Any]) -> Any:
        stack = _stacks[name_of(parameters)]
        stack[PROTECTED] = handlers._p(parameters, PROTECTED)
        result = f"<UpdateTerminationProtectionResult><StackId>{stack['StackId']}</StackId>"
        return handlers._xml(
            200, "UpdateTerminationProtectionResponse", f"{result}</UpdateTerminationProtectionResult>"
        )

    def describe_with_protection(parameters: dict[str, Any]) -> Any:
        def with_protection(name: re.Match[str]) -> str:
            return f"{name[0]}<{PROTECTED}>{_stacks[name[1]].get(PROTECTED, 'false')}</{PROTECTED}>"

        status, headers, body = describe(parameters)
        return status, headers, re.sub("<StackName>(.+?)</StackName>", with_protection, body.decode()).encode()

    operations |= {"UpdateTerminationProtection": protect, "DescribeStacks": describe_with_protection}


def name_of(parameters: dict[str, Any]) -> str:
    """Return the name of the stack in a request; the CDK CLI sends the stack's id."""
    name: str = handlers._p(parameters, "StackName").split("/")[-2:][0]
    return name
