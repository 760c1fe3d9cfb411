"""A pipeline for two stacks of a CDK app, of which the second imports a value of the first."""

import json
import shlex
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox
from walkthroughs.notifications import subscribe_queue
from walkthroughs.walkthrough import Target

from ..conftest import need
from .cdk_apps import packed, two_stack_app

pytestmark = pytest.mark.enable_socket
INPUT = {
    "environmentName": "prod",
    "stackName": "shop",
    "assembly": {"path": "cdk.out", "stacks": ["Events", "Jobs"]},
}
Messages = dict[str, tuple[str, str]]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    need("ministack")
    from sandbox.target import SPEED

    file = tmp_path_factory.mktemp("several") / "input.json"
    file.write_text(json.dumps(INPUT))
    permissions = [{"actions": ["sns:*", "sqs:*"], "resources": ["*"]}]
    settings = {
        "deploy_pipeline:source": "s3",
        "deploy_pipeline:input": str(file),
        "deploy_pipeline:permissions": json.dumps(permissions),
        "deploy_pipeline:allow_service_wide_permissions": "true",
    }
    with Sandbox(speed=SPEED) as started:
        started.bootstrap()
        started.deploy("DeployPipeline", settings=settings)
        yield started


@dataclass
class Pipeline:
    """The deployed pipeline, the app's stacks, and a queue that receives the notifications."""

    target: Target
    folder: Path
    cleanup: ExitStack

    def __post_init__(self) -> None:
        self.outputs = self.target.outputs("DeployPipeline")
        self.name = self.outputs["PipelineName"]
        self.codepipeline, self.s3, self.sqs = map(self.target.client, ("codepipeline", "s3", "sqs"))
        self.cloudformation = self.target.client("cloudformation")
        self.pushes = 0

    @cached_property
    def queue_url(self) -> str:
        return subscribe_queue(self.target, self.outputs["TopicArn"], self.cleanup, name="requests")

    def push(self, *, topic: str, queue: str) -> int:
        """Upload the app, and return the number of pipeline executions before."""
        self.pushes += 1
        before = len(self._executions())
        folder = self.folder / str(self.pushes)
        two_stack_app(folder, topic=topic, queue=queue)
        self.s3.put_object(Bucket=self.outputs["SourceBucketName"], Key="app.zip", Body=packed(folder / "cdk.out"))
        return before

    def deploy(self, *, topic: str, queue: str) -> Messages:
        return self.result(self.push(topic=topic, queue=queue))

    def result(self, before: int) -> Messages:
        """Wait for the newest pipeline execution, and return the status and the message of each action."""

        def ended() -> str | None:
            runs = self._executions()
            is_done = len(runs) > before and runs[0]["status"] in ("Succeeded", "Failed")
            return str(runs[0]["pipelineExecutionId"]) if is_done else None

        self.run = self.target.wait_until(ended, "the end of the pipeline execution", seconds=120)
        return self.messages()

    def messages(self) -> Messages:
        actions = self.codepipeline.list_action_executions(
            pipelineName=self.name, filter={"pipelineExecutionId": self.run}
        )["actionExecutionDetails"]
        return {action["actionName"]: (action["status"], message(action)) for action in reversed(actions)}

    def _executions(self) -> list[Any]:
        return list(self.codepipeline.list_pipeline_executions(pipelineName=self.name)["pipelineExecutionSummaries"])

    def ask(self) -> Callable[[], object]:
        """Set `onUnsafe` to ask; return what restores the input."""
        place = {"Bucket": self.outputs["InputBucketName"], "Key": self.outputs["InputKey"]}
        self.s3.put_object(**place, Body=json.dumps(INPUT | {"onUnsafe": "ask"}).encode())
        return lambda: self.s3.put_object(**place, Body=json.dumps(INPUT).encode())

    def decide(self, decision: str, before: Callable[[], None]) -> str:
        """Wait for a request for approval, call `before`, and run the command of the request."""

        def request() -> str | None:
            for received in self.sqs.receive_message(QueueUrl=self.queue_url).get("Messages", []):
                self.sqs.delete_message(QueueUrl=self.queue_url, ReceiptHandle=received["ReceiptHandle"])
                text = str(json.loads(received["Body"])["Message"])
                if "waits for approval" in text:
                    return text
            return None

        text = self.target.wait_until(request, "a request for approval", seconds=120)
        before()
        (command,) = (line for line in text.splitlines() if line.startswith("aws sqs") and f'"{decision}"' in line)
        words = shlex.split(command)
        body = json.loads(words[words.index("--message-body") + 1]) | {"reason": "The queue is empty"}
        self.sqs.send_message(QueueUrl=words[words.index("--queue-url") + 1], MessageBody=json.dumps(body))
        return text

    def status(self, stack: str) -> str:
        (described,) = self.cloudformation.describe_stacks(StackName=f"prod-shop-{stack}")["Stacks"]
        return str(described["StackStatus"])

    def left(self) -> list[str]:
        """Return the change sets of both stacks that could still be executed."""
        summaries = [
            summary
            for stack in ("Events", "Jobs")
            for summary in self.cloudformation.list_change_sets(StackName=f"prod-shop-{stack}")["Summaries"]
        ]
        return [s["ChangeSetName"] for s in summaries if not s["ExecutionStatus"].startswith("EXECUTE")]


