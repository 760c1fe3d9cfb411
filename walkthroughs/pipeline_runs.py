"""Runs of a pipeline with one Deploy action, and how they end."""

from dataclasses import dataclass
from typing import Any

from .walkthrough import Target


@dataclass(frozen=True)
class PipelineRuns:
    """The executions of the pipeline `name`, through a client of CodePipeline."""

    target: Target
    client: Any
    name: str

    def newest_first(self) -> list[dict[str, Any]]:
        """The latest runs, as CodePipeline summarizes them."""
        answer = self.client.list_pipeline_executions(pipelineName=self.name)
        return list(answer["pipelineExecutionSummaries"])

    def of_commit(self, commit: str) -> str | None:
        """The id of the run of a commit; None before its source action has ended."""
        for run in self.newest_first():
            if commit in [source["revisionId"] for source in run.get("sourceRevisions", [])]:
                return str(run["pipelineExecutionId"])
        return None

    def ended(self, run: str, before: str | None = None) -> dict[str, Any]:
        """Wait for the newest Deploy action of a run to end; `before` is the id of one that ended before a retry.

        The state of the run does not say it: it may be older than a retry.

        Raises:
            AssertionError: the run ended without a Deploy action.
        """
        pages = self.client.get_paginator("list_action_executions")

        def deployed() -> dict[str, Any] | None:
            listed = pages.paginate(pipelineName=self.name, filter={"pipelineExecutionId": run})
            actions = [action for page in listed for action in page["actionExecutionDetails"]]
            failed = [a["output"] for a in actions if (a["actionName"], a["status"]) == ("Source", "Failed")]
            assert not failed, f"the source of run {run} failed: {failed}"
            deploy: dict[str, Any]
            deploy = next((a for a in actions if a["actionName"] == "Deploy"), {})  # the newest is the first
            if deploy and deploy["status"] != "InProgress" and deploy["actionExecutionId"] != before:
                return deploy
            state = self.client.get_pipeline_execution(pipelineName=self.name, pipelineExecutionId=run)
            status = state["pipelineExecution"]["status"]
            assert status not in ("Superseded", "Stopped", "Cancelled"), f"run {run} is {status}: somebody else's push?"
            return None

        return self.target.wait_until(deployed, f"the end of run {run}")
