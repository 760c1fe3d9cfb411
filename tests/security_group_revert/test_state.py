"""State between runs: when findings are reported again, and when reverting is suspended."""

import time
from typing import Any, cast

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.stub import Stubber

from lambdas.security_group_revert.respond import RetryableError
from lambdas.security_group_revert.rules import Rule
from lambdas.security_group_revert.state import REMINDER_SECONDS, Reverts, State, StateTable

from . import records
from .fake_ec2 import FakeDynamoDB, FakeEC2, FakeSNS, Fault, ec2_error
from .test_respond import HTTPS, RDP, SSH, SSH_EVENT, guarded, metrics, respond

HOUR = 3600


class Account:
    """A guarded group, the state of its earlier checks, and a caller who changes it."""

    def __init__(self, *rules: Rule, faults: list[Fault | None] | None = None, **options: Any) -> None:
        self.ec2, self.sns, self.dynamodb = FakeEC2([HTTPS, *rules], faults), FakeSNS(), FakeDynamoDB()
        self.options = options

    def sweep(self) -> list[str]:
        """Check the group; return the subjects of the notifications."""
        return self.react(records.SWEEP)

    def react(self, event: dict[str, Any]) -> list[str]:
        sns = FakeSNS()
        respond(self.ec2, event, guarded(), sns=sns, dynamodb=self.dynamodb, **self.options)
        self.sns.notifications += sns.notifications
        return [notification["Subject"].partition(":")[0] for notification in sns.notifications]

    def add_and_sweep(self, rule: Rule) -> list[str]:
        self.ec2.add(rule)
        return self.sweep()


def refuse_revokes(_ec2: FakeEC2, operation: str, _parameters: dict[str, Any]) -> None:
    if operation.startswith("Revoke"):
        raise ec2_error("UnauthorizedOperation")


@pytest.mark.reliability(
    "security_group_revert",
    "System-specific",
    fault="a change cannot be reverted for days",
    expected="reported immediately, when it changes, daily, and when it is resolved",
    observed="2 notifications in 289 sweeps",
)
def test_open_finding_is_reported_once_and_then_daily() -> None:
    account = Account(SSH, faults=[refuse_revokes] * 9999)
    assert account.sweep() == ["NOT REVERTED"]
    for _ in range(287):
        assert account.sweep() == []
    account.dynamodb.pass_time(REMINDER_SECONDS)
    assert account.sweep() == ["NOT REVERTED"]
    assert account.sweep() == []


def test_second_open_finding_is_reported_immediately() -> None:
    account = Account(SSH, faults=[refuse_revokes] * 9999)
    account.sweep()
    assert account.add_and_sweep(RDP) == ["NOT REVERTED"]


@pytest.mark.reliability("security_group_revert", "System-specific", fault="a change cannot be reverted for days")
def test_resolved_finding_is_reported_once() -> None:
    account = Account(SSH, change_rules=False)
    assert account.sweep() == ["Unapproved"]
    account.ec2.rules.popitem()
    assert account.sweep() == ["Resolved"]
    assert account.sweep() == []
    assert account.add_and_sweep(SSH) == ["Unapproved"], "it is new again"


@pytest.mark.reliability(
    "security_group_revert",
    "System-specific",
    fault="a controller adds its rule again after each revert",
    expected="left in place after `max_reverts`, with an alarm, until the window ends; other changes are reverted",
    observed='"REVERTING SUSPENDED", then "Resolved"',
)
def test_recurring_rule_is_suspended_after_max_reverts(capsys: pytest.CaptureFixture[str]) -> None:
    account = Account(max_reverts=3)
    subjects = [account.add_and_sweep(SSH) for _ in range(4)]
    assert subjects == [["Reverted"]] * 3 + [["REVERTING SUSPENDED"]]
    assert account.ec2.current() == {HTTPS, SSH}
    assert account.ec2.changes == ["RevokeSecurityGroupIngress"] * 3
    assert [(record["NotReverted"], record["RevertsSuspended"]) for record in metrics(capsys)] == [(0, 0)] * 3 + [
        (1, 1)
    ]
    assert "SUSPENDED, did not revoke: inbound TCP 22" in account.sns.notifications[-1]["Message"]
    assert account.sweep() == [], "the suspension is reported once"


@pytest.mark.reliability(
    "security_group_revert",
    "System-specific",
    fault="a controller adds its rule again after each revert",
)
def test_other_rules_are_reverted_during_suspension() -> None:
    account = Account(max_reverts=1)
    account.add_and_sweep(SSH)
    account.add_and_sweep(SSH)
    account.add_and_sweep(RDP)
    assert account.ec2.current() == {HTTPS, SSH}


