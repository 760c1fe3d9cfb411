"""Change a queue outside CloudFormation; a push is rejected, or reverts the change and reports it."""

from .deploy_pipeline_approvals import ApprovalsWalkthrough
from .walkthrough import Step

DEPLOYED, ACTUAL = "30", "120"  # seconds


class DriftWalkthrough(ApprovalsWalkthrough):
    """The walkthrough of `deploy_pipeline` with approvals, and with drift."""

    def drift_is_rejected_and_then_reverted(self) -> str:
        self.cleanup.callback(self._set_timeout, DEPLOYED)
        self._set_timeout(ACTUAL)
        self.target.wait_until(lambda: self._timeout() == ACTUAL, "the queue's visibility timeout")
        drift = f"VisibilityTimeout was changed from {DEPLOYED} to {ACTUAL} outside CloudFormation"
        self._write_input(self.input | {"policy": {"drift": "reject"}})
        rejected = self._start_pipeline("drift rejected")
        assert rejected.status == "Failed", "the change was overwritten"
        assert f"Waiting (AWS::SQS::Queue), Modify: {drift}" in rejected.message, rejected.message
        assert self._timeout() == ACTUAL, "the change was overwritten"
        self._check_no_leftover()
        self._write_input(self.input | {"policy": {"drift": "revert"}})
        reverted = self._start_pipeline("drift reverted")
        self._write_input(self.input)
        reverted.check_success()
        assert drift in reverted.message, reverted.message
        self.target.wait_until(lambda: self._timeout() == DEPLOYED, "the queue's visibility timeout")
        return f'with "reject": "{rejected.message}"; with "revert": "{reverted.message}"'

    steps = (
        *ApprovalsWalkthrough.steps[:-1],
        Step(
            "Change a queue outside CloudFormation, and retry with both options of drift",
            drift_is_rejected_and_then_reverted,
        ),
        ApprovalsWalkthrough.steps[-1],
    )

    def _set_timeout(self, seconds: str) -> None:
        self.sqs.set_queue_attributes(QueueUrl=self._resource("Waiting"), Attributes={"VisibilityTimeout": seconds})

    def _timeout(self) -> str:
        response = self.sqs.get_queue_attributes(
            QueueUrl=self._resource("Waiting"), AttributeNames=["VisibilityTimeout"]
        )
        return str(response["Attributes"]["VisibilityTimeout"])
