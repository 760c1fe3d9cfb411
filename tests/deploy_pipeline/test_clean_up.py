"""The clean-up function deletes the change set that an execution left behind."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambdas.deploy_pipeline import task_handler
from lambdas.deploy_pipeline.stack import change_set_name

from .fake_cloudformation import DENIED, THROTTLED, FakeCloudFormation, error
from .machine_run import APP, INPUT


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeCloudFormation:
    cloudformation = FakeCloudFormation()
    monkeypatch.setattr(task_handler, "CLOUDFORMATION", cloudformation)
    monkeypatch.setenv("STACK_NAMES", APP)
    monkeypatch.setenv("ARTIFACT_BUCKET", "artifacts")
    return cloudformation


def ended(status: str = "ABORTED", **fields: Any) -> Any:
    """Return the event of an execution that has ended; `fields` are added to its input."""
    return {"detail": {"name": "run-1", "status": status, "input": json.dumps(INPUT | fields)}}


def outcomes(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the log says was done with the change set, for each event."""
    return [vars(record)["change_set"] for record in caplog.records]


@pytest.mark.reliability(
    "deploy_pipeline",
    "Duplicate",
    fault="the event about an execution's end is delivered twice",
    expected="the second one does nothing",
    observed="no error; other change sets are not deleted",
)
def test_clean_up_deletes_change_set_of_execution(fake: FakeCloudFormation, caplog: pytest.LogCaptureFixture) -> None:
    fake.add_stack(APP, "CREATE_COMPLETE")
    fake.create_change_set(StackName=APP, ChangeSetName=change_set_name("run-1"))
    fake.create_change_set(StackName=APP, ChangeSetName="somebody-elses")
    task_handler.clean_up(ended(), None)
    assert fake.left() == ["somebody-elses"]
    task_handler.clean_up(ended(), None)  # the same event again
    assert fake.left() == ["somebody-elses"]
    assert outcomes(caplog) == ["deleted", "none"]


@pytest.mark.parametrize("status", ["EXECUTE_IN_PROGRESS", "EXECUTE_COMPLETE", "EXECUTE_FAILED"])
@pytest.mark.reliability(
    "deploy_pipeline",
    "Delayed or out of order",
    fault="the clean-up runs during or after the execution of the change set",
    expected="the change set is kept",
    observed="not deleted in any execution status",
)
def test_clean_up_keeps_started_change_set(
    fake: FakeCloudFormation, caplog: pytest.LogCaptureFixture, status: str
) -> None:
    fake.add_stack(APP, "UPDATE_IN_PROGRESS")
    fake.create_change_set(StackName=APP, ChangeSetName=change_set_name("run-1"))
    fake.change_set = [{"Status": "CREATE_COMPLETE", "ExecutionStatus": status}]
    task_handler.clean_up(ended(), None)
    assert "delete_change_set" not in fake.calls, "CloudFormation rejects this while the change set is executed"
    assert outcomes(caplog) == ["executed"]


def test_clean_up_ignores_invalid_input(fake: FakeCloudFormation) -> None:
    task_handler.clean_up(ended("FAILED", stackName="no name"), None)
    assert not fake.calls


@pytest.mark.parametrize("field", [{"stackName": "app-payments-database-east"}, {"revisionS3Bucket": "theirs"}])
@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="the input names another stack, even one with the same prefix",
)
def test_clean_up_ignores_input_that_check_stack_rejects(fake: FakeCloudFormation, field: dict[str, str]) -> None:
    """The refusal fails the execution, which starts the clean-up with the same input."""
    stack = f"prod-{field.get('stackName', 'app')}"
    fake.add_stack(stack, "CREATE_COMPLETE")
    fake.create_change_set(StackName=stack, ChangeSetName=change_set_name("run-1"))
    task_handler.clean_up(ended("FAILED", **field), None)
    assert fake.left() == [change_set_name("run-1")]
    assert "describe_change_set" not in fake.calls


def test_clean_up_ignores_execution_whose_name_check_stack_rejects(fake: FakeCloudFormation) -> None:
    """Such names can be chosen so that they have the change set's name of another execution."""
    fake.add_stack(APP, "CREATE_COMPLETE")
    fake.create_change_set(StackName=APP, ChangeSetName=change_set_name("run.1"))
    event = ended("FAILED")
    event["detail"]["name"] = "run.1"
    task_handler.clean_up(event, None)
    assert fake.left() == [change_set_name("run.1")]


@pytest.mark.reliability("deploy_pipeline", "Hostile input", fault="JSON nested thousands deep")
def test_clean_up_ignores_deeply_nested_input(fake: FakeCloudFormation) -> None:
    event = ended("FAILED")
    event["detail"]["input"] = '{"policy": ' + "[" * 5000 + "]" * 5000 + "}"
    task_handler.clean_up(event, None)
    assert not fake.calls


@pytest.mark.reliability(
    "deploy_pipeline",
    "Lost event or response",
    fault="the event about an execution's end lacks its input",
    expected="goes to the dead-letter queue",
    observed="an error, and no call",
)
def test_clean_up_without_input_fails(fake: FakeCloudFormation) -> None:
    """Step Functions omits a long input from the event. An operator has to find the change set."""
    event = ended()
    event["detail"] |= {"input": None, "inputDetails": {"included": False}}
    with pytest.raises(TypeError):
        task_handler.clean_up(event, None)
    assert not fake.calls


@pytest.mark.parametrize("refusal", [THROTTLED, DENIED, error("AccessDenied", "Role cleaner does not exist")])
@pytest.mark.reliability(
    "deploy_pipeline",
    "Throttling",
    fault="a leftover change set temporarily cannot be deleted",
    expected="Lambda retries the event twice, then sends it to the dead-letter queue",
    observed="the error is raised, and the change set still exists",
)
def test_clean_up_raises_error_for_lambda_retry(fake: FakeCloudFormation, refusal: ClientError) -> None:
    fake.add_stack(APP, "CREATE_COMPLETE")
    fake.create_change_set(StackName=APP, ChangeSetName=change_set_name("run-1"))
    fake.failing["delete_change_set"] = [error("InvalidChangeSetStatus")]
    with pytest.raises(Exception, match="InvalidChangeSetStatus"):
        task_handler.clean_up(ended(), None)
    fake.failing["describe_change_set"] = [refusal]
    with pytest.raises(type(refusal)):
        task_handler.clean_up(ended(), None)
    assert fake.left()


def test_clean_up_ignores_deleted_stack(fake: FakeCloudFormation) -> None:
    fake.failing["describe_change_set"] = [error("ValidationError", f"Stack [{APP}] does not exist")]
    task_handler.clean_up(ended(), None)
    assert "delete_change_set" not in fake.calls


@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="the input has a number with more digits than Python converts",
    expected="the execution fails, and the clean-up ignores it",
    observed="no error",
)
def test_clean_up_ignores_number_with_too_many_digits(fake: FakeCloudFormation) -> None:
    event = ended()
    event["detail"]["input"] = f'{{"approvalTimeoutMinutes": {"1" * 5000}}}'
    task_handler.clean_up(event, None)
    assert not fake.calls
