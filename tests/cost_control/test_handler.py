"""Entry points: what the state machines pass in, and what comes back, can be written as JSON."""

import json
import runpy
import sys
from importlib import import_module
from typing import Any
from uuid import uuid4

import boto3
import pytest

from lambdas.cost_control import options
from lambdas.cost_control.handlers import RETRIES, decide, deny, notify, receive, record, release, stop
from stacks.cost_control import definition

from .fake_aws import FakeAccount
from .month import OPTIONS, POLICY

CLIENTS = {"AUTOSCALING", "BUDGETS", "DYNAMODB", "EC2", "IAM", "RDS", "SNS", "STEP_FUNCTIONS"}


class LambdaContext:
    invoked_function_arn = "arn:aws:lambda:us-east-1:111111111111:function:Receiver"


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> FakeAccount:
    account = FakeAccount()
    for module in (decide, deny, notify, receive, record, release, stop):
        for name in CLIENTS & vars(module).keys():
            monkeypatch.setattr(module, name, account.client)
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
    assert invoke(receive.handler, Records=[{"Sns": {"Message": "anything"}}])
    plan = invoke(decide.handler)
    claimed = invoke(record.handler, period=plan["period"], actions=plan["actions"], execution="arn")["actions"]
    denied = invoke(deny.handler, actions=claimed)
    stopped = invoke(stop.handler, actions=claimed)
    assert invoke(record.handler, period=plan["period"], denied=denied, stopped=stopped) is None
    results = {"denied": denied, "stopped": stopped, "actions": claimed}
    assert invoke(notify.handler, plan=plan, failure="", releaseArn="release", **results)
    assert POLICY in account.attached["group", "projectBeta"]
    assert account.states() == {"i-1": "stopped"}
    released = invoke(release.handler, input={}, results=[], closed=0)
    assert (released["closed"], released["open"]) == (2, 0)
    assert invoke(notify.handler, released=released["results"], closed=2, open=0, failure="")
    assert account.states() == {"i-1": "running"}
    assert POLICY not in account.attached["group", "projectBeta"]


def test_deny_checks_groups_and_roles_again(account: FakeAccount) -> None:
    """The members and the settings can have changed since the plan."""
    options.FILE.write_text(json.dumps(OPTIONS | {"exempt_principals": ["user/alice", "role/deployer"]}))
    actions = [{"kind": "deny_group", "name": "projectBeta"}, {"kind": "deny_role", "name": "team/deployer"}]
    results = invoke(deny.handler, actions=actions)
    assert [result["reason"] for result in results] == ["exempt users are members: alice", "it is exempt"]
    assert POLICY not in account.attached["group", "projectBeta"]


def test_scheduled_check_starts_one_execution_for_each_event(account: FakeAccount) -> None:
    event, later = ({"detail-type": "Scheduled Event", "id": str(uuid4())} for _ in range(2))
    first, second, third = (invoke(receive.handler, **item) for item in (event, event, later))
    assert (bool(first), second) == (True, "")
    assert third not in ("", first)
    assert invoke(receive.handler, Records=[]) not in ("", first, third)
    assert len(account.executions) == 3


@pytest.mark.reliability(
    "cost_control",
    "Hostile input",
    fault="below the thresholds, somebody starts executions of `Guard` with the names of later checks",
    expected="the hourly check starts an execution nevertheless",
    observed="its name contains the ID of the event, which nobody knows in advance",
)
def test_executions_started_in_advance_do_not_prevent_scheduled_check(account: FakeAccount) -> None:
    """Step Functions rejects the name of a closed execution for 90 days."""
    known = invoke(receive.handler, Records=[])
    account.executions += [f"{known}-{day:02}-{hour:02}" for day in range(1, 32) for hour in range(24)]
    assert invoke(receive.handler, **{"detail-type": "Scheduled Event", "id": str(uuid4())})


def test_failed_function_is_in_the_notification(account: FakeAccount) -> None:
    """The state machine catches the error of `Deny`, and goes on."""
    plan = invoke(decide.handler)
    event = {"denied": [], "stopped": [], "actions": plan["actions"], "failure": "Deny: out of memory"}
    assert invoke(notify.handler, plan=plan, releaseArn="release", **event)
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
    client = boto3.client("iam", config=RETRIES, region_name="us-east-1")
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
    modules = {"release" if name == "Undo" else name.lower() for name in names}
    assert all(callable(import_module(f"lambdas.cost_control.handlers.{module}").handler) for module in modules)


@pytest.mark.parametrize(
    ("module", "services"),
    [
        ("receive", {"budgets", "dynamodb", "stepfunctions"}),
        ("decide", {"autoscaling", "budgets", "dynamodb", "ec2", "iam", "rds"}),
        ("record", {"dynamodb"}),
        ("deny", {"iam"}),
        ("stop", {"autoscaling", "ec2", "rds"}),
        ("release", {"autoscaling", "dynamodb", "ec2", "iam", "rds"}),
        ("notify", {"dynamodb", "sns"}),
    ],
)
def test_function_creates_only_the_clients_that_it_uses(
    module: str, services: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The module is executed again, in a separate namespace."""
    name = f"lambdas.cost_control.handlers.{module}"
    created: list[str] = []
    monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(boto3, "client", lambda service, **_: created.append(service))
    runpy.run_module(name)
    assert sorted(created) == sorted(services)
