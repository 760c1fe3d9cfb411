"""The sandbox's CodePipeline: jobs, continuation tokens, results and retried stages."""

import io
import json
import time
import uuid
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox import Sandbox
from sandbox.codepipeline import check_namespaces
from sandbox.target import session

pytestmark = pytest.mark.enable_socket

# For each job, reads the next step from an object in S3, performs it, and stores the event in another object.
CODE = """
import json, boto3
def handler(event, context):
    s3, pipelines = boto3.client("s3"), boto3.client("codepipeline")
    job = event["CodePipeline.job"]
    parameters = json.loads(job["data"]["actionConfiguration"]["configuration"]["UserParameters"])
    bucket = parameters["bucket"]
    steps = json.loads(s3.get_object(Bucket=bucket, Key="steps")["Body"].read())
    events = json.loads(s3.get_object(Bucket=bucket, Key="events")["Body"].read())
    s3.put_object(Bucket=bucket, Key="events", Body=json.dumps(events + [event]))
    step, *rest = steps
    s3.put_object(Bucket=bucket, Key="steps", Body=json.dumps(rest))
    if step.pop("crash", False):
        raise RuntimeError("crashed")
    failure = step.pop("failure", None)
    if failure:
        pipelines.put_job_failure_result(jobId=job["id"], failureDetails={"type": "JobFailed", "message": failure})
    else:
        pipelines.put_job_success_result(jobId=job["id"], **step)
"""


