"""Creates and updates stacks in a sandbox, and returns what CloudFormation reports about them."""

import json
import uuid
from dataclasses import dataclass
from typing import Any

from sandbox import Sandbox
from sandbox.target import session, target_of

QUEUE = {"Type": "AWS::SQS::Queue"}
TOPIC = {"Type": "AWS::SNS::Topic"}


@dataclass
class Stacks:
    """Stacks in a sandbox."""

    sandbox: Sandbox

    def __post_init__(self) -> None:
        self.clients = session(self.sandbox)
        self.cloudformation = self.clients.client("cloudformation")

    def name(self) -> str:
        return f"test-{uuid.uuid4().hex[:8]}"

    def create(self, name: str, /, **sections: Any) -> dict[str, Any]:
        """Create a stack, wait for the end and return it."""
        self.cloudformation.create_stack(StackName=name, **request(sections))
        return self.wait(name)

    def update(self, name: str, /, **sections: Any) -> dict[str, Any]:
        self.cloudformation.update_stack(StackName=name, **request(sections))
        return self.wait(name)

    def wait(self, name: str) -> dict[str, Any]:
        def ended() -> dict[str, Any] | None:
            (stack,) = self.cloudformation.describe_stacks(StackName=name)["Stacks"]
            return None if stack["StackStatus"].endswith("IN_PROGRESS") else dict(stack)

        return target_of(self.sandbox).wait_until(ended, f"the end of the operation on {name}")

    def change_set(self, name: str, /, *, kind: str = "UPDATE", **sections: Any) -> dict[str, Any]:
        """Create a change set and return its description."""
        self.cloudformation.create_change_set(
            StackName=name, ChangeSetName="change", ChangeSetType=kind, **request(sections)
        )
        return dict(self.cloudformation.describe_change_set(StackName=name, ChangeSetName="change"))

    def events(self, name: str) -> list[tuple[str, str, str]]:
        """Return logical id, status and reason of each event, the oldest first."""
        events = self.cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        return [
            (event["LogicalResourceId"], event["ResourceStatus"], event.get("ResourceStatusReason", ""))
            for event in reversed(events)
        ]

    def physical_ids(self, name: str) -> dict[str, str]:
        resources = self.cloudformation.list_stack_resources(StackName=name)["StackResourceSummaries"]
        return {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in resources}


def request(sections: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of a request, from sections of the template and parameters in lower case."""
    options = {name: value for name, value in sections.items() if name in ("Capabilities", "Tags")}
    values = [{"ParameterKey": key, "ParameterValue": value} for key, value in sections.get("values", {}).items()]
    template = {key: value for key, value in sections.items() if key not in (*options, "values")}
    return {"TemplateBody": json.dumps(template), "Parameters": values} | options
