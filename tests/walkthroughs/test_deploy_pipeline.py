"""Preconditions of deploy_pipeline's walkthrough, and waiting for the pipeline. Botocore's stub responds as AWS."""

import io
import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from walkthroughs.deploy_pipeline import DeployPipelineWalkthrough
from walkthroughs.pipeline_runs import PipelineRuns
from walkthroughs.walkthrough import PreconditionError, Target

SAMPLE = Path("assets/deploy_pipeline")
ROLE = "arn:aws:iam::111111111111:role/service"
OUTPUTS = {
    "PipelineName": "pipeline",
    "RepositoryName": "repository",
    "StateMachineArn": "arn:aws:states:us-east-1:111111111111:stateMachine:machine",
    "TriggerName": "trigger",
    "AppStackName": "prod-sample-app",
    "ServiceRoleArn": ROLE,
    "InputBucketName": "inputs",
    "InputKey": "input.json",
}


class Account:
    """An account in which everything is the sample's, except what a test changes."""

    def __init__(self) -> None:
        self.outputs: dict[str, str] = dict(OUTPUTS)
        self.input = (SAMPLE / "state_machine_input.json").read_bytes()
        self.template: bytes | None = (SAMPLE / "app" / "template.yaml").read_bytes()
        self.stack = {"RoleARN": ROLE, "StackStatus": "UPDATE_COMPLETE"}

    def client(self, service: str, _region: str | None = None) -> Any:
        client = boto3.client(service, region_name="us-east-1")
        stub = Stubber(client)
        stub.activate()
        getattr(self, f"_{service}", lambda _: None)(stub)
        return client

    def _s3(self, stub: Stubber) -> None:
        stub.add_response("get_object", {"Body": io.BytesIO(self.input)})

    def _codecommit(self, stub: Stubber) -> None:
        if self.template is None:
            stub.add_client_error("get_file", "CommitDoesNotExistException")
            return
        response = {"commitId": "c", "blobId": "b", "filePath": "f", "fileMode": "NORMAL", "fileSize": 1}
        stub.add_response("get_file", response | {"fileContent": self.template})
        stub.add_client_error("get_file", "FileDoesNotExistException")  # README.md

    def _cloudformation(self, stub: Stubber) -> None:
        stack = {"StackName": "prod-sample-app", "CreationTime": "2026-01-01", **self.stack}
        stub.add_response("describe_stacks", {"Stacks": [stack]})


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Account:
    account = Account()
    monkeypatch.setattr(Target, "client", lambda _, *names: account.client(*names))
    monkeypatch.setattr(Target, "outputs", lambda *_: account.outputs)
    return account


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outputs": {"PipelineName": "pipeline"}}, "source=codecommit"),
        ({"input": json.dumps({"stackName": "shop"}).encode()}, "aws s3 cp .* s3://inputs/input.json"),
        ({"template": b"Resources: {}"}, "in the repository repository is not the sample's"),
        ({"template": None}, "has no branch main"),
        ({"stack": {"StackStatus": "CREATE_COMPLETE"}}, "was not deployed by this pipeline .its role: none"),
        ({"stack": {"RoleARN": ROLE, "StackStatus": "ROLLBACK_COMPLETE"}}, "prod-sample-app is ROLLBACK_COMPLETE"),
        ({"stack": {"RoleARN": ROLE, "StackStatus": "DELETE_FAILED"}}, "prod-sample-app is DELETE_FAILED"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_missing_precondition_stops_before_changes(account: Account, change: dict[str, Any], message: str) -> None:
    vars(account).update(change)
    with pytest.raises(PreconditionError, match=message):
        prepare()


@pytest.mark.usefixtures("account")
def test_account_with_sample_is_accepted() -> None:
    prepare()


def prepare() -> None:
    walkthrough = DeployPipelineWalkthrough(Target(boto3.Session(region_name="us-east-1"), 1, 1))
    walkthrough.cleanup = ExitStack()  # never closed: nothing is changed before the first step
    walkthrough._prepare()


def deploy(identifier: str, status: str) -> dict[str, Any]:
    return {"actionExecutionId": identifier, "actionName": "Deploy", "status": status, "pipelineExecutionId": "run"}


def test_wait_ignores_action_before_retry() -> None:
    client = boto3.client("codepipeline", region_name="us-east-1")
    stub = Stubber(client)
    state = {"pipelineExecution": {"status": "Failed"}}  # from before the retry
    old, new = deploy("1", "Failed"), deploy("2", "InProgress")
    for actions in ([old], [new, old]):
        stub.add_response("list_action_executions", {"actionExecutionDetails": actions})
        stub.add_response("get_pipeline_execution", state)
    stub.add_response("list_action_executions", {"actionExecutionDetails": [deploy("2", "Succeeded"), old]})
    stub.activate()
    runs = PipelineRuns(Target(boto3.Session(region_name="us-east-1"), 1, 1), client, "pipeline")
    assert runs.wait_for_deployment("run", "1").status == "Succeeded"


def test_superseded_run_is_an_error() -> None:
    client = boto3.client("codepipeline", region_name="us-east-1")
    stub = Stubber(client)
    stub.add_response("list_action_executions", {"actionExecutionDetails": []})
    stub.add_response("get_pipeline_execution", {"pipelineExecution": {"status": "Superseded"}})
    stub.activate()
    runs = PipelineRuns(Target(boto3.Session(region_name="us-east-1"), 60, 1), client, "pipeline")
    with pytest.raises(AssertionError, match="pipeline execution run is Superseded"):
        runs.wait_for_deployment("run")
