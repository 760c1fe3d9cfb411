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
from lambdas.deploy_pipeline.request import LARGEST_INPUT
from lambdas.deploy_pipeline.trigger import LARGEST_FAILURE, Trigger

MACHINE = "arn:aws:states:us-east-1:111111111111:stateMachine:machine"
JOB = "11111111-aaaa-4bbb-8ccc-000000000001"
EXECUTION = f"arn:aws:states:us-east-1:111111111111:execution:machine:{JOB}"
SECRETS = {"accessKeyId": "ASIAIOSFODNN7EXAMPLE", "secretAccessKey": "a-secret", "sessionToken": "a-token"}
MODEL = Session().get_service_model("codepipeline")


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "so it is"}}, "Operation")


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
        validate_parameters(result, MODEL.operation_model(operation).input_shape)
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
    Trigger(services, services, services, MACHINE).work_on(job(token, **configuration))
    return services.told[-1]


def failure(services: Services, token: str | None = None, **configuration: Any) -> str:
    told = work(services, token, **configuration)
    return str(told["failureDetails"]["message"])


def test_job_starts_an_execution_with_the_file_and_the_artifact(services: Services) -> None:
    assert work(services) == {"jobId": JOB, "continuationToken": EXECUTION}
    (started,) = services.started
    assert (started["stateMachineArn"], started["name"]) == (MACHINE, JOB)
    expected = {"stackName": "app", "revisionS3Bucket": "artifacts", "revisionS3Key": "App/1.zip"}
    assert json.loads(started["input"]) == expected


def test_artifact_of_the_job_counts_and_not_that_of_the_file(services: Services) -> None:
    services.file = b'{"revisionS3Key": "another.zip"}'
    work(services)
    assert json.loads(services.started[0]["input"])["revisionS3Key"] == "App/1.zip"


@pytest.mark.reliability("deploy_pipeline", "Duplicate", fault="the same job comes twice")
def test_same_job_twice_is_one_execution(services: Services) -> None:
    first, second = work(services), work(services)
    assert first == second
    assert len(services.started) == 1


@pytest.mark.reliability(
    "deploy_pipeline",
    "Partial failure",
    fault="the trigger dies after it has started the execution, before it has answered the job",
    expected="its second run finds that execution",
    observed="one execution, the job is answered",
)
def test_job_whose_first_run_crashed_is_told_by_the_second(services: Services) -> None:
    services.failing["PutJobSuccessResult"] = [refused("InternalFailure")]
    with pytest.raises(ClientError):
        work(services)
    assert work(services)["continuationToken"] == EXECUTION
    assert len(services.started) == 1


@pytest.mark.reliability(
    "deploy_pipeline",
    "Late",
    fault="the job is over before its result is reported",
    expected="CodePipeline's refusal is no error",
    observed='logged as "told already"',
)
def test_job_that_is_over_is_not_told_again(services: Services, capsys: pytest.CaptureFixture[str]) -> None:
    services.told.append({})
    for code in ("InvalidJobStateException", "JobNotFoundException"):
        services.failing["PutJobSuccessResult"] = [refused(code)]
        assert work(services) == {}
    assert "told already" in capsys.readouterr().out


def test_running_execution_is_waited_for(services: Services) -> None:
    assert work(services, EXECUTION) == {"jobId": JOB, "continuationToken": EXECUTION}
    assert not services.started


def test_success_tells_what_was_done(services: Services) -> None:
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
        ({"status": "TIMED_OUT", "error": "States.Timeout"}, "States.Timeout: no cause was given"),
        ({"status": "ABORTED", "cause": "by hand"}, "ABORTED: by hand"),
        ({"status": "PENDING_REDRIVE"}, "PENDING_REDRIVE: no cause was given"),
    ],
)
def test_any_other_end_fails_the_action_with_the_cause(
    services: Services, execution: dict[str, str], said: str
) -> None:
    services.execution = execution
    assert failure(services, EXECUTION) == said
    assert services.told[0]["failureDetails"]["externalExecutionId"] == JOB


@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="thousands of unsafe changes, failures or unknown parameters",
)
def test_long_cause_is_cut_and_keeps_its_count(services: Services) -> None:
    cause = "400 unsafe changes to prod-app:\n" + "\n".join(f"- Queue{n} (AWS::SQS::Queue), Remove" for n in range(400))
    services.execution = {"status": "FAILED", "error": "UnsafeChanges", "cause": cause}
    message = failure(services, EXECUTION)
    assert len(message) <= LARGEST_FAILURE
    assert message.startswith("UnsafeChanges: 400 unsafe changes")
    assert "more lines" in message.splitlines()[-1]


