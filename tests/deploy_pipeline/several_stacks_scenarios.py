"""Scenarios of several stacks with ``"onUnsafe": "ask"``: approval is requested before the first stack is changed."""

from typing import Any

import pytest

from .approval_scenarios import APPROVE, DECLINE, TIME
from .assembly_scenarios import SHOP, inspect_shop
from .changes import change, update
from .machine_run import APP, SENDER, Ended, Machine
from .scenarios import failed, scenario, succeeded

QUEUE, TOPIC = (
    change("Remove", "Queue", PhysicalResourceId="queue-1"),
    change("Remove", "Topic", PhysicalResourceId="topic-1"),
)
APPROVED = f"Approved by {SENDER} at {TIME}: The queue is empty"


def inspect(machine: Machine, *messages: dict[str, str], changes: tuple[Any, ...] = (QUEUE, TOPIC)) -> Ended:
    """Inspect the stack with unsafe changes, and send messages to the queue of decisions."""
    machine.people.messages = list(messages)
    return inspect_shop(machine, *changes, onUnsafe="ask")


def deploy(machine: Machine, inspection: Ended, *changes: Any, **fields: Any) -> Ended:
    """Deploy the inspected stack; nobody decides again."""
    machine.people.messages = []
    machine.cloudformation.changes = list(changes)
    return machine.run(**{"inspectOnly": False, "inspection": inspection.name, "onUnsafe": "ask", **fields})


def requests(machine: Machine) -> list[str]:
    return [n["Message"] for n in machine.people.notifications if n["Subject"].startswith("Approval required")]


@scenario
def approved_inspection_changes_nothing(machine: Machine) -> Ended:
    ended = succeeded(inspect(machine, APPROVE), "inspected", SHOP)
    assert ended.output["summary"].startswith(f"{SHOP} is inspected. {APPROVED}. 2 unsafe changes to {SHOP}")
    (request,) = requests(machine)
    assert "To accept exactly these unsafe changes when all stacks have been inspected, replace ..." in request
    return ended


@scenario
def approved_changes_are_deployed_without_another_request(machine: Machine) -> Ended:
    ended = succeeded(
        deploy(machine, inspect(machine, APPROVE), TOPIC, QUEUE, change(logical_id="Safe")), "updated", SHOP
    )
    assert ended.output["summary"].startswith(f"{SHOP} is updated. {APPROVED}. All changes: ")
    assert ended.output["approval"]["sender"] == SENDER
    assert len(requests(machine)) == 1
    return ended


@scenario
@pytest.mark.reliability(
    "deploy_pipeline",
    "Partial failure",
    fault="the approved update of one of several stacks is rolled back, and the stage is retried",
    expected="the approval still counts for the same unsafe changes",
    observed="updated without another request",
)
def retried_deployment_uses_same_approval(machine: Machine) -> Ended:
    inspection = inspect(machine, APPROVE)
    machine.cloudformation.statuses["update"] = ["UPDATE_ROLLBACK_COMPLETE"]
    failed(deploy(machine, inspection, QUEUE, TOPIC), "StackFailed", APPROVED)
    machine.cloudformation.statuses["update"] = ["UPDATE_COMPLETE"]
    ended = succeeded(deploy(machine, inspection, QUEUE, TOPIC), "updated", SHOP)
    assert len(requests(machine)) == 1
    return ended


@scenario
@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="someone starts an execution with the input and the inspection of changes that were approved and made before",
    expected="approval is requested again",
    observed="for the next execution, and after an update that was rolled back in between",
)
def approval_counts_for_one_update(machine: Machine) -> Ended:
    inspection = inspect(machine, APPROVE)
    succeeded(deploy(machine, inspection, QUEUE, TOPIC), "updated", SHOP)
    ended = failed(deploy(machine, inspection, QUEUE, TOPIC), "ApprovalTimedOut")
    machine.cloudformation.statuses["update"] = ["UPDATE_ROLLBACK_COMPLETE"]
    failed(deploy(machine, inspection, change(logical_id="Safe")), "StackFailed")
    failed(deploy(machine, inspection, QUEUE, TOPIC), "ApprovalTimedOut")
    assert len(requests(machine)) == 3
    return ended


