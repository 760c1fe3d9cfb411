"""A pipeline for two stacks of a CDK app, of which the second imports a value of the first."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox

from ..conftest import need

pytestmark = pytest.mark.enable_socket
INPUT = {
    "environmentName": "prod",
    "stackName": "shop",
    "assembly": {"path": "cdk.out", "stacks": ["Events", "Jobs"]},
}


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


def synthesized(folder: Path, *, topic: str, queue: str) -> bytes:
    """Synthesize the app with a display name of the topic and a name of the queue, and return it as a zip file."""
    import aws_cdk as cdk
    from aws_cdk import aws_sns as sns, aws_sqs as sqs

    app = cdk.App(outdir=str(folder))
    orders = sns.Topic(cdk.Stack(app, "Events"), "Orders", display_name=topic)
    jobs = cdk.Stack(app, "Jobs")
    cdk.CfnOutput(jobs, "Topic", value=orders.topic_arn)  # an import of the other stack's export
    sqs.Queue(jobs, "Queue", queue_name=queue)
    app.synth()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, Path("cdk.out", path.relative_to(folder)))
    return buffer.getvalue()


def test_all_stacks_are_inspected_before_the_first_is_changed(sandbox: Sandbox, tmp_path: Path) -> None:
    from sandbox.target import target_of

    target = target_of(sandbox)
    outputs = target.outputs("DeployPipeline")
    codepipeline, cloudformation = target.client("codepipeline"), target.client("cloudformation")

    def push(content: bytes) -> dict[str, tuple[str, str]]:
        """Upload an app, wait for the pipeline, and return the status and the message of each action."""
        before = len(
            codepipeline.list_pipeline_executions(pipelineName=outputs["PipelineName"])["pipelineExecutionSummaries"]
        )
        target.client("s3").put_object(Bucket=outputs["SourceBucketName"], Key="app.zip", Body=content)

        def ended() -> str | None:
            runs = codepipeline.list_pipeline_executions(pipelineName=outputs["PipelineName"])[
                "pipelineExecutionSummaries"
            ]
            is_done = len(runs) > before and runs[0]["status"] in ("Succeeded", "Failed")
            return str(runs[0]["pipelineExecutionId"]) if is_done else None

        run = target.wait_until(ended, "the end of the pipeline execution", seconds=120)
        actions = codepipeline.list_action_executions(
            pipelineName=outputs["PipelineName"], filter={"pipelineExecutionId": run}
        )["actionExecutionDetails"]
        return {action["actionName"]: (action["status"], message(action)) for action in actions}

    created = push(synthesized(tmp_path / "1", topic="Orders", queue="jobs"))
    assert created["Inspect-Jobs"] == ("Succeeded", "prod-shop-Jobs is new")
    assert created["Deploy-Jobs"] == ("Succeeded", "prod-shop-Jobs is created")
    (stack,) = cloudformation.describe_stacks(StackName="prod-shop-Jobs")["Stacks"]
    assert stack["Outputs"][0]["OutputValue"].startswith("arn:aws:sns:")

    rejected = push(synthesized(tmp_path / "2", topic="All orders", queue="work"))
    assert rejected["Inspect-Events"][0] == "Succeeded"
    assert rejected["Inspect-Jobs"][0] == "Failed"
    assert "it is replaced because of QueueName (jobs -> work)" in rejected["Inspect-Jobs"][1]
    assert not {"Deploy-Events", "Deploy-Jobs"} & set(rejected)
    (stack,) = cloudformation.describe_stacks(StackName="prod-shop-Events")["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE", "the first stack was changed"

    updated = push(synthesized(tmp_path / "3", topic="All orders", queue="jobs"))
    assert updated["Deploy-Events"][1].startswith("prod-shop-Events is updated")
    assert updated["Deploy-Jobs"][1] == "prod-shop-Jobs is unchanged"
    for name in ("prod-shop-Events", "prod-shop-Jobs"):
        left = cloudformation.list_change_sets(StackName=name)["Summaries"]
        assert all(change_set["ExecutionStatus"].startswith("EXECUTE") for change_set in left)


def message(action: dict[str, Any]) -> str:
    result = action.get("output", {}).get("executionResult", {})
    return str(result.get("errorDetails", {}).get("message") or result.get("externalExecutionSummary", ""))