@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="thousands of unsafe changes, failures or unknown parameters",
)
def test_long_summary_is_cut_to_what_codepipeline_takes(services: Services) -> None:
    changes = "".join(f"\n- Queue{n} (AWS::SQS::Queue), Remove: it is deleted" for n in range(400))
    output = {"summary": f"prod-app-1 is created beside prod-app. 400 unsafe changes to prod-app:{changes}"}
    services.execution = {"status": "SUCCEEDED", "output": json.dumps(output)}
    summary = work(services, EXECUTION)["executionDetails"]["summary"]
    assert len(summary) <= 2048, "CodePipeline would refuse the result"
    assert summary.startswith("prod-app-1 is created beside prod-app. 400 unsafe changes")


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b"7", b"{" + b" " * LARGEST_INPUT + b"}"])
@pytest.mark.reliability("deploy_pipeline", "Malformed input", fault="input file or user parameters")
def test_bad_input_file_fails_the_job_at_once(services: Services, content: bytes) -> None:
    services.file = content
    assert "input.json" in failure(services)
    assert not services.started


@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="an input file that is far too long",
    expected="the job fails; no more is read than the limit and one byte",
    observed="200,001 bytes of a million",
)
def test_no_more_of_the_input_file_is_fetched_than_it_may_have(services: Services) -> None:
    services.file = b" " * (5 * LARGEST_INPUT)
    assert "more than" in failure(services)
    assert services.body.tell() <= LARGEST_INPUT + 1, "a file of any size would have been read into memory"


@pytest.mark.parametrize("parameters", ["", "{", "[]", "{}", '{"s3Bucket": "inputs"}', '{"stateMachineFile": 7}'])
def test_bad_user_parameters_fail_the_job_at_once(services: Services, parameters: str) -> None:
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
            "inputArtifacts[0].location.s3Location.objectKey: 7 given, accepted is text",
        ),
    ],
)
@pytest.mark.reliability(
    "deploy_pipeline",
    "Malformed input",
    fault="a job without an input artifact, or of another shape; `NaN` in the input file",
    expected="the job fails at once, and the field is named",
    observed="`parameters.Size: NaN given, accepted is ...`",
)
def test_malformed_job_fails_and_names_what_is_wrong(
    services: Services, path: tuple[str, ...], value: Any, said: str
) -> None:
    event = place = job()
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    Trigger(services, services, services, MACHINE).work_on(event)
    assert said in services.told[-1]["failureDetails"]["message"]
    assert not services.started


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"s3Bucket": "inputs"}, "UserParameters.stateMachineFile: missing, accepted is text"),
        ({"s3Bucket": "inputs", "stateMachineFile": 7}, "UserParameters.stateMachineFile: 7 given, accepted is text"),
        ({"s3Bucket": "", "stateMachineFile": "x"}, 'UserParameters.s3Bucket: "" given, accepted is text'),
    ],
)
@pytest.mark.reliability(
    "deploy_pipeline",
    "Malformed input",
    fault="a job without an input artifact, or of another shape; `NaN` in the input file",
)
def test_user_parameter_that_is_wrong_is_named(services: Services, parameters: dict[str, Any], said: str) -> None:
    assert said in failure(services, UserParameters=json.dumps(parameters))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('"parameters": {"Size": NaN}', "parameters.Size: NaN given, accepted is text, finite numbers"),
        ('"parameters": {"Size": [1, -Infinity]}', "parameters.Size: [1, -Infinity] given"),
        ('"parameters": {"Size": 1e999}', "parameters.Size: Infinity given"),
        ('"tags": {"team": NaN}', "tags: accepted is an object of at most 50 texts"),
    ],
)
@pytest.mark.reliability(
    "deploy_pipeline",
    "Malformed input",
    fault="a job without an input artifact, or of another shape; `NaN` in the input file",
)
def test_number_that_json_has_not_fails_the_job_and_is_named(services: Services, content: str, said: str) -> None:
    services.file = f'{{"environmentName": "prod", "stackName": "a", "templatePath": "t", {content}}}'.encode()
    assert said in failure(services)
    assert not services.started


@pytest.mark.parametrize("levels", [32, 5000, 90_000])
@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="JSON nested thousands deep",
    expected="fails, and says so",
    observed='"nested more than 32 deep"',
)
def test_deeply_nested_json_fails_the_job(services: Services, levels: int) -> None:
    deep = '{"policy": ' + "[" * levels + "]" * levels + "}"
    services.file = deep.encode()
    assert "input.json is nested more than 32 deep" in failure(services)
    assert "UserParameters is nested more than 32 deep" in failure(services, UserParameters=deep)
    assert not services.started


@pytest.mark.reliability(
    "deploy_pipeline",
    "Malformed input",
    fault="a job without an input artifact, or of another shape; `NaN` in the input file",
)
def test_event_of_somebody_else_is_explained() -> None:
    events: list[dict[str, Any]] = [{}, {"CodePipeline.job": None}, {"CodePipeline.job": {}}]
    for event in events:
        with pytest.raises(InvalidInputError, match="CodePipeline invokes this function"):
            trigger_handler.handler(event, None)