@scenario
@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="someone stops an inspection or a deployment after approval, and redrives it after the changes were made",
    expected="approval is requested again",
    observed="a redriven execution neither gives nor uses an approval of several stacks",
)
def redriven_execution_neither_gives_nor_uses_approval(machine: Machine) -> Ended:
    inspection = inspect(machine, APPROVE)
    machine.redrives = 1
    failed(deploy(machine, inspection, QUEUE, TOPIC), "ApprovalTimedOut")
    inspection = inspect(machine, APPROVE)
    machine.redrives = 0
    ended = failed(deploy(machine, inspection, QUEUE, TOPIC), "ApprovalTimedOut")
    assert len(requests(machine)) == 4
    return ended


@scenario
def declined_inspection_fails(machine: Machine) -> Ended:
    return failed(inspect(machine, DECLINE), "ChangesDeclined", f"Declined by {SENDER}", f"2 unsafe changes to {SHOP}")


@scenario
def expired_inspection_fails(machine: Machine) -> Ended:
    return failed(inspect(machine), "ApprovalTimedOut", "2 unsafe changes")


@scenario
@pytest.mark.reliability(
    "deploy_pipeline",
    "Delayed or out of order",
    fault="one of several stacks is deployed with other unsafe changes than were approved",
    expected="approval is requested again",
    observed="for a change of another resource, an additional change, and another reason",
)
def other_changes_than_approved_are_requested_again(machine: Machine) -> Ended:
    inspection = inspect(machine, APPROVE)
    others = (
        (QUEUE, change("Remove", "Topic", PhysicalResourceId="topic-2")),
        (QUEUE, TOPIC, change("Remove", "Table")),
        (QUEUE, change("Remove", "Topic", PhysicalResourceId="topic-1", PolicyAction="Retain")),
        (QUEUE,),
    )
    for number, changes in enumerate(others, start=2):
        ended = failed(deploy(machine, inspection, *changes), "ApprovalTimedOut")
        assert len(requests(machine)) == number
    return ended


@scenario
@pytest.mark.reliability(
    "deploy_pipeline",
    "Delayed or out of order",
    fault="an earlier one of several stacks changes a value, such as an export, that an approved change uses",
    expected="approval is requested again",
    observed="for objects that expire after another number of days, although the reason is the same",
)
def other_values_than_approved_are_requested_again(machine: Machine) -> Ended:
    def expiring_after(days: int) -> Any:
        rules = [{"Status": "Enabled", "ExpirationInDays": days}]
        return update("AWS::S3::Bucket", {}, {"LifecycleConfiguration": {"Rules": rules}}, "Orders")

    inspection = inspect(machine, APPROVE, changes=(expiring_after(3650),))
    ended = failed(deploy(machine, inspection, expiring_after(1)), "ApprovalTimedOut")
    assert len(requests(machine)) == 2
    succeeded(deploy(machine, inspection, expiring_after(3650)), "updated", SHOP)
    assert len(requests(machine)) == 2
    return ended


@scenario
@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="the input names an inspection that did not approve these changes",
    expected="approval is requested",
    observed="for a missing execution, another input, and executions that were declined or did not inspect",
)
def forged_inspection_approves_nothing(machine: Machine) -> Ended:
    approved = inspect(machine, APPROVE)
    missing = Ended("", "another-execution", {}, "", "", [])
    declined = inspect(machine, DECLINE)
    deployed = deploy(machine, approved, QUEUE, TOPIC)
    machine.cloudformation.executed.clear()
    for inspection, fields in (
        (missing, {}),
        (declined, {}),
        (deployed, {}),
        (approved, {"parameters": {"Size": "3"}}),
        (approved, {"revisionS3Key": "App/2.zip"}),
    ):
        machine.s3.objects["artifacts/App/2.zip"] = machine.s3.objects["artifacts/App/1.zip"]
        before = len(requests(machine))
        ended = failed(deploy(machine, inspection, QUEUE, TOPIC, **fields), "ApprovalTimedOut")
        assert len(requests(machine)) == before + 1
    assert not machine.cloudformation.executed
    return ended


@scenario
def approval_is_not_used_with_another_policy(machine: Machine) -> Ended:
    """For example, if the input in the bucket is edited while the pipeline runs."""
    inspection = inspect(machine, APPROVE)
    return failed(deploy(machine, inspection, QUEUE, TOPIC, onUnsafe="fail"), "UnsafeChanges", f"to {APP}-Shop")
