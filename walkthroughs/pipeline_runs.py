"""Executions of a pipeline with one Deploy action, and their results."""

from dataclasses import dataclass
from typing import Any

from .walkthrough import Target


@dataclass(frozen=True)
class Deployment:
    """The result of a Deploy action; `execution_name` is empty if no execution of the state machine was started."""

    run_id: str
    action_id: str
    status: str
    message: str
    execution_name: str
    variables: dict[str, str]

    @classmethod
    def from_action(cls, action: dict[str, Any]) -> "Deployment":
        """Read an item of ListActionExecutions."""
        output = action.get("output", {})
        result = output.get("executionResult", {})
        return cls(
            run_id=action["pipelineExecutionId"],
            action_id=action["actionExecutionId"],
            status=action["status"],
            message=result.get("errorDetails", {}).get("message") or result.get("externalExecutionSummary", ""),
            execution_name=result.get("externalExecutionId", ""),
            variables=output.get("outputVariables", {}),
        )

    def check_success(self) -> None:
        """Raise AssertionError with the message of a failed deployment."""
        assert self.status == "Succeeded", self.message


@dataclass(frozen=True)
class PipelineRuns:
    """The executions of the pipeline `name`."""

    target: Target
    client: Any
    name: str

    def newest_first(self) -> list[dict[str, Any]]:
        """Return the summaries of the latest executions."""
        response = self.client.list_pipeline_executions(pipelineName=self.name)
        return list(response["pipelineExecutionSummaries"])

    def find_by_commit(self, commit: str) -> str | None:
        """Return the ID of the execution for a commit; None before its source action has ended."""
        for run in self.newest_first():
            if commit in [source["revisionId"] for source in run.get("sourceRevisions", [])]:
                return str(run["pipelineExecutionId"])
        return None

    def wait_for_deployment(self, run_id: str, previous_action: str | None = None) -> Deployment:
        """Wait for the newest Deploy action of an execution, and return its result.

        previous_action: ID of the action that ended before a retry. The status of the execution is not
        sufficient, because it can be from before the retry.

        Raises:
            AssertionError: the execution ended without a Deploy action.
        """
        pages = self.client.get_paginator("list_action_executions")

        def ended_action() -> dict[str, Any] | None:
            page_iterator = pages.paginate(pipelineName=self.name, filter={"pipelineExecutionId": run_id})
            actions = [action for page in page_iterator for action in page["actionExecutionDetails"]]
            failed = [a["output"] for a in actions if (a["actionName"], a["status"]) == ("Source", "Failed")]
            assert not failed, f"the source action of pipeline execution {run_id} failed: {failed}"
            deploy: dict[str, Any] = next((a for a in actions if a["actionName"] == "Deploy"), {})  # newest first
            if deploy and deploy["status"] != "InProgress" and deploy["actionExecutionId"] != previous_action:
                return deploy
            state = self.client.get_pipeline_execution(pipelineName=self.name, pipelineExecutionId=run_id)
            status = state["pipelineExecution"]["status"]
            assert status not in ("Superseded", "Stopped", "Cancelled"), (
                f"pipeline execution {run_id} is {status}; check whether someone else has pushed"
            )
            return None

        action = self.target.wait_until(ended_action, f"the end of pipeline execution {run_id}")
        return Deployment.from_action(action)
