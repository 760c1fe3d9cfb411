"""A fake of CodePipeline, S3 and Step Functions: it records the calls of the trigger, and fails as a test defines."""

import io
import json
from typing import Any

from botocore.exceptions import ClientError
from botocore.session import Session
from botocore.validate import validate_parameters

from lambdas.deploy_pipeline.trigger import Trigger
from tests.fake_client import FakeClient

STATE_MACHINE = "arn:aws:states:us-east-1:111111111111:stateMachine:machine"
JOB = "11111111-aaaa-4bbb-8ccc-000000000001"
EXECUTION = f"arn:aws:states:us-east-1:111111111111:execution:machine:{JOB}"
SECRETS = {"accessKeyId": "ASIAIOSFODNN7EXAMPLE", "secretAccessKey": "a-secret", "sessionToken": "a-token"}
MODEL = Session().get_service_model("codepipeline")


def client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "the message of AWS"}}, "Operation")


def server_error(status: int) -> ClientError:
    response: Any = {"Error": {"Code": str(status)}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "Operation")


class FakeServices(FakeClient):
    """CodePipeline, S3 and Step Functions in one.

    results: arguments of PutJobSuccessResult and PutJobFailureResult. errors: by operation, raised once each.
    """

    def __init__(self) -> None:
        self.file = b'{"stackName": "app"}'
        self.body = io.BytesIO()
        self.execution: dict[str, Any] = {"status": "RUNNING"}
        self.input: dict[str, Any] = {"stackName": "app", "revisionS3Bucket": "artifacts", "revisionS3Key": "App/1.zip"}
        self.errors: dict[str, list[Exception]] = {}
        self.started: list[dict[str, Any]] = []
        self.results: list[dict[str, Any]] = []

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        self._raise_error("get_object")
        assert (Bucket, Key) == ("inputs", "input.json")
        self.body = io.BytesIO(self.file)
        return {"Body": self.body}

    def start_execution(self, **request: Any) -> dict[str, Any]:
        self._raise_error("start_execution")
        if request["name"] in [started["name"] for started in self.started]:
            raise client_error("ExecutionAlreadyExists")
        self.started.append(request)
        return {"executionArn": EXECUTION}

    def describe_execution(self, executionArn: str) -> dict[str, Any]:
        self._raise_error("describe_execution")
        assert executionArn.startswith("arn:")
        return {"name": JOB, "stateMachineArn": STATE_MACHINE, "input": json.dumps(self.input), **self.execution}

    def put_job_success_result(self, **result: Any) -> None:
        self._record("PutJobSuccessResult", result)

    def put_job_failure_result(self, **result: Any) -> None:
        self._record("PutJobFailureResult", result)

    def _record(self, operation: str, result: dict[str, Any]) -> None:
        model: Any = MODEL.operation_model(operation)
        validate_parameters(result, model.input_shape)
        self._raise_error(operation)
        self.results.append(result)

    def _raise_error(self, operation: str) -> None:
        if self.errors.get(operation):
            raise self.errors[operation].pop(0)


def job(token: str | None = None, **configuration: Any) -> Any:
    """Return a job, with a continuation token if it polls; `configuration` is added to that of the action."""
    parameters = json.dumps({"s3Bucket": "inputs", "stateMachineFile": "input.json"})
    data: dict[str, Any] = {
        "actionConfiguration": {"configuration": {"FunctionName": "t", "UserParameters": parameters} | configuration},
        "inputArtifacts": [
            {
                "name": "App",
                "revision": "1",
                "location": {"type": "S3", "s3Location": {"bucketName": "artifacts", "objectKey": "App/1.zip"}},
            }
        ],
        "outputArtifacts": [],
        "artifactCredentials": SECRETS,
    }
    return {"id": JOB, "accountId": "111111111111", "data": data | ({"continuationToken": token} if token else {})}


def handle(services: FakeServices, event: Any) -> None:
    Trigger(services, services, services, STATE_MACHINE).handle_job(event)


def result_of(services: FakeServices, token: str | None = None, **configuration: Any) -> dict[str, Any]:
    """Handle a job, and return the latest result that CodePipeline received."""
    handle(services, job(token, **configuration))
    return services.results[-1]


def failure_of(services: FakeServices, token: str | None = None, **configuration: Any) -> str:
    """Handle a job, and return the message of its failure."""
    return str(result_of(services, token, **configuration)["failureDetails"]["message"])
