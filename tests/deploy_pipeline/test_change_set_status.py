"""What the status and the changes of a change set mean for the deployment."""

import pytest

from lambdas.deploy_pipeline.change_set import creation_status, inspect
from lambdas.deploy_pipeline.inspection import Policy

from .changes import change
from .fake_cloudformation import FakeCloudFormation
from .machine_run import APP


def status_of(status: str, execution_status: str, reason: str = "") -> str:
    fake = FakeCloudFormation()
    fake.add_stack(APP, "CREATE_COMPLETE")
    fake.change_set = [{"Status": status, "ExecutionStatus": execution_status, "StatusReason": reason}]
    created = fake.create_change_set(StackName=APP, ChangeSetName="deploy")
    return creation_status(fake, created["Id"], APP)["status"]


@pytest.mark.parametrize(
    ("status", "execution_status", "expected"),
    [
        ("CREATE_PENDING", "UNAVAILABLE", "pending"),
        ("CREATE_IN_PROGRESS", "UNAVAILABLE", "pending"),
        ("CREATE_COMPLETE", "UNAVAILABLE", "pending"),  # while nested change sets are created
        ("CREATE_COMPLETE", "AVAILABLE", "ready"),
        ("CREATE_COMPLETE", "OBSOLETE", "failed"),
        ("CREATE_COMPLETE", "EXECUTE_IN_PROGRESS", "failed"),
        ("DELETE_PENDING", "UNAVAILABLE", "failed"),
        ("DELETE_FAILED", "AVAILABLE", "failed"),
        ("FAILED", "UNAVAILABLE", "failed"),
    ],
)
def test_creation_status_of_each_status(status: str, execution_status: str, expected: str) -> None:
    assert status_of(status, execution_status) == expected


@pytest.mark.parametrize(
    "reason",
    [
        "The submitted information didn't contain changes. Submit different information to create a change set.",
        "No updates are to be performed.",
    ],
)
def test_change_set_without_changes_is_empty(reason: str) -> None:
    assert status_of("FAILED", "UNAVAILABLE", reason) == "empty"


def test_inspect_describes_one_unsafe_change() -> None:
    fake = FakeCloudFormation()
    fake.add_stack(APP, "CREATE_COMPLETE")
    fake.changes = [change("Remove", "Queue")]
    created = fake.create_change_set(StackName=APP, ChangeSetName="deploy")
    result = inspect(fake, created["Id"], APP, Policy())
    (violation,) = result["violations"]
    assert (violation["logicalId"], violation["type"]) == ("Queue", "AWS::SQS::Queue")
    assert (violation["action"], violation["reason"]) == ("Remove", "it is deleted")
    assert result["cause"].startswith(f"1 unsafe change to {APP}, which was not changed:\n- Queue")
