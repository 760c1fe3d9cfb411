"""From CodePipeline's job to the state machine and back, whatever happens.

CodePipeline, S3 and Step Functions are small fakes: what counts is what they are told, and what
they refuse.
"""

import io
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.session import Session
from botocore.validate import validate_parameters

from lambdas.deploy_pipeline import trigger_handler
from lambdas.deploy_pipeline.errors import InvalidInputError
from lambdas.deploy_pipeline.request import MAX_INPUT_CHARACTERS
from lambdas.deploy_pipeline.trigger import MAX_FAILURE_CHARACTERS, Trigger

MACHINE = "arn:aws:states:us-east-1:111111111111:stateMachine:machine"
JOB = "11111111-aaaa-4bbb-8ccc-000000000001"
EXECUTION = f"arn:aws:states:us-east-1:111111111111:execution:machine:{JOB}"
SECRETS = {"accessKeyId": "ASIAIOSFODNN7EXAMPLE", "secretAccessKey": "a-secret", "sessionToken": "a-token"}
MODEL = Session().get_service_model("codepipeline")


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "so it is"}}, "Operation")


def server_error(status: int) -> ClientError:
    response: Any = {"Error": {"Code": str(status)}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "DescribeExecution")


class Services:
    """CodePipeline, S3 and Step Functions in one."""

    def __init__(self) -> None:
        self.file = b'{"stackName": "app"}'
        self.body = io.BytesIO()
        self.execution: dict[str, Any] = {"status": "RUNNING"}
        self.input: dict[str, Any] = {"stackName": "app", "revisionS3Bucket": "artifacts", "revisionS3Key": "App/1.zip"}
        self.failing: dict[str, list[Exception]] = {}
        self.started: list[dict[str, Any]] = []
        self.told: list[dict[str, Any]] = []

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        self._fail("get_object")
        assert (Bucket, Key) == ("inputs", "input.json")
        self.body = io.BytesIO(self.file)
        return {"Body": self.body}

    def start_execution(self, **request: Any) -> dict[str, Any]:
        self._fail("start_execution")
        if request["name"] in [started["name"] for started in self.started]:
            raise refused("ExecutionAlreadyExists")
        self.started.append(request)
        return {"executionArn": EXECUTION}

    def describe_execution(self, executionArn: str) -> dict[str, Any]:
        self._fail("describe_execution")
        assert executionArn.startswith("arn:")
        return {"name": JOB, "stateMachineArn": MACHINE, "input": json.dumps(self.input), **self.execution}

    def put_job_success_result(self, **result: Any) -> None:
        self._tell("PutJobSuccessResult", result)

    def put_job_failure_result(self, **result: Any) -> None:
        self._tell("PutJobFailureResult", result)

    def _tell(self, operation: str, result: dict[str, Any]) -> None:
        model: Any = MODEL.operation_model(operation)
        validate_parameters(result, model.input_shape)
        self._fail(operation)
        self.told.append(result)

    def _fail(self, operation: str) -> None:
        if self.failing.get(operation):
            raise self.failing[operation].pop(0)


@pytest.fixture
def services() -> Services:
    return Services()


def job(token: str | None = None, **configuration: Any) -> dict[str, Any]:
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


def work(services: Services, token: str | None = None, **configuration: Any) -> dict[str, Any]:
    """Handle a job, and give what CodePipeline was told last."""
    Trigger(services, services, services, MACHINE).handle_job(job(token, **configuration))
    return services.told[-1]


def failure(services: Services, token: str | None = None, **configuration: Any) -> str:
    told = work(services, token, **configuration)
    return str(told["failureDetails"]["message"])


def test_new_job_starts_execution_with_file_and_artifact(services: Services) -> None:
    assert work(services) == {"jobId": JOB, "continuationToken": EXECUTION}
    (started,) = services.started
    assert (started["stateMachineArn"], started["name"]) == (MACHINE, JOB)
    expected = {"stackName": "app", "revisionS3Bucket": "artifacts", "revisionS3Key": "App/1.zip"}
    assert json.loads(started["input"]) == expected


def test_artifact_of_job_overrides_input_file(services: Services) -> None:
    services.file = b'{"revisionS3Key": "another.zip"}'
    work(services)
    assert json.loads(services.started[0]["input"])["revisionS3Key"] == "App/1.zip"


@pytest.mark.reliability("deploy_pipeline", "Duplicate", fault="the same job is delivered twice")
def test_duplicate_job_starts_one_execution(services: Services) -> None:
    first, second = work(services), work(services)
    assert first == second
    assert len(services.started) == 1


