"""The trigger: it starts an execution for a job, reports the result, and handles errors of AWS."""

import json
import logging

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from lambdas.deploy_pipeline.trigger import MAX_FAILURE_CHARACTERS

from .fake_services import (
    EXECUTION,
    JOB,
    SECRETS,
    STATE_MACHINE,
    FakeServices,
    client_error,
    failure_of,
    handle,
    job,
    result_of,
    server_error,
)


@pytest.fixture
def services() -> FakeServices:
    return FakeServices()


def test_new_job_starts_execution_with_file_and_artifact(services: FakeServices) -> None:
    assert result_of(services) == {"jobId": JOB, "continuationToken": EXECUTION}
    (started,) = services.started
    assert (started["stateMachineArn"], started["name"]) == (STATE_MACHINE, JOB)
    expected = {"stackName": "app", "revisionS3Bucket": "artifacts", "revisionS3Key": "App/1.zip"}
    assert json.loads(started["input"]) == expected


def test_artifact_of_job_overrides_input_file(services: FakeServices) -> None:
    services.file = b'{"revisionS3Key": "another.zip"}'
    result_of(services)
    assert json.loads(services.started[0]["input"])["revisionS3Key"] == "App/1.zip"


@pytest.mark.reliability("deploy_pipeline", "Duplicate", fault="the same job is delivered twice")
def test_duplicate_job_starts_one_execution(services: FakeServices) -> None:
    first, second = result_of(services), result_of(services)
    assert first == second
    assert len(services.started) == 1


@pytest.mark.reliability(
    "deploy_pipeline",
    "Partial failure",
    fault="the trigger crashes between starting the execution and reporting to CodePipeline",
    expected="the retry finds that execution",
    observed="one execution, and its ARN is reported",
)
def test_retry_after_crash_reports_existing_execution(services: FakeServices) -> None:
    services.errors["PutJobSuccessResult"] = [client_error("InternalFailure")]
    with pytest.raises(ClientError):
        result_of(services)
    assert result_of(services)["continuationToken"] == EXECUTION
    assert len(services.started) == 1


@pytest.mark.reliability(
    "deploy_pipeline",
    "Delayed or out of order",
    fault="the job has ended before its result is reported",
    expected="CodePipeline's error is ignored",
    observed='logged as "already reported"',
)
def test_result_of_ended_job_is_ignored(services: FakeServices, caplog: pytest.LogCaptureFixture) -> None:
    services.results.append({})
    for code in ("InvalidJobStateException", "JobNotFoundException"):
        services.errors["PutJobSuccessResult"] = [client_error(code)]
        assert result_of(services) == {}
    assert [vars(record)["status"] for record in caplog.records if record.levelno == logging.WARNING] == [
        "already reported"
    ] * 2


def test_running_execution_continues_job(services: FakeServices) -> None:
    assert result_of(services, EXECUTION) == {"jobId": JOB, "continuationToken": EXECUTION}
    assert not services.started


def test_success_reports_summary_and_variables(services: FakeServices) -> None:
    output = {"outcome": "updated", "stackName": "prod-app", "summary": "prod-app is updated"}
    services.execution = {"status": "SUCCEEDED", "output": json.dumps(output)}
    assert result_of(services, EXECUTION) == {
        "jobId": JOB,
        "executionDetails": {"summary": "prod-app is updated", "externalExecutionId": JOB},
        "outputVariables": {"stackName": "prod-app", "outcome": "updated", "report": "", "execution": JOB},
    }


@pytest.mark.parametrize(
    ("execution", "message"),
    [
        ({"status": "FAILED", "error": "UnsafeChanges", "cause": "1 unsafe change"}, "UnsafeChanges: 1 unsafe change"),
        ({"status": "TIMED_OUT", "error": "States.Timeout"}, "States.Timeout: no cause given"),
        ({"status": "ABORTED", "cause": "by hand"}, "ABORTED: by hand"),
        ({"status": "PENDING_REDRIVE"}, "PENDING_REDRIVE: no cause given"),
    ],
)
def test_failed_execution_fails_job_with_cause(services: FakeServices, execution: dict[str, str], message: str) -> None:
    services.execution = execution
    assert failure_of(services, EXECUTION) == message
    assert services.results[0]["failureDetails"]["externalExecutionId"] == JOB


@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="thousands of unsafe changes or failures, or hundreds of unknown parameters",
)
def test_long_cause_is_truncated_and_keeps_count(services: FakeServices) -> None:
    cause = "400 unsafe changes to prod-app:\n" + "\n".join(f"- Queue{n} (AWS::SQS::Queue), Remove" for n in range(400))
    services.execution = {"status": "FAILED", "error": "UnsafeChanges", "cause": cause}
    message = failure_of(services, EXECUTION)
    assert len(message) <= MAX_FAILURE_CHARACTERS
    assert message.startswith("UnsafeChanges: 400 unsafe changes")
    assert "more lines" in message.splitlines()[-1]