@pytest.mark.reliability("deploy_pipeline", "Deleted by somebody else", fault="the artifact, or the input file")
def test_missing_input_file_that_s3_answers_with_403_is_explained(services: Services) -> None:
    services.failing["get_object"] = [refused("AccessDenied")]
    assert "s3://inputs/input.json cannot be read: there is no such object, or" in failure(services)


@pytest.mark.parametrize(
    "token", [EXECUTION.replace(":machine:", ":other:"), EXECUTION.replace("1111", "2222"), "x" * 900]
)
@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="another pipeline's job comes with the ARN of an execution that has succeeded",
    expected="the job fails",
    observed="never `PutJobSuccessResult`",
)
def test_job_does_not_succeed_by_the_execution_of_another_state_machine(services: Services, token: str) -> None:
    services.execution = {"status": "SUCCEEDED", "output": "{}"}
    assert "is no execution of this pipeline" in failure(services, token)


@pytest.mark.parametrize("changes", [{"revisionS3Bucket": "another"}, {"revisionS3Key": "another"}, None])
@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="another pipeline's job comes with the ARN of an execution that has succeeded",
)
def test_job_does_not_succeed_by_an_execution_on_another_artifact(
    services: Services, changes: dict[str, str] | None
) -> None:
    """An attack: another pipeline's job comes with the ARN of an execution that has succeeded."""
    services.execution = {"status": "SUCCEEDED", "output": "{}"}
    services.input = services.input | changes if changes else {}
    assert "was started for another artifact" in failure(services, EXECUTION)


def test_job_that_asks_again_has_another_id(services: Services) -> None:
    """CodePipeline makes a new job each time, as its API reference says of the token: "future jobs"."""
    services.execution = {"status": "SUCCEEDED", "output": "{}"}
    again = job(EXECUTION) | {"id": JOB.replace("1", "3")}
    Trigger(services, services, services, MACHINE).work_on(again)
    assert services.told[-1]["jobId"] == again["id"]
    assert "executionDetails" in services.told[-1]


@pytest.mark.parametrize("call", ["get_object", "start_execution"])
@pytest.mark.parametrize("code", ["AccessDenied", "ThrottlingException", "NoSuchKey"])
@pytest.mark.reliability(
    "deploy_pipeline",
    "Access denied",
    fault="the trigger may not read its input file, or start or describe the execution",
    expected="the job fails at once, with the error's code",
    observed="`AccessDenied` in the action's failure",
)
def test_refused_call_fails_the_job_at_once(services: Services, call: str, code: str) -> None:
    services.failing[call] = [refused(code)]
    assert code in failure(services)


def test_error_of_any_kind_fails_the_job_at_once(services: Services) -> None:
    services.failing["get_object"] = [EndpointConnectionError(endpoint_url="https://s3.us-east-1.amazonaws.com")]
    assert "Could not connect" in failure(services)


@pytest.mark.parametrize("code", ["AccessDeniedException", "ExecutionDoesNotExist"])
@pytest.mark.reliability(
    "deploy_pipeline",
    "Access denied",
    fault="the trigger may not read its input file, or start or describe the execution",
)
def test_execution_that_cannot_be_looked_at_fails_the_job(services: Services, code: str) -> None:
    services.failing["describe_execution"] = [refused(code)]
    assert code in failure(services, EXECUTION)


@pytest.mark.parametrize(
    "passing",
    [
        refused("ThrottlingException"),
        *(
            ClientError(
                {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": int(code)}}, "DescribeExecution"
            )
            for code in ("500", "502", "503")
        ),
        EndpointConnectionError(endpoint_url="https://states.us-east-1.amazonaws.com"),
    ],
    ids=["throttled", "500", "502", "503", "no answer"],
)
@pytest.mark.reliability(
    "deploy_pipeline",
    "Throttling",
    fault="the running execution cannot be described for a while",
    expected="the action goes on waiting; the execution is not affected",
    observed="the same continuation token again, then success",
)
def test_execution_that_cannot_be_looked_at_for_now_is_asked_about_again(
    services: Services, passing: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    services.failing["describe_execution"] = [passing]
    assert work(services, EXECUTION) == {"jobId": JOB, "continuationToken": EXECUTION}, "it goes on all the same"
    assert "asked in vain" in capsys.readouterr().out
    services.execution = {"status": "SUCCEEDED", "output": "{}"}
    assert "outputVariables" in work(services, EXECUTION)


@pytest.mark.reliability(
    "deploy_pipeline",
    "Lost",
    fault="CodePipeline cannot be told the result",
    expected="Lambda runs the job again; an alarm goes off",
    observed="the error is raised",
)
def test_job_that_cannot_even_be_failed_is_for_lambda_to_try_again(services: Services) -> None:
    services.failing = {"get_object": [refused("AccessDenied")], "PutJobFailureResult": [refused("InternalFailure")]}
    with pytest.raises(ClientError, match="InternalFailure"):
        work(services)


@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="something goes wrong with the job's credentials at hand",
    expected="they are never logged",
    observed="in no line of the log",
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
