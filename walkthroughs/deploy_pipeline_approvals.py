"""Request approval of unsafe changes: approve, decline, wait too long, and approve after the stack has changed.

The walkthrough reads the notifications from a queue that it subscribes to the topic, and runs their commands.
"""

import json
import shlex
from collections.abc import Callable
from typing import Any

from .deploy_pipeline import TEMPLATE, DeployPipelineWalkthrough
from .notifications import subscribe_queue
from .pipeline_runs import Deployment
from .walkthrough import Step

SHORTEST_APPROVAL_TIMEOUT = 5  # minutes


class ApprovalsWalkthrough(DeployPipelineWalkthrough):
    """The walkthrough of `deploy_pipeline`, with approvals."""

    def _prepare(self) -> None:
        super()._prepare()
        outputs = self.target.outputs("DeployPipeline")
        self.queue_url = subscribe_queue(self.target, outputs["TopicArn"], self.cleanup, name="approvals")

    def approved_change_is_executed(self) -> str:
        shorter = self._edited("MessageRetentionPeriod: 1209600", "MessageRetentionPeriod: 60")
        deployment = self._ask("approved", shorter, lambda request: self._decide(request, "approve", "It is empty"))
        deployment.check_success()
        assert "Approved by " in deployment.message, deployment.message
        queue = self._resource("Failed")

        def has_new_retention() -> bool:
            response = self.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["MessageRetentionPeriod"])
            return bool(response["Attributes"]["MessageRetentionPeriod"] == "60")

        self.target.wait_until(has_new_retention, "the queue's new retention period")
        return f'"{deployment.message}"; the notification:\n\n{self.request}'

    def declined_change_is_not_executed(self) -> str:
        before = self._snapshot()
        removed = self._without_subscription()
        deployment = self._ask("declined", removed, lambda request: self._decide(request, "decline", "Still in use"))
        assert deployment.status == "Failed", "the declined change was executed"
        assert "ChangesDeclined" in deployment.message, deployment.message
        assert "Still in use" in deployment.message, deployment.message
        assert self._snapshot() == before, "the stack was changed"
        self._check_no_leftover()
        return f'the stack was not changed; "{deployment.message}"'

    def expired_request_is_not_executed(self) -> str:
        before = self._snapshot()
        self._write_input(self.input | {"onUnsafe": "ask", "approvalTimeoutMinutes": SHORTEST_APPROVAL_TIMEOUT})
        expired = self._start_pipeline("expired")
        request = self._notification("waits for approval")
        assert expired.status == "Failed", "the change was executed without a decision"
        assert "ApprovalTimedOut" in expired.message, expired.message
        self._decide(request, "approve", "Too late")
        report = self._notification("has no effect")
        assert self._snapshot() == before, "the stack was changed"
        self._check_no_leftover()
        return f'"{expired.message.splitlines()[0]}"; after a late decision: "{report}"'

    def approval_after_stack_has_changed_fails(self) -> str:
        def change_stack_and_approve(request: str) -> None:
            other = self._edited("VisibilityTimeout: 30", "VisibilityTimeout: 40")
            self.cloudformation.update_stack(
                StackName=self.app,
                TemplateBody=other,
                Parameters=[{"ParameterKey": "environmentName", "UsePreviousValue": True}],
                RoleARN=self.service_role,
            )
            self.target.wait_until(
                lambda: self._stack(self.app)["StackStatus"] == "UPDATE_COMPLETE", f"the update of {self.app}"
            )
            self._decide(request, "approve", "It looked good")

        removed = self._without_subscription().replace("VisibilityTimeout: 30", "VisibilityTimeout: 31")
        deployment = self._ask("moved", removed, change_stack_and_approve)
        assert deployment.status == "Failed", "the outdated change set was executed"
        assert "Execute Change Set: " in deployment.message, deployment.message
        self._check_no_leftover()
        self._write_input(self.input)
        self._deploy("after approvals", template=self.template).check_success()
        return f'the other update is kept; "{deployment.message}"'

    steps = (
        *DeployPipelineWalkthrough.steps[:4],
        Step("Shorten the retention period, request approval, and approve", approved_change_is_executed),
        Step("Remove the subscription, request approval, and decline", declined_change_is_not_executed),
        Step("Retry the stage, and decide after the deadline", expired_request_is_not_executed),
        Step("Request approval, update the stack directly, and approve", approval_after_stack_has_changed_fails),
        *DeployPipelineWalkthrough.steps[4:],
    )

    def _without_subscription(self) -> str:
        start, end = self.template.index("  Subscription:"), self.template.index("Outputs:")
        return self.template[:start] + self.template[end:]

    def _ask(self, name: str, template: str, act: Callable[[str], None]) -> Deployment:
        """Push a template, call `act` with the request for approval, and return the result of the deployment."""
        self._write_input(self.input | {"onUnsafe": "ask"})
        commit = self._push(name, {TEMPLATE: template}, [])
        assert commit, "the template has not changed"
        self.request = self._notification("waits for approval")
        act(self.request)
        run = self.target.wait_until(lambda: self.runs.find_by_commit(commit), f"a pipeline execution of {commit}")
        return self._wait_for_deployment(run, name)

    def _decide(self, request: str, decision: str, reason: str) -> None:
        """Run the command of a notification, with a reason."""
        (command,) = (line for line in request.splitlines() if line.startswith("aws sqs") and f'"{decision}"' in line)
        words = shlex.split(command)
        body = json.loads(words[words.index("--message-body") + 1]) | {"reason": reason}
        self.sqs.send_message(QueueUrl=words[words.index("--queue-url") + 1], MessageBody=json.dumps(body))

    def _notification(self, text: str) -> str:
        """Wait for a notification that contains `text`; discard the others."""

        def find() -> str | None:
            response: dict[str, Any] = self.sqs.receive_message(QueueUrl=self.queue_url, MaxNumberOfMessages=1)
            for message in response.get("Messages", []):
                self.sqs.delete_message(QueueUrl=self.queue_url, ReceiptHandle=message["ReceiptHandle"])
                content = json.loads(message["Body"]).get("Message", "")
                if text in content:
                    return str(content)
            return None

        return self.target.wait_until(find, f"a notification with {text!r}")