@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="thousands of unsafe changes or failures, or hundreds of unknown parameters",
)
def test_long_summary_is_truncated(services: FakeServices) -> None:
    changes = "".join(f"\n- Queue{n} (AWS::SQS::Queue), Remove: it is deleted" for n in range(400))
    output = {
        "summary": f"prod-app-1 is created as a blue/green stack of prod-app. 400 unsafe changes to prod-app:{changes}"
    }
    services.execution = {"status": "SUCCEEDED", "output": json.dumps(output)}
    summary = result_of(services, EXECUTION)["executionDetails"]["summary"]
    assert len(summary) <= 2048, "CodePipeline would reject the result"
    assert summary.startswith("prod-app-1 is created as a blue/green stack of prod-app. 400 unsafe changes")


@pytest.mark.reliability("deploy_pipeline", "Deleted externally", fault="the artifact, or the input file")
def test_missing_input_file_with_403_is_explained(services: FakeServices) -> None:
    services.errors["get_object"] = [client_error("AccessDenied")]
    assert "s3://inputs/input.json cannot be read: the object does not exist, or" in failure_of(services)


def test_poll_with_new_job_id_reports_result(services: FakeServices) -> None:
    """CodePipeline creates a new job for each poll: its API reference describes the token with "future jobs"."""
    services.execution = {"status": "SUCCEEDED", "output": "{}"}
    again = job(EXECUTION) | {"id": JOB.replace("1", "3")}
    handle(services, again)
    assert services.results[-1]["jobId"] == again["id"]
    assert "executionDetails" in services.results[-1]


@pytest.mark.parametrize("call", ["get_object", "start_execution"])
@pytest.mark.parametrize("code", ["AccessDenied", "ThrottlingException", "NoSuchKey"])
@pytest.mark.reliability(
    "deploy_pipeline",
    "Access denied",
    fault="the trigger cannot read its input file, or start or describe the execution",
    expected="the job fails immediately, with the error code",
    observed="`AccessDenied` in the failure of the action",
)
def test_rejected_call_fails_job(services: FakeServices, call: str, code: str) -> None:
    services.errors[call] = [client_error(code)]
    assert code in failure_of(services)


def test_connection_error_fails_new_job(services: FakeServices) -> None:
    services.errors["get_object"] = [EndpointConnectionError(endpoint_url="https://s3.us-east-1.amazonaws.com")]
    assert "Could not connect" in failure_of(services)


@pytest.mark.parametrize("code", ["AccessDeniedException", "ExecutionDoesNotExist"])
@pytest.mark.reliability(
    "deploy_pipeline",
    "Access denied",
    fault="the trigger cannot read its input file, or start or describe the execution",
)
def test_unreadable_execution_fails_job(services: FakeServices, code: str) -> None:
    services.errors["describe_execution"] = [client_error(code)]
    assert code in failure_of(services, EXECUTION)


@pytest.mark.parametrize(
    "error",
    [
        client_error("ThrottlingException"),
        *(server_error(status) for status in (500, 502, 503)),
        EndpointConnectionError(endpoint_url="https://states.us-east-1.amazonaws.com"),
    ],
    ids=["throttled", "500", "502", "503", "no response"],
)
@pytest.mark.reliability(
    "deploy_pipeline",
    "Throttling",
    fault="the running execution temporarily cannot be described",
    expected="the action continues to wait; the execution is not affected",
    observed="the same continuation token again, then success",
)
def test_transient_error_while_polling_continues_job(
    services: FakeServices, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    services.errors["describe_execution"] = [error]
    assert result_of(services, EXECUTION) == {"jobId": JOB, "continuationToken": EXECUTION}
    assert "retrying" in [vars(record)["status"] for record in caplog.records]
    services.execution = {"status": "SUCCEEDED", "output": "{}"}
    assert "outputVariables" in result_of(services, EXECUTION)


@pytest.mark.reliability(
    "deploy_pipeline",
    "Lost event or response",
    fault="the result cannot be reported to CodePipeline",
    expected="Lambda retries the event; an alarm is raised",
    observed="the error is raised",
)
def test_unreportable_failure_raises_for_lambda_retry(services: FakeServices) -> None:
    services.errors = {
        "get_object": [client_error("AccessDenied")],
        "PutJobFailureResult": [client_error("InternalFailure")],
    }
    with pytest.raises(ClientError, match="InternalFailure"):
        result_of(services)


@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="an error while the job's credentials are in memory",
    expected="they are never logged",
    observed="not in any log line",
)
def test_credentials_are_never_logged(services: FakeServices, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "lambdas.deploy_pipeline"):
        result_of(services)
        services.execution = {"status": "FAILED", "error": "E", "cause": "C"}
        result_of(services, EXECUTION)
        services.errors["start_execution"] = [client_error("AccessDenied")]
        result_of(services, UserParameters="{")
    assert [vars(record)["status"] for record in caplog.records] == ["waiting", "failed", "failed"]
    for record in caplog.records:
        assert vars(record)["job_id"] == JOB
        assert not [secret for secret in SECRETS.values() if secret in str(vars(record))]
