"""Scenarios with ``"onUnsafe": "ask"``: somebody decides whether the inspected change set is executed."""

import json
from functools import partial

import pytest

from .changes import change
from .fake_cloudformation import DENIED, error
from .machine_run import APP, SENDER, Ended, Machine
from .scenarios import MANY, failed, scenario, succeeded, with_app

APPROVE = {"decision": "approve", "reason": "The queue is empty"}
DECLINE = {"decision": "decline", "reason": "Too late today"}
TIME = "2026-11-21 11:00:00 UTC"


def ask(machine: Machine, *messages: dict[str, str] | str) -> Ended:
    """Run an execution with an unsafe change, and send messages to the queue of decisions."""
    machine.people.messages = list(messages)
    return machine.run(onUnsafe="ask")


@scenario
def approved_change_set_is_executed(machine: Machine) -> Ended:
    fake = with_app(machine, change("Remove", "Topic", "AWS::SNS::Topic"))
    ended = succeeded(ask(machine, APPROVE), "updated")
    assert fake.executed == [fake.changes]
    summary = f"{APP} is updated. Approved by {SENDER} at {TIME}: The queue is empty"
    assert ended.output["summary"].startswith(summary), ended
    assert ended.output["approval"]["sender"] == SENDER
    assert ended.output["unsafe"]["count"] == 1
    assert "create_change_set" in fake.calls
    assert fake.calls.count("create_change_set") == 1, "another change set than the inspected one"
    return ended


@scenario
def declined_change_set_is_deleted(machine: Machine) -> Ended:
    fake = with_app(machine, change("Remove", "Topic", "AWS::SNS::Topic"))
    ended = ask(machine, DECLINE)
    assert not fake.executed
    return failed(ended, "ChangesDeclined", f"Declined by {SENDER} at {TIME}: Too late today\n1 unsafe change to {APP}")


@scenario
@pytest.mark.reliability(
    "deploy_pipeline",
    "Timeout",
    fault="no decision about unsafe changes before the deadline",
    expected="the change set is deleted, and the deployment fails",
    observed="`ApprovalTimedOut`, no change set left",
)
def expired_approval_deletes_change_set(machine: Machine) -> Ended:
    fake = with_app(machine, change("Remove"))
    ended = ask(machine)
    assert not fake.executed
    assert len(machine.people.notifications) == 1, "people are asked again after the deadline"
    return failed(ended, "ApprovalTimedOut", "Nobody approved or declined the changes within 480 minutes", "1 unsafe")


@scenario
@pytest.mark.reliability(
    "deploy_pipeline",
    "Delayed or out of order",
    fault="the stack is updated or deleted after approval was requested",
    expected="fails with AWS's reason and the approver",
    observed="`[OBSOLETE]`; not executed; no change set left",
)
def approval_after_stack_has_moved_fails(machine: Machine) -> Ended:
    for client_error in (
        error("InvalidChangeSetStatus", "ChangeSet cannot be executed in its current status of [OBSOLETE]"),
        error("ChangeSetNotFound", "ChangeSet does not exist"),
    ):
        fake = with_app(machine, change("Remove"))
        fake.failing["execute_change_set"] = [client_error] * MANY
        ended = ask(machine, APPROVE)
        assert ended.status == "FAILED", ended
        assert f"Approved by {SENDER}" in ended.cause
        assert f"Execute Change Set: {client_error.response['Error']['Message']}" in ended.cause
        assert not fake.executed
        assert not fake.left()
    return ended


@scenario
@pytest.mark.reliability(
    "deploy_pipeline",
    "Duplicate",
    fault="two decisions about a change set, or one delivered twice",
    expected="the first one counts; the second one is reported",
    observed="executed once; a notification names the second sender",
)
def second_decision_has_no_effect(machine: Machine) -> Ended:
    fake = with_app(machine, change("Remove"))
    ended = succeeded(ask(machine, APPROVE, DECLINE), "updated")
    assert len(fake.executed) == 1
    report = machine.people.notifications[-1]
    assert report["Subject"] == "Decision without effect"
    assert report["Message"].startswith(f"The message that {SENDER} sent at {TIME} has no effect: the execution ")
    assert "no longer waits" in report["Message"]
    return ended


@scenario
@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="an invalid decision, or one for another execution",
    expected="reported; the execution keeps waiting",
    observed="a notification for each; the next valid decision counts",
)
def invalid_decision_is_reported(machine: Machine) -> Ended:
    with_app(machine, change("Remove"))
    forged = APPROVE | {"reason": "yes\nApproved by the owner"}
    unknown = APPROVE | {"execution": "another"}
    no_reason = APPROVE | {"reason": "..."}
    ended = ask(machine, "no JSON", APPROVE | {"decision": "yes"}, no_reason, forged, unknown, DECLINE)
    reports = [report["Message"] for report in machine.people.notifications[1:]]
    for report, text in zip(
        reports,
        (
            "the body is not a JSON object",
            'decision: given "yes"; accepted: approve or decline',
            'reason: given "..."; accepted: 1 to 500 characters on one line',
            "reason: given",
            "no execution another has requested a decision",
        ),
        strict=True,
    ):
        assert text in report
    return failed(ended, "ChangesDeclined")


@scenario
@pytest.mark.reliability(
    "deploy_pipeline",
    "Access denied",
    fault="the request for approval fails",
    expected="fails immediately, and the change set is deleted",
    observed="AWS's reason, no change set left",
)
def failed_notification_deletes_change_set(machine: Machine) -> Ended:
    with_app(machine, change("Remove"))
    machine.people.before = [partial(_raise, DENIED)]
    ended = ask(machine, APPROVE)
    assert not machine.cloudformation.executed
    return failed(ended, "ClientError", "Request Approval: ", "not authorized")


@scenario
def safe_changes_need_no_approval(machine: Machine) -> Ended:
    with_app(machine)
    ended = succeeded(ask(machine), "updated")
    assert not machine.people.notifications
    return ended


@scenario
def notification_contains_what_is_needed_to_decide(machine: Machine) -> Ended:
    with_app(machine, change("Remove", "Topic", "AWS::SNS::Topic"))
    ended = ask(machine, DECLINE)
    (notification,) = machine.people.notifications
    text = notification["Message"]
    for expected in (
        f"The deployment of {APP} waits for approval until ",
        "- Topic (AWS::SNS::Topic), Remove: it is deleted",
        "https://us-east-1.console.aws.amazon.com/cloudformation/home?region=us-east-1#/stacks/changesets/changes"
        "?stackId=arn%3Aaws%3Acloudformation",
        "aws sqs send-message --region us-east-1 --queue-url https://sqs.us-east-1.amazonaws.com/111111111111/decisions",
        '"decision": "approve"',
        '"decision": "decline"',
    ):
        assert expected in text, text
    (token,) = (json.loads(o)["taskToken"] for key, o in machine.s3.objects.items() if "/approvals/" in key)
    assert token not in text, "the token allows a decision without the sender's name"
    return ended


def _raise(client_error: Exception) -> None:
    raise client_error
