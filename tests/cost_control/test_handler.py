"""Entry points: what the state machines pass in, and what comes back, can be written as JSON."""

import json
from typing import Any

import boto3
import pytest

from lambdas.cost_control import handler, options
from stacks.cost_control import definition

from .fake_aws import FakeAccount
from .month import OPTIONS, POLICY


class LambdaContext:
    invoked_function_arn = "arn:aws:lambda:us-east-1:111111111111:function:Receiver"


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> FakeAccount:
    account = FakeAccount()
    for name in ("AUTOSCALING", "BUDGETS", "DYNAMODB", "EC2", "IAM", "RDS", "SNS", "STEP_FUNCTIONS"):
        monkeypatch.setattr(handler, name, account.client)
    file = tmp_path / "options.json"
    file.write_text(json.dumps(OPTIONS))
    monkeypatch.setattr(options, "FILE", file)
    environment = {
        "BUDGET_NAME": "budget",
        "DENY_POLICY_ARN": POLICY,
        "GUARD_ARN": "guard",
        "RECORD_TABLE": "record",
        "STACK_NAME": "CostControl",
        "TOPIC_ARN": "topic",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    account.add_group("projectBeta", "alice")
    account.add_instance("i-1", Project="Beta")
    account.set_cost(101)
    return account


def invoke(function: Any, **event: Any) -> Any:
    """Invoke a handler as Lambda does: event and result are JSON."""
    return json.loads(json.dumps(function(json.loads(json.dumps(event)), LambdaContext())))


def test_handlers_in_the_order_of_the_state_machines(account: FakeAccount) -> None:
    assert invoke(handler.receive, Records=[{"Sns": {"Message": "anything"}}])
    plan = invoke(handler.decide)
    claimed = invoke(handler.record, period=plan["period"], actions=plan["actions"], execution="arn")["actions"]
    denied = invoke(handler.deny, actions=claimed)
    stopped = invoke(handler.stop, actions=claimed)
    assert invoke(handler.record, period=plan["period"], denied=denied, stopped=stopped) is None
    results = {"denied": denied, "stopped": stopped, "actions": claimed}
    assert invoke(handler.notify, plan=plan, failure="", releaseArn="release", **results)
    assert POLICY in account.attached["group", "projectBeta"]
    assert account.states() == {"i-1": "stopped"}
    released = invoke(handler.release, input={}, results=[], closed=0)
    assert (released["closed"], released["open"]) == (2, 0)
    assert invoke(handler.notify, released=released["results"], closed=2, open=0, failure="")
    assert account.states() == {"i-1": "running"}
    assert POLICY not in account.attached["group", "projectBeta"]


def test_deny_checks_groups_and_roles_again(account: FakeAccount) -> None:
    """The members and the settings can have changed since the plan."""
    options.FILE.write_text(json.dumps(OPTIONS | {"exempt_principals": ["user/alice", "role/deployer"]}))
    actions = [{"kind": "deny_group", "name": "projectBeta"}, {"kind": "deny_role", "name": "team/deployer"}]
    results = invoke(handler.deny, actions=actions)
    assert [result["reason"] for result in results] == ["exempt users are members: alice", "it is exempt"]
    assert POLICY not in account.attached["group", "projectBeta"]


def test_scheduled_check_starts_one_execution_an_hour(account: FakeAccount) -> None:
    event = {"detail-type": "Scheduled Event"}
    first, second = invoke(handler.receive, **event), invoke(handler.receive, **event)
    assert (bool(first), second) == (True, "")
    assert invoke(handler.receive, Records=[]) not in ("", first)
    assert len(account.executions) == 2


def test_failed_function_is_in_the_notification(account: FakeAccount) -> None:
    """The state machine catches the error of `Deny`, and goes on."""
    plan = invoke(handler.decide)
    event = {"denied": [], "stopped": [], "actions": plan["actions"], "failure": "Deny: out of memory"}
    assert invoke(handler.notify, plan=plan, releaseArn="release", **event)
    assert "The execution failed, and the next check tries again: Deny: out of memory" in account.messages[0]["Message"]


@pytest.mark.reliability(
    "cost_control",
    "Throttling",
    fault="IAM or EC2 throttles a call",
    expected="retried by the client up to seven times, with growing pauses",
    observed="the second attempt attaches the policy",
)
def test_throttled_call_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The retries are botocore's own, with a stub in place of its HTTP session."""
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    client = boto3.client("iam", config=handler.RETRIES, region_name="us-east-1")
    responses = [(400, _throttled()), (200, _attached())]
    monkeypatch.setattr(client._endpoint.http_session, "send", lambda _request: _Response(*responses.pop(0)))
    client.attach_group_policy(GroupName="projectBeta", PolicyArn=POLICY)
    assert not responses
    assert len(pauses) == 1


class _Response:
    """The part of botocore's AWSResponse that its parser reads."""

    def __init__(self, status: int, text: str) -> None:
        self.status_code, self.content = status, text.encode()
        self.headers: dict[str, str] = {}
        self.raw, self.text = None, text


def _throttled() -> str:
    return (
        '<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type>'
        "<Code>Throttling</Code><Message>Rate exceeded</Message></Error><RequestId>1</RequestId></ErrorResponse>"
    )


def _attached() -> str:
    return (
        '<AttachGroupPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><ResponseMetadata>'
        "<RequestId>2</RequestId></ResponseMetadata></AttachGroupPolicyResponse>"
    )


def test_every_function_of_the_definitions_has_a_handler() -> None:
    names = {
        state["Arguments"]["FunctionName"].strip("${}")
        for machine in (definition.guard(), definition.release())
        for state in machine["States"].values()
        if state["Type"] == "Task"
    }
    handlers = {"Undo": "release"} | {name: name.lower() for name in names if name != "Undo"}
    assert all(callable(getattr(handler, name)) for name in handlers.values())