@pytest.mark.reliability(
    "deploy_pipeline",
    "Partial failure",
    fault="the trigger crashes after it has started the execution, before it has reported to CodePipeline",
    expected="the retry finds that execution",
    observed="one execution, and its ARN is reported",
)
def test_retry_after_crash_reports_existing_execution(services: Services) -> None:
    services.failing["PutJobSuccessResult"] = [refused("InternalFailure")]
    with pytest.raises(ClientError):
        work(services)
    assert work(services)["continuationToken"] == EXECUTION
    assert len(services.started) == 1


@pytest.mark.reliability(
    "deploy_pipeline",
    "Late",
    fault="the job has ended before its result is reported",
    expected="CodePipeline's error is ignored",
    observed='logged as "already reported"',
)
def test_result_of_ended_job_is_ignored(services: Services, capsys: pytest.CaptureFixture[str]) -> None:
    services.told.append({})
    for code in ("InvalidJobStateException", "JobNotFoundException"):
        services.failing["PutJobSuccessResult"] = [refused(code)]
        assert work(services) == {}
    assert "already reported" in capsys.readouterr().out


def test_running_execution_continues_job(services: Services) -> None:
    assert work(services, EXECUTION) == {"jobId": JOB, "continuationToken": EXECUTION}
    assert not services.started


def test_success_reports_summary_and_variables(services: Services) -> None:
    output = {"outcome": "updated", "stackName": "prod-app", "summary": "prod-app is updated"}
    services.execution = {"status": "SUCCEEDED", "output": json.dumps(output)}
    assert work(services, EXECUTION) == {
        "jobId": JOB,
        "executionDetails": {"summary": "prod-app is updated", "externalExecutionId": JOB},
        "outputVariables": {"stackName": "prod-app", "outcome": "updated"},
    }


@pytest.mark.parametrize(
    ("execution", "said"),
    [
        ({"status": "FAILED", "error": "UnsafeChanges", "cause": "1 unsafe change"}, "UnsafeChanges: 1 unsafe change"),
        ({"status": "TIMED_OUT", "error": "States.Timeout"}, "States.Timeout: no cause given"),
        ({"status": "ABORTED", "cause": "by hand"}, "ABORTED: by hand"),
        ({"status": "PENDING_REDRIVE"}, "PENDING_REDRIVE: no cause given"),
    ],
)
def test_failed_execution_fails_job_with_cause(services: Services, execution: dict[str, str], said: str) -> None:
    services.execution = execution
    assert failure(services, EXECUTION) == said
    assert services.told[0]["failureDetails"]["externalExecutionId"] == JOB


@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="thousands of unsafe changes, failures or unknown parameters",
)
def test_long_cause_is_truncated_and_keeps_count(services: Services) -> None:
    cause = "400 unsafe changes to prod-app:\n" + "\n".join(f"- Queue{n} (AWS::SQS::Queue), Remove" for n in range(400))
    services.execution = {"status": "FAILED", "error": "UnsafeChanges", "cause": cause}
    message = failure(services, EXECUTION)
    assert len(message) <= MAX_FAILURE_CHARACTERS
    assert message.startswith("UnsafeChanges: 400 unsafe changes")
    assert "more lines" in message.splitlines()[-1]


@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="thousands of unsafe changes, failures or unknown parameters",
)
def test_long_summary_is_truncated(services: Services) -> None:
    changes = "".join(f"\n- Queue{n} (AWS::SQS::Queue), Remove: it is deleted" for n in range(400))
    output = {
        "summary": f"prod-app-1 is created as a blue/green stack of prod-app. 400 unsafe changes to prod-app:{changes}"
    }
    services.execution = {"status": "SUCCEEDED", "output": json.dumps(output)}
    summary = work(services, EXECUTION)["executionDetails"]["summary"]
    assert len(summary) <= 2048, "CodePipeline would refuse the result"
    assert summary.startswith("prod-app-1 is created as a blue/green stack of prod-app. 400 unsafe changes")


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b"7", b"{" + b" " * MAX_INPUT_CHARACTERS + b"}"])
@pytest.mark.reliability("deploy_pipeline", "Malformed input", fault="input file or user parameters")
def test_invalid_input_file_fails_job(services: Services, content: bytes) -> None:
    services.file = content
    assert "input.json" in failure(services)
    assert not services.started


@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="an input file that is much too long",
    expected="the job fails; at most one byte more than the limit is read",
    observed="200,001 of a million bytes",
)
def test_large_input_file_is_not_read_completely(services: Services) -> None:
    services.file = b" " * (5 * MAX_INPUT_CHARACTERS)
    assert "more than" in failure(services)
    assert services.body.tell() <= MAX_INPUT_CHARACTERS + 1, "a file of any size would have been read into memory"


