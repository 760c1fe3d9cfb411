"""Executions of the deployed state machine that end while they wait for approval, and decisions after that."""

import json
import shlex
from contextlib import ExitStack

import pytest

from walkthroughs.notifications import subscribe_queue

from .deployment import QUEUE, TOPIC, Deployment

pytestmark = pytest.mark.enable_socket


@pytest.mark.reliability(
    "deploy_pipeline",
    "Timeout",
    fault="the execution is stopped while it waits for approval",
    expected="no change set is left, and a later approval changes nothing",
    observed="deleted within seconds; a notification reports the decision",
)
def test_stopped_execution_cannot_be_approved(app: Deployment) -> None:
    with ExitStack() as cleanup:
        topic = app.target.outputs("DeployPipeline")["TopicArn"]
        queue_url = subscribe_queue(app.target, topic, cleanup, name="stopped")
        sqs = app.target.client("sqs")

        def notification(text: str) -> str:
            def find() -> str | None:
                for message in sqs.receive_message(QueueUrl=queue_url).get("Messages", []):
                    sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
                    content = str(json.loads(message["Body"])["Message"])
                    if text in content:
                        return content
                return None

            return app.target.wait_until(find, f"a notification with {text!r}", seconds=120)

        app.create({"Queue": QUEUE, "Topic": TOPIC})
        execution = app.start({"Queue": QUEUE}, onUnsafe="ask")
        request = notification(f"The deployment of {app.stack} waits for approval")
        assert app.left(), "the change set was not kept"
        app.step_functions.stop_execution(executionArn=execution, cause="by an operator")
        app.target.wait_until(lambda: not app.left(), "the change set is deleted", seconds=120)
        (command,) = (line for line in request.splitlines() if line.startswith("aws sqs") and '"approve"' in line)
        words = shlex.split(command)
        body = json.loads(words[words.index("--message-body") + 1]) | {"reason": "It looked good"}
        sqs.send_message(QueueUrl=words[words.index("--queue-url") + 1], MessageBody=json.dumps(body))
        assert "no longer waits" in notification("has no effect")
        assert app.status() == "CREATE_COMPLETE"