def message(action: dict[str, Any]) -> str:
    result = action.get("output", {}).get("executionResult", {})
    return str(result.get("errorDetails", {}).get("message") or result.get("externalExecutionSummary", ""))


@pytest.fixture
def pipeline(sandbox: Sandbox, tmp_path: Path) -> Iterator[Pipeline]:
    """The pipeline, with both stacks created or, in a later test, as in this first version."""
    from sandbox.target import target_of

    with ExitStack() as cleanup:
        pipeline = Pipeline(target_of(sandbox), tmp_path, cleanup)
        created = pipeline.deploy(topic="Orders", queue="jobs")
        assert created["Deploy-Jobs"][0] == "Succeeded", created
        yield pipeline


def test_all_stacks_are_inspected_before_the_first_is_changed(pipeline: Pipeline) -> None:
    created = pipeline.messages()
    assert created["Inspect-Jobs"] == ("Succeeded", "prod-shop-Jobs is new")
    assert created["Deploy-Jobs"] == ("Succeeded", "prod-shop-Jobs is created")
    (stack,) = pipeline.cloudformation.describe_stacks(StackName="prod-shop-Jobs")["Stacks"]
    assert stack["Outputs"][0]["OutputValue"].startswith("arn:aws:sns:")

    rejected = pipeline.deploy(topic="All orders", queue="work")
    assert rejected["Inspect-Events"][0] == "Succeeded"
    assert rejected["Inspect-Jobs"][0] == "Failed"
    assert "it is replaced because of QueueName (jobs -> work)" in rejected["Inspect-Jobs"][1]
    assert not {"Deploy-Events", "Deploy-Jobs"} & set(rejected)
    assert pipeline.status("Events") == "CREATE_COMPLETE", "the first stack was changed"

    updated = pipeline.deploy(topic="All orders", queue="jobs")
    assert updated["Deploy-Events"][1].startswith("prod-shop-Events is updated")
    assert updated["Deploy-Jobs"][1] == "prod-shop-Jobs is unchanged"
    assert not pipeline.left()
    assert pipeline.deploy(topic="Orders", queue="jobs")["Deploy-Events"][0] == "Succeeded"


def test_approval_of_last_stack_is_requested_before_the_first_is_changed(pipeline: Pipeline) -> None:
    def topic_name() -> str:
        resources = pipeline.cloudformation.describe_stack_resources(StackName="prod-shop-Events")["StackResources"]
        (arn,) = (r["PhysicalResourceId"] for r in resources if r["ResourceType"] == "AWS::SNS::Topic")
        return str(pipeline.target.client("sns").get_topic_attributes(TopicArn=arn)["Attributes"]["DisplayName"])

    def nothing_is_changed() -> None:
        assert topic_name() == "Orders", "the first stack was changed before the approval"

    assert pipeline.queue_url
    restore = pipeline.ask()
    before = pipeline.push(topic="All orders", queue="work")
    pipeline.decide("decline", nothing_is_changed)
    declined = pipeline.result(before)
    assert declined["Inspect-Jobs"][0] == "Failed"
    assert "ChangesDeclined" in declined["Inspect-Jobs"][1]
    assert not {"Deploy-Events", "Deploy-Jobs"} & set(declined)
    nothing_is_changed()

    before = pipeline.push(topic="All orders", queue="work")
    request = pipeline.decide("approve", nothing_is_changed)
    approved = pipeline.result(before)
    restore()
    assert "prod-shop-Jobs" in request
    assert "QueueName (jobs -> work)" in request
    assert approved["Deploy-Events"][1].startswith("prod-shop-Events is updated")
    assert approved["Deploy-Jobs"][0] == "Succeeded", "or approval was requested again"
    assert approved["Deploy-Jobs"][1].startswith("prod-shop-Jobs is updated. Approved by ")
    assert topic_name() == "All orders"
    assert not pipeline.left()