@pytest.mark.parametrize("parameters", ["", "{", "[]", "{}", '{"s3Bucket": "inputs"}', '{"stateMachineFile": 7}'])
def test_invalid_user_parameters_fail_job(services: Services, parameters: str) -> None:
    assert "UserParameters" in failure(services, UserParameters=parameters)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("data",), None, "the job has no data"),
        (("data",), [], "the job has no data"),
        (("data", "actionConfiguration"), None, "the job has no actionConfiguration.configuration"),
        (("data", "actionConfiguration", "configuration"), "x", "the job has no actionConfiguration.configuration"),
        (("data", "actionConfiguration", "configuration", "UserParameters"), None, "UserParameters is not JSON"),
        (("data", "inputArtifacts"), None, "the job has no input artifacts; the action needs exactly one"),
        (("data", "inputArtifacts"), [], "the job has 0 input artifacts; the action needs exactly one"),
        (("data", "inputArtifacts"), [{}, {}], "the job has 2 input artifacts; the action needs exactly one"),
        (("data", "inputArtifacts"), [{"location": {}}], "the job has no location.s3Location"),
        (
            ("data", "inputArtifacts"),
            [{"location": {"s3Location": {"bucketName": "b", "objectKey": 7}}}],
            "inputArtifacts[0].location.s3Location.objectKey: given 7; accepted: text",
        ),
    ],
)
@pytest.mark.reliability(
    "deploy_pipeline",
    "Malformed input",
    fault="a job without an input artifact or with invalid fields; `NaN` in the input file",
    expected="the job fails immediately, and the field is named",
    observed="`parameters.Size: given NaN; accepted: ...`",
)
def test_malformed_job_fails_and_names_field(services: Services, path: tuple[str, ...], value: Any, said: str) -> None:
    event = place = job()
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    Trigger(services, services, services, MACHINE).handle_job(event)
    assert said in services.told[-1]["failureDetails"]["message"]
    assert not services.started


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"s3Bucket": "inputs"}, "UserParameters.stateMachineFile: missing; accepted: text"),
        ({"s3Bucket": "inputs", "stateMachineFile": 7}, "UserParameters.stateMachineFile: given 7; accepted: text"),
        ({"s3Bucket": "", "stateMachineFile": "x"}, 'UserParameters.s3Bucket: given ""; accepted: text'),
    ],
)
@pytest.mark.reliability(
    "deploy_pipeline",
    "Malformed input",
    fault="a job without an input artifact or with invalid fields; `NaN` in the input file",
)
def test_invalid_user_parameter_is_named(services: Services, parameters: dict[str, Any], said: str) -> None:
    assert said in failure(services, UserParameters=json.dumps(parameters))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('"parameters": {"Size": NaN}', "parameters.Size: given NaN; accepted: text, finite numbers"),
        ('"parameters": {"Size": [1, -Infinity]}', "parameters.Size: given [1, -Infinity]"),
        ('"parameters": {"Size": 1e999}', "parameters.Size: given Infinity"),
        ('"tags": {"team": NaN}', 'tags: given {"team": NaN}; accepted: an object of at most 50 texts'),
    ],
)
@pytest.mark.reliability(
    "deploy_pipeline",
    "Malformed input",
    fault="a job without an input artifact or with invalid fields; `NaN` in the input file",
)
def test_non_finite_number_fails_job_and_is_named(services: Services, content: str, said: str) -> None:
    services.file = f'{{"environmentName": "prod", "stackName": "a", "templatePath": "t", {content}}}'.encode()
    assert said in failure(services)
    assert not services.started


@pytest.mark.parametrize("levels", [32, 5000, 90_000])
@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="JSON nested thousands deep",
    expected="fails with that reason",
    observed='"more than 32 levels of nesting"',
)
def test_deeply_nested_json_fails_job(services: Services, levels: int) -> None:
    deep = '{"policy": ' + "[" * levels + "]" * levels + "}"
    services.file = deep.encode()
    assert "input.json has more than 32 levels of nesting" in failure(services)
    assert "UserParameters has more than 32 levels of nesting" in failure(services, UserParameters=deep)
    assert not services.started


@pytest.mark.reliability(
    "deploy_pipeline",
    "Malformed input",
    fault="a job without an input artifact or with invalid fields; `NaN` in the input file",
)
def test_event_without_job_is_explained() -> None:
    events: list[dict[str, Any]] = [{}, {"CodePipeline.job": None}, {"CodePipeline.job": {}}]
    for event in events:
        with pytest.raises(InvalidInputError, match="CodePipeline invokes this function"):
            trigger_handler.handler(event, None)


@pytest.mark.reliability("deploy_pipeline", "Deleted by somebody else", fault="the artifact, or the input file")
def test_missing_input_file_with_403_is_explained(services: Services) -> None:
    services.failing["get_object"] = [refused("AccessDenied")]
    assert "s3://inputs/input.json cannot be read: the object does not exist, or" in failure(services)


