"""Unsafe changes that were approved while all stacks were inspected, before the first one was changed.

The execution that inspects one of several stacks requests approval, and deletes its change set. The execution that
deploys the stack creates another one, because earlier stacks may have changed what it depends on. It executes the
change set without another approval if its unsafe changes are the approved ones. The approval counts until an update of
the stack has been completed: who starts an execution with the same input later cannot make the changes again.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypedDict

from .events import CheckStackEvent

if TYPE_CHECKING:
    from types_boto3_stepfunctions import SFNClient

DIFFERENT_FIELDS = ("inspectOnly", "inspection")


class ApprovedChanges(TypedDict):
    """The digest of an inspection, and the decision; both are empty if nothing was approved.

    inspectedAt: epoch seconds of the end of the inspection.
    """

    digest: str
    approval: dict[str, object]
    inspectedAt: float


NOT_APPROVED: ApprovedChanges = {"digest": "", "approval": {}, "inspectedAt": 0.0}


def approved_changes(step_functions: "SFNClient", event: CheckStackEvent) -> ApprovedChanges:
    """Return what was approved during the inspection that the input names.

    The inspection has to be an execution of the same state machine that has succeeded with the same input, so that the
    input alone, which its author chooses, cannot approve anything.
    """
    arn = f"{event['executionArn'].rpartition(':')[0]}:{event['input']['inspection']}"
    try:
        execution = step_functions.describe_execution(executionArn=arn)
    except step_functions.exceptions.ExecutionDoesNotExist:
        return NOT_APPROVED
    inspected = json.loads(execution["input"])
    if execution["status"] != "SUCCEEDED" or _common(inspected) != _common(event["input"]):
        return NOT_APPROVED
    output = json.loads(execution["output"])
    if inspected.get("inspectOnly") is not True or output["approval"].get("approved") is not True:
        return NOT_APPROVED
    inspected_at = execution["stopDate"].timestamp()
    return {"digest": output["unsafe"]["digest"], "approval": output["approval"], "inspectedAt": inspected_at}


def _common(execution_input: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in execution_input.items() if name not in DIFFERENT_FIELDS}