class Pipeline:
    """A pipeline with an S3 source and the function above."""

    def __init__(self, sandbox: Sandbox) -> None:
        clients = session(sandbox)
        self.pipelines, self.s3, self.cloudformation = map(clients.client, ("codepipeline", "s3", "cloudformation"))
        self.bucket = f"bucket-{uuid.uuid4().hex[:8]}"
        self.stack = f"stack-{uuid.uuid4().hex[:8]}"
        self.s3.create_bucket(Bucket=self.bucket)
        self.put("source.zip", _zip("file.txt", "content"))
        self.put("code.zip", _zip("index.py", CODE))
        self.put("events", b"[]")

    def put(self, key: str, body: bytes) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)

    def create(self, *steps: dict[str, Any], then: str = "") -> None:
        """Create the pipeline, which starts an execution; `then`: a parameter of a second action."""
        self.then = then
        self.put("steps", json.dumps(steps).encode())
        self.cloudformation.create_stack(
            StackName=self.stack, TemplateBody=json.dumps(self._template()), Capabilities=["CAPABILITY_IAM"]
        )
        self.cloudformation.get_waiter("stack_create_complete").wait(StackName=self.stack, WaiterConfig={"Delay": 1})
        response = self.cloudformation.describe_stack_resource(StackName=self.stack, LogicalResourceId="Pipeline")
        self.name = response["StackResourceDetail"]["PhysicalResourceId"]

    def ended(self, number: int = 1) -> dict[str, Any]:
        """Wait for the newest of `number` executions to end."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            executions = self.pipelines.list_pipeline_executions(pipelineName=self.name)["pipelineExecutionSummaries"]
            if len(executions) == number and executions[0]["status"] != "InProgress":
                return dict(executions[0])
            time.sleep(0.05)
        raise AssertionError(f"execution {number} has not ended: {executions}")

    def action(self, stage: int) -> dict[str, Any]:
        state = self.pipelines.get_pipeline_state(name=self.name)["stageStates"][stage]["actionStates"][0]
        return dict(state["latestExecution"])

    def events(self) -> list[dict[str, Any]]:
        content = self.s3.get_object(Bucket=self.bucket, Key="events")["Body"].read()
        return [event["CodePipeline.job"] for event in json.loads(content)]

    def _template(self) -> dict[str, Any]:
        role = {"Fn::GetAtt": ["Role", "Arn"]}
        services = {"Service": ["codepipeline.amazonaws.com", "lambda.amazonaws.com"]}
        trust = {"Effect": "Allow", "Principal": services, "Action": "sts:AssumeRole"}
        everything = {"Effect": "Allow", "Action": ["codepipeline:*", "lambda:*", "logs:*", "s3:*"], "Resource": "*"}
        source = {
            "Name": "Get",
            "ActionTypeId": {"Category": "Source", "Owner": "AWS", "Provider": "S3", "Version": "1"},
            "Configuration": {"S3Bucket": self.bucket, "S3ObjectKey": "source.zip"},
            "OutputArtifacts": [{"Name": "App"}],
        }
        invoke: dict[str, Any] = {
            "Name": "Do",
            "ActionTypeId": {"Category": "Invoke", "Owner": "AWS", "Provider": "Lambda", "Version": "1"},
            "Configuration": {
                "FunctionName": {"Ref": "Function"},
                "UserParameters": json.dumps({"bucket": self.bucket}),
            },
            "InputArtifacts": [{"Name": "App"}],
            "Namespace": "First",
        }
        parameters = {"UserParameters": json.dumps({"bucket": self.bucket, "then": self.then})}
        second = {"Name": "Then", "RunOrder": 2, "Configuration": invoke["Configuration"] | parameters}
        actions = [invoke, {**invoke, **second, "Namespace": "Second"}] if self.then else [invoke]
        function = {
            "Runtime": "python3.14",
            "Handler": "index.handler",
            "Role": role,
            "Timeout": 20,
            "Code": {"S3Bucket": self.bucket, "S3Key": "code.zip"},
        }
        pipeline = {
            "RoleArn": role,
            "ArtifactStore": {"Type": "S3", "Location": self.bucket},
            "Stages": [{"Name": "Source", "Actions": [source]}, {"Name": "Work", "Actions": actions}],
        }
        return {
            "Resources": {
                "Role": {
                    "Type": "AWS::IAM::Role",
                    "Properties": {
                        "AssumeRolePolicyDocument": {"Statement": [trust]},
                        "Policies": [{"PolicyName": "Everything", "PolicyDocument": {"Statement": [everything]}}],
                    },
                },
                "Function": {"Type": "AWS::Lambda::Function", "Properties": function},
                "Pipeline": {"Type": "AWS::CodePipeline::Pipeline", "Properties": pipeline},
            }
        }


def _zip(name: str, content: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def pipeline(deployed: Sandbox) -> Iterator[Pipeline]:
    pipeline = Pipeline(deployed)
    yield pipeline
    pipeline.cloudformation.delete_stack(StackName=pipeline.stack)


def test_job_event_has_artifact_parameters_and_credentials(pipeline: Pipeline) -> None:
    pipeline.create({"executionDetails": {"summary": "done", "externalExecutionId": "7"}})
    assert pipeline.ended()["status"] == "Succeeded"
    (job,) = pipeline.events()
    location = job["data"]["inputArtifacts"][0]["location"]["s3Location"]
    artifact = pipeline.s3.get_object(Bucket=location["bucketName"], Key=location["objectKey"])["Body"].read()
    assert zipfile.ZipFile(io.BytesIO(artifact)).read("file.txt") == b"content"
    assert {"accessKeyId", "secretAccessKey", "sessionToken"} <= set(job["data"]["artifactCredentials"])
    assert "continuationToken" not in job["data"]
    action = pipeline.action(1)
    assert (action["status"], action["summary"], action["externalExecutionId"]) == ("Succeeded", "done", "7")


def test_continuation_token_is_passed_to_new_job(pipeline: Pipeline) -> None:
    pipeline.create({"continuationToken": "a"}, {"continuationToken": "b"}, {})
    assert pipeline.ended()["status"] == "Succeeded"
    jobs = pipeline.events()
    assert [job["data"].get("continuationToken") for job in jobs] == [None, "a", "b"]
    assert len({job["id"] for job in jobs}) == 3


def test_retried_stage_uses_same_artifact(pipeline: Pipeline) -> None:
    pipeline.create({"failure": "not today"}, {})
    failed = pipeline.ended()
    assert failed["status"] == "Failed"
    assert pipeline.action(1)["errorDetails"]["message"] == "not today"
    stage = pipeline.pipelines.get_pipeline_state(name=pipeline.name)["stageStates"][1]["latestExecution"]
    assert (stage["pipelineExecutionId"], stage["status"]) == (failed["pipelineExecutionId"], "Failed")
    pipeline.pipelines.retry_stage_execution(
        pipelineName=pipeline.name,
        stageName="Work",
        pipelineExecutionId=failed["pipelineExecutionId"],
        retryMode="FAILED_ACTIONS",
    )
    assert pipeline.ended()["status"] == "Succeeded"
    first, second = (job["data"]["inputArtifacts"] for job in pipeline.events())
    assert first == second
    with pytest.raises(pipeline.pipelines.exceptions.StageNotRetryableException):
        pipeline.pipelines.retry_stage_execution(
            pipelineName=pipeline.name,
            stageName="Work",
            pipelineExecutionId=failed["pipelineExecutionId"],
            retryMode="FAILED_ACTIONS",
        )


def test_variable_of_earlier_action_is_kept_when_failed_action_is_retried(pipeline: Pipeline) -> None:
    pipeline.create({"outputVariables": {"key": "value"}}, {"failure": "not today"}, {}, then="#{First.key}")
    assert pipeline.ended()["status"] == "Failed"
    retry = {"pipelineName": pipeline.name, "stageName": "Work"}
    retry["pipelineExecutionId"] = pipeline.ended()["pipelineExecutionId"]
    pipeline.pipelines.retry_stage_execution(**retry, retryMode="FAILED_ACTIONS")
    assert pipeline.ended()["status"] == "Succeeded"
    jobs = [json.loads(j["data"]["actionConfiguration"]["configuration"]["UserParameters"]) for j in pipeline.events()]
    assert [job.get("then") for job in jobs] == [None, "value", "value"]


def test_missing_variable_fails_action(pipeline: Pipeline) -> None:
    pipeline.create({}, then="#{First.key}")
    assert pipeline.ended()["status"] == "Failed"
    assert len(pipeline.events()) == 1


def test_variable_of_later_action_is_rejected() -> None:
    actions: list[dict[str, Any]] = [
        {"Name": "A", "Configuration": {"UserParameters": "#{B.key}"}},
        {"Name": "B", "Namespace": "B"},
    ]
    with pytest.raises(ValueError, match=r"namespace that does not exist.*ActionName=\[A\]"):
        check_namespaces([{"Name": "Work", "Actions": actions}])
    check_namespaces([{"Name": "Work", "Actions": [actions[0] | {"RunOrder": 2}, actions[1]]}])


def test_crashed_function_is_retried_with_same_job(pipeline: Pipeline) -> None:
    pipeline.create({"crash": True}, {})
    assert pipeline.ended()["status"] == "Succeeded"
    first, second = pipeline.events()
    assert first["id"] == second["id"]


def test_second_result_of_job_is_rejected(pipeline: Pipeline) -> None:
    pipeline.create({})
    pipeline.ended()
    (job,) = pipeline.events()
    with pytest.raises(pipeline.pipelines.exceptions.InvalidJobStateException):
        pipeline.pipelines.put_job_success_result(jobId=job["id"])
    with pytest.raises(pipeline.pipelines.exceptions.JobNotFoundException):
        pipeline.pipelines.put_job_success_result(jobId=str(uuid.uuid4()))


def test_missing_source_object_fails_source_action(pipeline: Pipeline) -> None:
    pipeline.s3.delete_object(Bucket=pipeline.bucket, Key="source.zip")
    pipeline.create()
    assert pipeline.ended()["status"] == "Failed"
    assert "source.zip" in pipeline.action(0)["errorDetails"]["message"]
    pipeline.put("source.zip", _zip("file.txt", "content"))
    pipeline.put("steps", json.dumps([{}]).encode())
    pipeline.pipelines.start_pipeline_execution(name=pipeline.name)
    assert pipeline.ended(2)["status"] == "Succeeded"