@pytest.mark.reliability(
    "security_group_revert",
    "System-specific",
    fault="a controller adds its rule again after each revert",
)
def test_suspension_ends_after_revert_window(capsys: pytest.CaptureFixture[str]) -> None:
    account = Account(max_reverts=1)
    account.add_and_sweep(SSH)
    account.dynamodb.pass_time(HOUR)
    account.add_and_sweep(SSH)
    assert SSH in account.ec2.current()
    account.dynamodb.pass_time(23 * HOUR)
    assert account.sweep() == ["Reverted"]
    assert account.ec2.current() == {HTTPS}
    assert "are resolved" in account.sns.notifications[-1]["Message"]
    assert metrics(capsys)[-1]["RevertsSuspended"] == 0, "the alarm clears"


def test_suspension_ends_when_its_count_is_deleted() -> None:
    account = Account(max_reverts=1)
    account.add_and_sweep(SSH)
    account.add_and_sweep(SSH)
    del account.dynamodb.items[records.GROUP, f"unapproved: {SSH}"]
    account.sweep()
    assert account.ec2.current() == {HTTPS}


def test_removed_suspended_rule_clears_the_alarm(capsys: pytest.CaptureFixture[str]) -> None:
    account = Account(max_reverts=1)
    account.add_and_sweep(SSH)
    account.add_and_sweep(SSH)
    account.ec2.rules.popitem()
    assert account.sweep() == ["Resolved"]
    assert metrics(capsys)[-1]["RevertsSuspended"] == 0


def test_deleted_and_modified_rules_are_suspended() -> None:
    account = Account(max_reverts=1)
    edited = Rule(False, "tcp", 22, 22, "CidrIpv4", "0.0.0.0/0")
    for expected in ("Reverted", "REVERTING SUSPENDED"):
        account.ec2.rules.clear()
        assert account.sweep() == [expected]
    account = Account(max_reverts=1)
    for expected in ("Reverted", "REVERTING SUSPENDED"):
        account.ec2.rules.clear()
        assert account.add_and_sweep(edited) == [expected]


def test_failing_reverts_are_not_counted() -> None:
    account = Account(SSH, faults=[refuse_revokes] * 12, max_reverts=1)
    for _ in range(3):
        account.sweep()
    account.ec2.faults.clear()
    account.sweep()
    assert account.ec2.current() == {HTTPS}


@pytest.mark.reliability(
    "security_group_revert",
    "System-specific",
    fault="overlapping runs count reverts",
    expected="each is counted",
    observed="3 of 3",
)
def test_overlapping_runs_each_count() -> None:
    dynamodb = FakeDynamoDB()
    table = StateTable(cast(Any, dynamodb), "state", HOUR)
    table.count("sg-1", table.read("sg-1"), ["a: b"], by_sweep=False)
    state = table.read("sg-1")  # of both runs
    table.count("sg-1", state, ["a: b"], by_sweep=False)
    table.count("sg-1", state, ["a: b"], by_sweep=False)
    assert table.read("sg-1").reverts["a: b"].count == 3
    assert table.read("sg-2").reverts == {}


def test_count_of_expired_item_starts_again() -> None:
    """DynamoDB can delete the item between the read and the write: ADD then creates one without expiry."""
    dynamodb = FakeDynamoDB()
    table = StateTable(cast(Any, dynamodb), "state", HOUR)
    table.count("sg-1", table.read("sg-1"), ["a: b"], by_sweep=False)
    state = table.read("sg-1")
    dynamodb.items.clear()
    table.count("sg-1", state, ["a: b"], by_sweep=False)
    assert table.read("sg-1").reverts == {}


@pytest.mark.reliability(
    "security_group_revert",
    "Access denied",
    fault="no access to the state table",
    expected="reverted and reported, then an error",
    observed="the rule is gone",
)
def test_unavailable_state_does_not_prevent_reverts() -> None:
    account = Account(SSH)
    account.dynamodb.error = ec2_error("AccessDeniedException")
    with pytest.raises(RetryableError, match="AccessDeniedException"):
        account.sweep()
    assert account.ec2.current() == {HTTPS}


def test_check_of_approved_group_makes_two_calls() -> None:
    account = Account()
    account.sweep()
    assert (account.ec2.calls, account.dynamodb.calls) == (["DescribeSecurityGroupRules"], ["Query"])


@pytest.mark.reliability(
    "security_group_revert",
    "Delayed or out of order",
    fault="the change of an event is not visible in EC2 yet",
    expected="read again twice; not reported as reverted",
    observed='reverted by the same run, or "No longer present"',
)
def test_change_visible_after_a_pause_is_reverted(pauses: list[float]) -> None:
    """EC2 is eventually consistent: the first read does not return the rule of the event."""
    account = Account()

    def becomes_visible(ec2: FakeEC2, _operation: str, _parameters: dict[str, Any]) -> None:
        ec2.add(SSH)

    account.ec2.faults = [None, becomes_visible]
    assert account.react(SSH_EVENT) == ["Reverted"]
    assert account.ec2.current() == {HTTPS}
    assert pauses == [2]


