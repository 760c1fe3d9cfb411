"""What CodePipeline and the log receive for each kind of result."""

import logging

import pytest

from .fake_services import EXECUTION, JOB, FakeServices, handle, job, result_of


@pytest.fixture
def services() -> FakeServices:
    return FakeServices()


@pytest.mark.parametrize(
    ("execution", "expected"),
    [
        ({"status": "RUNNING"}, "waiting"),
        ({"status": "SUCCEEDED", "output": "{}"}, "succeeded"),
        ({"status": "FAILED"}, "failed"),
    ],
)
def test_poll_logs_status_of_job(
    services: FakeServices, execution: dict[str, str], expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    services.execution = execution
    handle(services, job(EXECUTION))
    (record,) = caplog.records
    assert (vars(record)["status"], vars(record)["job_id"]) == (expected, JOB)


def test_failed_execution_reports_failure_type(services: FakeServices) -> None:
    """One of the types of the CodePipeline API reference, FailureDetails."""
    services.execution = {"status": "FAILED", "error": "UnsafeChanges", "cause": "1 unsafe change"}
    details = result_of(services, EXECUTION)["failureDetails"]
    assert details == {"type": "JobFailed", "message": "UnsafeChanges: 1 unsafe change", "externalExecutionId": JOB}


def test_execution_of_empty_input_file_is_polled(services: FakeServices) -> None:
    """Its input contains only the artifact, which connects it to the job."""
    del services.input["stackName"]
    services.execution = {"status": "FAILED", "error": "InvalidInput", "cause": "stackName: missing"}
    assert result_of(services, EXECUTION)["failureDetails"]["message"] == "InvalidInput: stackName: missing"
