"""CloudFormation: what MiniStack's own leaves out of the removal of a stack.

A stack can be named by its id, is DELETE_IN_PROGRESS as soon as its deletion is asked for, and resources with the
deletion policy ``Retain`` or ``RetainExceptOnCreate`` stay. When a creation fails, only those with ``Retain`` do. A
stack that is protected from termination is not deleted. Left out: that policy for resources that an update removes.
"""

import re
from typing import Any

from ministack.services.cloudformation import _stacks, handlers, stacks

KEPT = {
    "DELETE_IN_PROGRESS": ("Retain", "RetainExceptOnCreate"),
    "ROLLBACK_IN_PROGRESS": ("Retain",),
    "UPDATE_ROLLBACK_IN_PROGRESS": ("Retain",),
}
PROTECTED = "EnableTerminationProtection"


def install() -> None:
    """Let removals be as CloudFormation does them."""
    delete_stack, delete_resource = handlers._delete_stack, stacks._delete_resource

    def delete_stack_at_once(parameters: dict[str, Any]) -> tuple[int, Any, bytes]:
        name = name_of(parameters)
        if name in _stacks and _stacks[name].get(PROTECTED) == "true":
            why = f"Stack [{name}] cannot be deleted while TerminationProtection is enabled"
            return handlers._error("ValidationError", why)
        answer: tuple[int, Any, bytes] = delete_stack(parameters | {"StackName": [name]})
        stack = _stacks.get(name)
        if answer[0] == 200 and stack and stack["StackStatus"] != "DELETE_COMPLETE":
            stack["StackStatus"] = "DELETE_IN_PROGRESS"
        return answer

    def delete_unless_retained(kind: str, physical_id: str, properties: Any, stack_name: str, logical_id: str) -> None:
        stack = _stacks[stack_name]
        # The template of an operation that has not succeeded is there as text only.
        resources = handlers._parse_template(stack["_template_body"])["Resources"]
        policy = resources.get(logical_id, {}).get("DeletionPolicy", "Delete")
        if policy not in KEPT.get(stack["StackStatus"], ()):
            delete_resource(kind, physical_id, properties, stack_name, logical_id)

    handlers._ACTION_HANDLERS["DeleteStack"] = delete_stack_at_once
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
        def told(name: re.Match[str]) -> str:
            return f"{name[0]}<{PROTECTED}>{_stacks[name[1]].get(PROTECTED, 'false')}</{PROTECTED}>"

        status, headers, body = describe(parameters)
        return status, headers, re.sub("<StackName>(.+?)</StackName>", told, body.decode()).encode()

    operations |= {"UpdateTerminationProtection": protect, "DescribeStacks": describe_with_protection}


def name_of(parameters: dict[str, Any]) -> str:
    """The name of the stack that is meant; the CDK CLI gives the stack's id."""
    name: str = handlers._p(parameters, "StackName").split("/")[-2:][0]
    return name
