"""Deploys a stack with the state machine of `DeployPipeline`."""

import io
import json
import uuid
import zipfile
from dataclasses import dataclass
from typing import Any

from sandbox import Sandbox
from sandbox.target import target_of

from .fault_injection import inject

QUEUE = {"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": 30}}
LONGER = {"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": 60}}
TOPIC = {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": "Orders"}}


@dataclass
class Deployment:
    """A stack, and the executions that deploy to it."""

    sandbox: Sandbox
    state_machine: str

    def __post_init__(self) -> None:
        self.target = target_of(self.sandbox)
        self.s3 = self.target.client("s3")
        self.cloudformation = self.target.client("cloudformation")
        self.step_functions = self.target.client("stepfunctions")
        self.name = f"sample-app-green-{uuid.uuid4().hex[:8]}"  # the state machine deploys no other names
        self.stack = f"prod-{self.name}"
        name = self.target.outputs("DeployPipeline")["PipelineName"]
        pipeline = self.target.client("codepipeline").get_pipeline(name=name)
        self.bucket = pipeline["pipeline"]["artifactStore"]["location"]  # the state machine can read no other bucket

    def start(self, resources: dict[str, Any], **fields: Any) -> str:
        """Start an execution that deploys these resources; `fields` are added to its input."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("app.json", json.dumps({"Resources": resources}))
        return self.start_artifact(buffer.getvalue(), templatePath="app.json", **fields)

    def start_artifact(self, content: bytes, **fields: Any) -> str:
        """Start an execution with this zip file as its artifact; `fields` are added to its input."""
        self.s3.put_object(Bucket=self.bucket, Key=f"{self.name}.zip", Body=content)
        names = {"environmentName": "prod", "stackName": self.name}
        artifact = {"revisionS3Bucket": self.bucket, "revisionS3Key": f"{self.name}.zip"}
        response = self.step_functions.start_execution(
            stateMachineArn=self.state_machine, input=json.dumps(names | artifact | fields)
        )
        return str(response["executionArn"])

    def wait(self, execution: str) -> dict[str, Any]:
        def ended() -> dict[str, Any] | None:
            description = self.step_functions.describe_execution(executionArn=execution)
            return None if description["status"] == "RUNNING" else dict(description)

        return self.target.wait_until(ended, f"the end of {execution}", seconds=120)

    def deploy(self, resources: dict[str, Any], **fields: Any) -> dict[str, Any]:
        return self.wait(self.start(resources, **fields))

    def create(self, resources: dict[str, Any]) -> None:
        ended = self.deploy(resources)
        assert ended["status"] == "SUCCEEDED", ended

    def inject(self, *faults: dict[str, Any]) -> None:
        inject(self.sandbox, *faults)

    def states(self, execution: str) -> list[str]:
        events = self.step_functions.get_execution_history(executionArn=execution)["events"]
        return [e["stateEnteredEventDetails"]["name"] for e in events if "stateEnteredEventDetails" in e]

    def wait_for_state(self, execution: str, state: str) -> None:
        self.target.wait_until(lambda: state in self.states(execution), f"{state} is entered", seconds=120)

    def status(self) -> str:
        (stack,) = self.cloudformation.describe_stacks(StackName=self.stack)["Stacks"]
        return str(stack["StackStatus"])

    def snapshot(self) -> Any:
        """Return what would differ if the stack were changed."""
        resources = self.cloudformation.list_stack_resources(StackName=self.stack)["StackResourceSummaries"]
        names = ("LogicalResourceId", "PhysicalResourceId", "LastUpdatedTimestamp")
        return self.status(), sorted(tuple(map(resource.get, names)) for resource in resources)

    def left(self) -> list[str]:
        """Return the change sets that could still be executed."""
        summaries = self.cloudformation.list_change_sets(StackName=self.stack)["Summaries"]
        return [c["ChangeSetName"] for c in summaries if not c["ExecutionStatus"].startswith("EXECUTE")]
