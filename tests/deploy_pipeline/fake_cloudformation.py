"""A fake of CloudFormation with stacks and change sets in memory, which fails as a test defines."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from tests.fake_client import FakeClient

ARN = "arn:aws:cloudformation:us-east-1:111111111111"
PAGE = 2  # changes on a page, so few that there are several pages
FINAL = {"create": "CREATE_COMPLETE", "update": "UPDATE_COMPLETE", "delete": "DELETE_COMPLETE"}


def error(code: str, message: str = "the message of AWS") -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    return ClientError(response, "")


THROTTLED = error("Throttling", "Rate exceeded")
DENIED = error("AccessDenied", "User: somebody is not authorized to perform: cloudformation:SoAndSo")


class FakeCloudFormation(FakeClient):
    """The operations that the state machine uses.

    failing: errors by operation, one for each of the next calls; None for a call that succeeds.
    before: by operation, a function that is called once before it, as another client would act.
    statuses: by verb, the statuses of a stack in the next descriptions; the last one remains.
    changes: of all change sets. nested: changes of nested change sets, by ARN. reasons: their status reasons, by ARN.
    parameters, templates: of nested change sets, by ARN.
    failed_events: of DescribeEvents, by ARN of a change set or stack, or by operation.
    resources: physical IDs in every stack. schemas: by resource type.
    change_set: fields of the next descriptions of change sets; the last one remains.
    status_reason: of every stack. executed: the changes of each executed change set.
    created: the arguments of the last stack that was created.
    """

    def __init__(self) -> None:
        self.stacks: dict[str, dict[str, Any]] = {}
        self.change_sets: dict[str, dict[str, Any]] = {}
        self.events: dict[str, list[dict[str, Any]]] = {}
        self.changes: list[dict[str, Any]] = []
        self.nested: dict[str, list[dict[str, Any]]] = {}
        self.reasons: dict[str, str] = {}
        self.parameters: dict[str, dict[str, str]] = {}
        self.templates: dict[str, Any] = {}
        self.failed_events: dict[str, list[dict[str, Any]]] = {}
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
        self.created: dict[str, Any] = {}

    def add_stack(self, name: str, status: str, events: tuple[str, ...] = ()) -> str:
        arn = f"{ARN}:stack/{name}/{len(self.stacks)}"
        self.stacks[name] = {"StackName": name, "StackId": arn, "next_statuses": [status]}
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
            "Timestamp": datetime.now(UTC),
        } | ({"ResourceStatusReason": reason} if reason else {})

    def left(self) -> list[str]:
        """Return the change sets that could still be executed."""
        return [name for name, change_set in self.change_sets.items() if not change_set["executed"]]

    # Operations, with the names that boto3 uses.

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        self._called("describe_stacks")
        for stack in self.stacks.values():
            if StackName in (stack["StackName"], stack["StackId"]):
                status = stack["next_statuses"].pop(0) if len(stack["next_statuses"]) > 1 else stack["next_statuses"][0]
                if status == "DELETE_COMPLETE" and StackName == stack["StackName"]:
                    break
                reason = {"StackStatusReason": self.status_reason} if self.status_reason else {}
                return {"Stacks": [{**stack, "StackStatus": status, **reason}]}
        raise error("ValidationError", f"Stack with id {StackName} does not exist")

    def create_stack(self, StackName: str, **fields: Any) -> dict[str, Any]:
        self._called("create_stack")
        self.created = fields
        stack_id = self.add_stack(StackName, "CREATE_IN_PROGRESS")
        self.stacks[StackName]["next_statuses"] = list(self.statuses["create"])
        return {"StackId": stack_id}

    def delete_stack(self, StackName: str, **_: Any) -> dict[str, Any]:
        self._called("delete_stack")
        for stack in self.stacks.values():
            if StackName in (stack["StackName"], stack["StackId"]):
                stack["next_statuses"] = list(self.statuses["delete"])
        return {}

    def create_change_set(self, StackName: str, ChangeSetName: str, **fields: Any) -> dict[str, Any]:
        self._called("create_change_set")
        if StackName not in self.stacks:
            raise error("ValidationError", f"Stack [{StackName}] does not exist")
        arn = f"{ARN}:changeSet/{ChangeSetName}/1"
        self.change_sets[ChangeSetName] = {"arn": arn, "stack": StackName, "executed": False, **fields}
        return {"Id": arn, "StackId": self.stacks[StackName]["StackId"]}

    def describe_change_set(
        self, ChangeSetName: str, StackName: str = "", NextToken: str = "0", *, IncludePropertyValues: bool = False
    ) -> dict[str, Any]:
        response = self._describe_change_set(ChangeSetName, StackName, NextToken)
        if IncludePropertyValues:
            return response
        return response | {"Changes": [_without_values(change) for change in response["Changes"]]}

    def _describe_change_set(self, ChangeSetName: str, StackName: str, NextToken: str) -> dict[str, Any]:
        self._called("describe_change_set")
        assert StackName or ChangeSetName.startswith("arn:"), "a name without a stack is ambiguous"
        if ChangeSetName in self.nested:
            parameters = self.parameters.get(ChangeSetName, {}).items()
            return self._page(self.nested[ChangeSetName], NextToken) | {
                "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters],
                "Status": "CREATE_COMPLETE",
                "ExecutionStatus": "AVAILABLE",
                "StatusReason": self.reasons.get(ChangeSetName, ""),
            }
        change_set = self._find(ChangeSetName)
        state = self.change_set.pop(0) if len(self.change_set) > 1 else self.change_set[0]
        names = {"ChangeSetId": change_set["arn"], "StackName": change_set["stack"]}
        return self._page(self.changes, NextToken) | names | state

    def get_template(self, ChangeSetName: str, TemplateStage: str) -> dict[str, Any]:
        self._called("get_template")
        assert TemplateStage == "Original", "always available"
        return {"TemplateBody": self.templates[ChangeSetName]}

    def execute_change_set(self, ChangeSetName: str, StackName: str, **_: Any) -> dict[str, Any]:
        self._called("execute_change_set")
        assert StackName in self.stacks
        change_set = self._find(ChangeSetName)
        change_set["executed"] = True
        self.executed.append(self.changes)
        verb = "create" if change_set.get("ChangeSetType") == "CREATE" else "update"
        stack = self.stacks[change_set["stack"]]
        stack["next_statuses"] = list(self.statuses[verb])
        arn, final = stack["StackId"], stack["next_statuses"][-1]
        self.events[arn].append(self.event(arn, stack["StackName"], "AWS::CloudFormation::Stack", final, arn))
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

    def describe_events(
        self, Filters: dict[str, bool] | None = None, NextToken: str = "0", **target: str
    ) -> dict[str, Any]:
        """Return the failed events of a change set, an operation or a stack, one on each page.

        CloudFormation does not document whether a warning is a failed event, so only a call without a filter returns
        all of them.
        """
        self._called("describe_events")
        assert Filters in (None, {"FailedEvents": True})
        number = int(NextToken)
        if "OperationId" in target:
            events = self.failed_events.get(target["OperationId"], [])
        else:
            arn = target.get("ChangeSetName") or target["StackName"]
            assert arn.startswith("arn:"), "CloudFormation rejects the name of a change set without its stack"
            assert arn in self.nested or "changeSet" not in arn or self._find(arn), (
                "the change set was deleted before its events were read"
            )
            events = self.failed_events.get(arn, [])
        more = {"NextToken": str(number + 1)} if number + 1 < len(events) else {}
        return {"OperationEvents": events[number : number + 1], **more}

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
        """Return pages of stack events, the newest first, one on each page."""
        self._called("describe_stack_events")
        for event in reversed(self.events[StackName]):
            yield {"StackEvents": [event]}

    def _called(self, operation: str) -> None:
        self.calls.append(operation)
        action = self.before.pop(operation, None)
        if action:
            action()
        if self.failing[operation]:
            failure = self.failing[operation].pop(0)
            if failure:
                raise failure

    def _find(self, name_or_arn: str) -> dict[str, Any]:
        for name, change_set in self.change_sets.items():
            if name_or_arn in (name, change_set["arn"]):
                return change_set
        raise error("ChangeSetNotFound", f"ChangeSet [{name_or_arn}] does not exist")

    @staticmethod
    def _page(changes: list[dict[str, Any]], token: str) -> dict[str, Any]:
        start = int(token)
        more = {"NextToken": str(start + PAGE)} if start + PAGE < len(changes) else {}
        return {"Changes": changes[start : start + PAGE], **more}


class _Resources:
    """Pages of ListStackResources, with one resource each."""

    def __init__(self, fake: FakeCloudFormation) -> None:
        self.fake = fake

    def paginate(self, StackName: str) -> Iterator[dict[str, Any]]:
        self.fake._called("list_stack_resources")
        assert StackName
        for physical_id in self.fake.resources:
            resource = {"ResourceType": "AWS::SQS::Queue", "PhysicalResourceId": physical_id}
            yield {"StackResourceSummaries": [resource | {"ResourceStatus": "CREATE_COMPLETE"}]}


def _without_values(change: dict[str, Any]) -> dict[str, Any]:
    values = ("BeforeContext", "AfterContext", "PreviousDeploymentContext")
    resource = change.get("ResourceChange")
    if resource is None:
        return change
    return change | {"ResourceChange": {name: item for name, item in resource.items() if name not in values}}
