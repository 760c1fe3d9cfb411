"""CloudFormation: what MiniStack's own leaves out of the removal of a stack.

A stack can be named by its id, is DELETE_IN_PROGRESS as soon as its deletion is asked for, and resources with the
deletion policy ``Retain`` stay. Left out: that policy for resources that an update removes, and
for those of a stack whose creation failed; termination protection.
"""

from typing import Any

from ministack.services.cloudformation import _stacks, handlers, stacks


def install() -> None:
    """Let removals be as CloudFormation does them."""
    delete_stack, delete_resource = handlers._delete_stack, stacks._delete_resource

    def delete_stack_at_once(parameters: dict[str, Any]) -> tuple[int, Any, bytes]:
        name = handlers._p(parameters, "StackName").split("/")[-2:][0]  # the CDK CLI gives the stack's id
        answer: tuple[int, Any, bytes] = delete_stack(parameters | {"StackName": [name]})
        stack = _stacks.get(name)
        if answer[0] == 200 and stack and stack["StackStatus"] != "DELETE_COMPLETE":
            stack["StackStatus"] = "DELETE_IN_PROGRESS"
        return answer

    def delete_unless_retained(kind: str, physical_id: str, properties: Any, stack_name: str, logical_id: str) -> None:
        stack = _stacks[stack_name]
        resource = stack.get("_template", {}).get("Resources", {}).get(logical_id, {})
        if stack["StackStatus"] != "DELETE_IN_PROGRESS" or resource.get("DeletionPolicy") != "Retain":
            delete_resource(kind, physical_id, properties, stack_name, logical_id)

    handlers._ACTION_HANDLERS["DeleteStack"] = delete_stack_at_once
    stacks._delete_resource = delete_unless_retained
