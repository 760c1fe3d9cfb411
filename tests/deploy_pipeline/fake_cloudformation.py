"""A CloudFormation that keeps stacks and change sets in memory, and fails when it is told to."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import ClientError

ARN = "arn:aws:cloudformation:us-east-1:111111111111"
PAGE = 2  # changes; so few that pages are needed
FINAL = {"create": "CREATE_COMPLETE", "update": "UPDATE_COMPLETE", "delete": "DELETE_COMPLETE"}


def error(code: str, message: str = "so it is") -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    return ClientError(response, "")


THROTTLED = error("Throttling", "Rate exceeded")
DENIED = error("AccessDenied", "User: somebody is not authorized to perform: cloudformation:SoAndSo")


class FakeCloudFormation:
    """As much of the API as the state machine uses.

    `failing`: errors by operation, one for each call to come, None for one that goes well.
    `before`: what somebody else does just before an operation, once. `statuses`: by verb, those
    that a stack goes through when it is waited for. `changes`: those of the change sets to come;
    `nested`: those of nested change sets, by their ARN; `reasons`: the reasons of theirs.
    `refusals`: events of DescribeEvents, by the ARN of a change set or a stack, or by operation.
    `resources`: physical ids in every stack. `schemas`: of resource types, by their names.
    `change_set`: what descriptions of change sets to come say, one after the other, the last one
    for good. `status_reason`: that of every stack.
    """

    def __init__(self) -> None:
        self.stacks: dict[str, dict[str, Any]] = {}
        self.change_sets: dict[str, dict[str, Any]] = {}
        self.events: dict[str, list[dict[str, Any]]] = {}
        self.changes: list[dict[str, Any]] = []
        self.nested: dict[str, list[dict[str, Any]]] = {}
        self.reasons: dict[str, str] = {}
        self.refusals: dict[str, list[dict[str, Any]]] = {}
        self.resources: list[str] = []
        self.schemas: dict[str, dict[str, Any]] = {}
        self.change_set: list[dict[str, str]] = [{"Status": "CREATE_COMPLETE", "ExecutionStatus": "AVAILABLE"}]
        self.statuses: dict[str, list[str]] = {verb: [final] for verb, final in FINAL.items()}
        self.status_reason = ""
        self.declared: list[str] = []
        self.failing: dict[str, list[ClientError | None]] = defaultdict(list)
        self.before: dict[str, Callable[[], None]] = {}
        self.calls: list[str] = []
        self.executed: list[list[dict[str, Any]]] = []

    def add_stack(self, name: str, status: str, events: tuple[str, ...] = ()) -> str:
        arn = f"{ARN}:stack/{name}/{len(self.stacks)}"
        self.stacks[name] = {"StackName": name, "StackId": arn, "coming": [status]}
        self.events[arn] = [self.event(arn, name, "AWS::CloudFormation::Stack", s, arn) for s in events]
        return arn

    @staticmethod
    def event(
        stack_id: str, name: str, kind: str, status: str, physical_id: str = "", reason: str = ""
    ) -> dict[str, Any]:
        return {
            "StackId": stack_id,
            "LogicalResourceId": name,
            "ResourceType": kind,
            "PhysicalResourceId": physical_id,
            "ResourceStatus": status,
        } | ({"ResourceStatusReason": reason} if reason else {})

    def left(self) -> list[str]:
        """Change sets that somebody could still execute."""
        return [name for name, found in self.change_sets.items() if not found["executed"]]

    # The operations, by the names of boto3.

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        self._called("describe_stacks")
        for stack in self.stacks.values():
            if StackName in (stack["StackName"], stack["StackId"]):
                status = stack["coming"].pop(0) if len(stack["coming"]) > 1 else stack["coming"][0]
                if status == "DELETE_COMPLETE" and StackName == stack["StackName"]:
                    break
                reason = {"StackStatusReason": self.status_reason} if self.status_reason else {}
                return {"Stacks": [{**stack, "StackStatus": status, **reason}]}
        raise error("ValidationError", f"Stack with id {StackName} does not exist")

    def create_stack(self, StackName: str, **_: Any) -> dict[str, Any]:
        self._called("create_stack")
        stack_id = self.add_stack(StackName, "CREATE_IN_PROGRESS")
        self.stacks[StackName]["coming"] = list(self.statuses["create"])
        return {"StackId": stack_id}

    def delete_stack(self, StackName: str, **_: Any) -> dict[str, Any]:
        self._called("delete_stack")
        for stack in self.stacks.values():
            if StackName in (stack["StackName"], stack["StackId"]):
                stack["coming"] = list(self.statuses["delete"])
        return {}

    def create_change_set(self, StackName: str, ChangeSetName: str, **given: Any) -> dict[str, Any]:
        self._called("create_change_set")
        if StackName not in self.stacks:
            raise error("ValidationError", f"Stack [{StackName}] does not exist")
        arn = f"{ARN}:changeSet/{ChangeSetName}/1"
        self.change_sets[ChangeSetName] = {"arn": arn, "stack": StackName, "executed": False, **given}
        return {"Id": arn, "StackId": self.stacks[StackName]["StackId"]}

    def describe_change_set(
        self, ChangeSetName: str, StackName: str = "", NextToken: str = "0", *, IncludePropertyValues: bool = False
    ) -> dict[str, Any]:
        answer = self._describe_change_set(ChangeSetName, StackName, NextToken)
        if IncludePropertyValues:
            return answer
        return answer | {"Changes": [_without_values(change) for change in answer["Changes"]]}

    def _describe_change_set(self, ChangeSetName: str, StackName: str, NextToken: str) -> dict[str, Any]:
        self._called("describe_change_set")
        assert StackName or ChangeSetName.startswith("arn:"), "a name alone does not say of which stack"
        if ChangeSetName in self.nested:
            return self._page(self.nested[ChangeSetName], NextToken) | {
                "Status": "CREATE_COMPLETE",
                "ExecutionStatus": "AVAILABLE",
                "StatusReason": self.reasons.get(ChangeSetName, ""),
            }
        found = self._find(ChangeSetName)
        state = self.change_set.pop(0) if len(self.change_set) > 1 else self.change_set[0]
        return self._page(self.changes, NextToken) | {"ChangeSetId": found["arn"], **state}

    def execute_change_set(self, ChangeSetName: str, StackName: str, **_: Any) -> dict[str, Any]:
        self._called("execute_change_set")
        assert StackName in self.stacks
        found = self._find(ChangeSetName)
        found["executed"] = True
        self.executed.append(self.changes)
        verb = "create" if found.get("ChangeSetType") == "CREATE" else "update"
        self.stacks[found["stack"]]["coming"] = list(self.statuses[verb])
        return {}

    def delete_change_set(self, ChangeSetName: str, StackName: str = "") -> dict[str, Any]:
        self._called("delete_change_set")
        if StackName and StackName not in self.stacks:
            raise error("ValidationError", f"Stack [{StackName}] does not exist")
        self.change_sets = {n: c for n, c in self.change_sets.items() if ChangeSetName not in (n, c["arn"])}
        return {}

    def get_template_summary(self, TemplateURL: str) -> dict[str, Any]:
        self._called("get_template_summary")
        assert TemplateURL.startswith("https://")
        return {"Parameters": [{"ParameterKey": name} for name in self.declared]}

    def describe_events(self, Filters: dict[str, bool], NextToken: str = "0", **target: str) -> dict[str, Any]:
        """The failed events of a change set, an operation or a stack, one on each page."""
        self._called("describe_events")
        assert Filters == {"FailedEvents": True}
        number = int(NextToken)
        if "OperationId" in target:
            found = self.refusals.get(target["OperationId"], [])
        else:
            arn = target.get("ChangeSetName") or target["StackName"]
            assert arn.startswith("arn:"), "a change set's name alone is refused"
            assert arn in self.nested or "changeSet" not in arn or self._find(arn), "it has to be asked for in time"
            found = self.refusals.get(arn, [])
        more = {"NextToken": str(number + 1)} if number + 1 < len(found) else {}
        return {"OperationEvents": found[number : number + 1], **more}

    def get_paginator(self, operation: str) -> Any:
        assert operation in ("describe_stack_events", "list_stack_resources")
        return self if operation == "describe_stack_events" else _Resources(self)

    def describe_type(self, Type: str, TypeName: str) -> dict[str, Any]:
        self._called("describe_type")
        assert Type == "RESOURCE"
        if TypeName not in self.schemas:
            raise error("TypeNotFoundException", f"The type '{TypeName}' cannot be found.")
        return {"Schema": json.dumps(self.schemas[TypeName])}

    def paginate(self, StackName: str) -> Iterator[dict[str, Any]]:
        """Pages of stack events, the newest first, one on each page."""
        self._called("describe_stack_events")
        for event in reversed(self.events[StackName]):
            yield {"StackEvents": [event]}

    def _called(self, operation: str) -> None:
        self.calls.append(operation)
        act = self.before.pop(operation, None)
        if act:
            act()
        if self.failing[operation]:
            failure = self.failing[operation].pop(0)
            if failure:
                raise failure

    def _find(self, name_or_arn: str) -> dict[str, Any]:
        for name, found in self.change_sets.items():
            if name_or_arn in (name, found["arn"]):
                return found
        raise error("ChangeSetNotFound", f"ChangeSet [{name_or_arn}] does not exist")

    @staticmethod
    def _page(changes: list[dict[str, Any]], token: str) -> dict[str, Any]:
        start = int(token)
        more = {"NextToken": str(start + PAGE)} if start + PAGE < len(changes) else {}
        return {"Changes": changes[start : start + PAGE], **more}


class _Resources:
    """Pages of ListStackResources, one resource on each."""

    def __init__(self, fake: FakeCloudFormation) -> None:
        self.fake = fake

    def paginate(self, StackName: str) -> Iterator[dict[str, Any]]:
        self.fake._called("list_stack_resources")
        assert StackName
        for physical_id in self.fake.resources:
            yield {"StackResourceSummaries": [{"ResourceType": "AWS::SQS::Queue", "PhysicalResourceId": physical_id}]}


def _without_values(change: dict[str, Any]) -> dict[str, Any]:
    values = ("BeforeContext", "AfterContext")
    resource = change.get("ResourceChange")
    if resource is None:
        return change
    return change | {"ResourceChange": {name: item for name, item in resource.items() if name not in values}}