def test_removal_visible_after_a_pause_is_reverted() -> None:
    account = Account()
    item = records.response_rule("sgr-1", cidrIpv4="0.0.0.0/0") | {"fromPort": 443, "toPort": 443}
    response = {"revokedSecurityGroupRuleSet": {"items": [item]}}
    event = records.event(records.record("RevokeSecurityGroupIngress", {"groupId": records.GROUP}, response))
    account.ec2.faults = [None, lambda ec2, _operation, _parameters: ec2.rules.clear()]
    assert account.react(event) == ["Reverted"]
    assert account.ec2.current() == {HTTPS}


@pytest.mark.reliability(
    "security_group_revert",
    "Delayed or out of order",
    fault="the change of an event is not visible in EC2 yet",
)
def test_invisible_change_is_not_reported_as_reverted(pauses: list[float]) -> None:
    account = Account()
    assert account.react(SSH_EVENT) == ["No longer present"]
    assert "Already reverted" not in account.sns.notifications[0]["Subject"]
    assert pauses == [2, 4], "bounded"


@pytest.mark.reliability(
    "security_group_revert",
    "Delayed or out of order",
    fault="the change of an event is not visible in EC2 yet",
)
def test_already_reverted_change_causes_no_pause(pauses: list[float]) -> None:
    account = Account(SSH)
    account.sweep()
    assert account.react(SSH_EVENT) == ["Already reverted"]
    assert not pauses


def test_revert_before_the_call_does_not_explain_it() -> None:
    account = Account(SSH)
    account.sweep()
    later = SSH_EVENT["detail"] | {"eventTime": "2999-01-01T00:00:00Z"}
    assert account.react(records.event(later)) == ["No longer present"]


@pytest.mark.reliability("security_group_revert", "Access denied", fault="no access to the state table")
def test_unreachable_dynamodb_is_an_error_after_the_revert() -> None:
    account = Account(SSH)
    account.dynamodb.error = EndpointConnectionError(endpoint_url="https://dynamodb.us-east-1.amazonaws.com")
    with pytest.raises(RetryableError, match="cannot read the state"):
        account.sweep()
    assert account.ec2.current() == {HTTPS}


@pytest.mark.parametrize(("seconds", "reverted"), [(-1, True), (0, True), (1, False)])
def test_revert_in_the_second_of_the_call_explains_it(seconds: int, reverted: bool) -> None:
    """CloudTrail's times have whole seconds, so a revert can have the time of its call."""
    state = State({"unapproved: rule": Reverts(1, 1_700_000_000)})
    assert state.reverted_since("unapproved: rule", 1_700_000_000 + seconds) == reverted


@pytest.mark.parametrize(("hours", "due"), [(0, False), (23, False), (24, True)])
def test_reminder_is_due_after_a_day(hours: int, due: bool) -> None:
    state = State(reported_digest="a", reported_at=int(time.time()) - hours * HOUR)
    assert state.should_report("a") == due


def test_read_ends_at_the_maximum_of_items(monkeypatch: pytest.MonkeyPatch) -> None:
    """With botocore's paginator. The other items sort before those of unapproved rules, so they are read first."""
    monkeypatch.setattr("lambdas.security_group_revert.state.MAX_ITEMS", 2)
    client = boto3.Session("key", "secret", region_name="us-east-1").client("dynamodb")
    far = {"N": str(int(time.time()) + HOUR)}
    report = {"finding": {"S": "report"}, "digest": {"S": "d"}, "last": {"N": "1"}, "expires_at": far}
    counts = [
        {"finding": {"S": f"unapproved: {name}"}, "reverts": {"N": "1"}, "last": {"N": "1"}, "expires_at": far}
        for name in "ab"
    ]
    with Stubber(client) as stub:
        page = {"Items": [report, counts[0]], "LastEvaluatedKey": {"finding": {"S": "unapproved: a"}}}
        stub.add_response("query", page)
        state = StateTable(client, "state", HOUR).read("sg-1")
    assert (state.reported_digest, list(state.reverts)) == ("d", ["unapproved: a"])


def test_report_is_stored_for_a_week() -> None:
    """Longer than the time between reminders, so that an open finding stays known."""
    dynamodb = FakeDynamoDB()
    StateTable(cast(Any, dynamodb), "state", HOUR).set_reported("sg-1", "a")
    (item,) = dynamodb.items.values()
    assert int(item["expires_at"]["N"]) - int(item["last"]["N"]) == 7 * 24 * HOUR


@pytest.mark.parametrize(
    "attributes", [{"reverts": {"N": "1.5"}, "last": {"N": "1"}}, {"last": {"N": "1"}}, {"reverts": {"S": "x"}}]
)
def test_unreadable_item_does_not_prevent_revert(attributes: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    account = Account(SSH)
    key = {"group_id": {"S": records.GROUP}, "finding": {"S": "x: y"}}
    account.dynamodb.items[records.GROUP, "x: y"] = key | {"expires_at": {"N": "99999999999"}} | attributes
    account.sweep()
    assert account.ec2.current() == {HTTPS}
    assert "unreadable state" in caplog.text