@pytest.mark.parametrize(
    "token", [EXECUTION.replace(":machine:", ":other:"), EXECUTION.replace("1111", "2222"), "x" * 900]
)
@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="a job of another pipeline contains the ARN of a successful execution",
    expected="the job fails",
    observed="never `PutJobSuccessResult`",
)
def test_token_of_other_state_machine_fails_job(services: Services, token: str) -> None:
    services.execution = {"status": "SUCCEEDED", "output": "{}"}
    assert "is not an execution of this pipeline" in failure(services, token)


@pytest.mark.parametrize("changes", [{"revisionS3Bucket": "another"}, {"revisionS3Key": "another"}, None])
@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="a job of another pipeline contains the ARN of a successful execution",
)
def test_token_of_execution_with_other_artifact_fails_job(services: Services, changes: dict[str, str] | None) -> None:
    """An attack: a job of another pipeline contains the ARN of a successful execution."""
    services.execution = {"status": "SUCCEEDED", "output": "{}"}
    services.input = services.input | changes if changes else {}
    assert "was started for another artifact" in failure(services, EXECUTION)


def test_poll_with_new_job_id_reports_result(services: Services) -> None:
    """CodePipeline makes a new job each time, as its API reference says of the token: "future jobs"."""
    services.execution = {"status": "SUCCEEDED", "output": "{}"}
    again = job(EXECUTION) | {"id": JOB.replace("1", "3")}
    Trigger(services, services, services, MACHINE).handle_job(again)
    assert services.told[-1]["jobId"] == again["id"]
    assert "executionDetails" in services.told[-1]


@pytest.mark.parametrize("call", ["get_object", "start_execution"])
@pytest.mark.parametrize("code", ["AccessDenied", "ThrottlingException", "NoSuchKey"])
@pytest.mark.reliability(
    "deploy_pipeline",
    "Access denied",
    fault="the trigger cannot read its input file, or start or describe the execution",
    expected="the job fails immediately, with the error code",
    observed="`AccessDenied` in the failure of the action",
)
def test_rejected_call_fails_job(services: Services, call: str, code: str) -> None:
    services.failing[call] = [refused(code)]
    assert code in failure(services)


def test_connection_error_fails_new_job(services: Services) -> None:
    services.failing["get_object"] = [EndpointConnectionError(endpoint_url="https://s3.us-east-1.amazonaws.com")]
    assert "Could not connect" in failure(services)


@pytest.mark.parametrize("code", ["AccessDeniedException", "ExecutionDoesNotExist"])
@pytest.mark.reliability(
    "deploy_pipeline",
    "Access denied",
    fault="the trigger cannot read its input file, or start or describe the execution",
)
def test_unreadable_execution_fails_job(services: Services, code: str) -> None:
    services.failing["describe_execution"] = [refused(code)]
    assert code in failure(services, EXECUTION)


@pytest.mark.parametrize(
    "passing",
    [
        refused("ThrottlingException"),
        *(server_error(status) for status in (500, 502, 503)),
        EndpointConnectionError(endpoint_url="https://states.us-east-1.amazonaws.com"),
    ],
    ids=["throttled", "500", "502", "503", "no answer"],
)
@pytest.mark.reliability(
    "deploy_pipeline",
    "Throttling",
    fault="the running execution cannot be described temporarily",
    expected="the action continues to wait; the execution is not affected",
    observed="the same continuation token again, then success",
)
def test_transient_error_while_polling_continues_job(
    services: Services, passing: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    services.failing["describe_execution"] = [passing]
    assert work(services, EXECUTION) == {"jobId": JOB, "continuationToken": EXECUTION}, "it goes on all the same"
    assert "retrying" in capsys.readouterr().out
    services.execution = {"status": "SUCCEEDED", "output": "{}"}
    assert "outputVariables" in work(services, EXECUTION)


@pytest.mark.reliability(
    "deploy_pipeline",
    "Lost",
    fault="the result cannot be reported to CodePipeline",
    expected="Lambda retries the event; an alarm is raised",
    observed="the error is raised",
)
def test_unreportable_failure_raises_for_lambda_retry(services: Services) -> None:
    services.failing = {"get_object": [refused("AccessDenied")], "PutJobFailureResult": [refused("InternalFailure")]}
    with pytest.raises(ClientError, match="InternalFailure"):
        work(services)


@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="an error while the job's credentials are in memory",
    expected="they are never logged",
    observed="not in any log line",
)
def test_credentials_are_never_logged(services: Services, capsys: pytest.CaptureFixture[str]) -> None:
    work(services)
    services.execution = {"status": "FAILED", "error": "E", "cause": "C"}
    work(services, EXECUTION)
    services.failing["start_execution"] = [refused("AccessDenied")]
    work(services, UserParameters="{")
    out, err = capsys.readouterr()
    assert out.count("\n") == 3
    for secret in SECRETS.values():
        assert secret not in out + err
    for line in out.splitlines():
        assert json.loads(line)["job"] == JOB
