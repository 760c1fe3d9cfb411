"""Facts about what is remembered between runs: when something is reported again, and when reverting is suspended."""

from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from lambdas.security_group_revert.respond import UnfinishedError
from lambdas.security_group_revert.rules import Rule
from lambdas.security_group_revert.state import REMINDER_SECONDS, StateTable

from . import records
from .fake_ec2 import FakeDynamoDB, FakeEC2, FakeSNS, Fault, refuse
from .test_respond import HTTPS, RDP, SSH, SSH_EVENT, guarded, logged, respond

HOUR = 3600


class Account:
    """A guarded group with the state of its earlier checks, and somebody who changes it."""

    def __init__(self, *rules: Rule, faults: list[Fault | None] | None = None, **choices: Any) -> None:
        self.ec2, self.sns, self.dynamodb = FakeEC2([HTTPS, *rules], faults), FakeSNS(), FakeDynamoDB()
        self.choices = choices

    def sweep(self) -> list[str]:
        """Check the group; return the subjects of the notifications."""
        return self.react(records.SWEEP)

    def react(self, event: dict[str, Any]) -> list[str]:
        sns = FakeSNS()
        respond(self.ec2, event, guarded(), sns=sns, dynamodb=self.dynamodb, **self.choices)
        self.sns.notices += sns.notices
        return [notice["Subject"].partition(":")[0] for notice in sns.notices]

    def add_and_sweep(self, rule: Rule) -> list[str]:
        self.ec2.add(rule)
        return self.sweep()


def refuse_revokes(_ec2: FakeEC2, operation: str, _parameters: dict[str, Any]) -> None:
    if operation.startswith("Revoke"):
        raise refuse("UnauthorizedOperation")


@pytest.mark.reliability(
    "security_group_revert",
    "Only here",
    fault="something cannot be reverted for days",
    expected="reported at once, when it changes, daily, and at its end",
    observed="2 notifications in 289 sweeps",
)
def test_rule_that_cannot_be_reverted_is_reported_once_and_then_daily() -> None:
    account = Account(SSH, faults=[refuse_revokes] * 9999)
    assert account.sweep() == ["NOT REVERTED"]
    for _ in range(287):
        assert account.sweep() == []
    account.dynamodb.pass_time(REMINDER_SECONDS)
    assert account.sweep() == ["NOT REVERTED"]
    assert account.sweep() == []


def test_another_rule_that_cannot_be_reverted_is_reported_at_once() -> None:
    account = Account(SSH, faults=[refuse_revokes] * 9999)
    account.sweep()
    assert account.add_and_sweep(RDP) == ["NOT REVERTED"]


@pytest.mark.reliability("security_group_revert", "Only here", fault="something cannot be reverted for days")
def test_end_of_what_was_reported_is_reported() -> None:
    account = Account(SSH, change_rules=False)
    assert account.sweep() == ["Unapproved"]
    account.ec2.rules.popitem()
    assert account.sweep() == ["Resolved"]
    assert account.sweep() == []
    assert account.add_and_sweep(SSH) == ["Unapproved"], "it is new again"


@pytest.mark.reliability(
    "security_group_revert",
    "Only here",
    fault="a controller adds its rule again after each revert",
    expected="left after `max_reverts`, with an alarm; others are still reverted; resumed after the window",
    observed='"REVERTING SUSPENDED", then "Resolved"',
)
def test_rule_that_comes_back_is_reverted_up_to_the_limit_and_then_left(capsys: pytest.CaptureFixture[str]) -> None:
    account = Account(max_reverts=3)
    subjects = [account.add_and_sweep(SSH) for _ in range(4)]
    assert subjects == [["Reverted"]] * 3 + [["REVERTING SUSPENDED"]]
    assert account.ec2.current() == {HTTPS, SSH}
    assert account.ec2.changes == ["RevokeSecurityGroupIngress"] * 3
    checks = [line for line in logged(capsys) if "NotReverted" in line]
    assert [(check["NotReverted"], check["RevertsSuspended"]) for check in checks] == [(0, 0)] * 3 + [(1, 1)]
    assert "SUSPENDED, not tried to revoke: inbound TCP 22" in account.sns.notices[-1]["Message"]
    assert account.sweep() == [], "and that is reported once"


@pytest.mark.reliability(
    "security_group_revert",
    "Only here",
    fault="a controller adds its rule again after each revert",
)
def test_other_rules_are_reverted_while_one_is_suspended() -> None:
    account = Account(max_reverts=1)
    account.add_and_sweep(SSH)
    account.add_and_sweep(SSH)
    account.add_and_sweep(RDP)
    assert account.ec2.current() == {HTTPS, SSH}


@pytest.mark.reliability(
    "security_group_revert",
    "Only here",
    fault="a controller adds its rule again after each revert",
)
def test_suspension_ends_with_its_window(capsys: pytest.CaptureFixture[str]) -> None:
    account = Account(max_reverts=1)
    account.add_and_sweep(SSH)
    account.dynamodb.pass_time(HOUR)
    account.add_and_sweep(SSH)
    assert SSH in account.ec2.current()
    account.dynamodb.pass_time(23 * HOUR)
    assert account.sweep() == ["Reverted"]
    assert account.ec2.current() == {HTTPS}
    assert "is resolved" in account.sns.notices[-1]["Message"]
    assert logged(capsys)[-2]["RevertsSuspended"] == 0, "the alarm clears"


def test_suspension_ends_when_its_item_is_deleted() -> None:
    account = Account(max_reverts=1)
    account.add_and_sweep(SSH)
    account.add_and_sweep(SSH)
    del account.dynamodb.items[records.GROUP, f"unapproved: {SSH}"]
    account.sweep()
    assert account.ec2.current() == {HTTPS}


def test_alarm_clears_when_the_suspended_rule_is_removed(capsys: pytest.CaptureFixture[str]) -> None:
    account = Account(max_reverts=1)
    account.add_and_sweep(SSH)
    account.add_and_sweep(SSH)
    account.ec2.rules.popitem()
    assert account.sweep() == ["Resolved"]
    assert logged(capsys)[-1]["RevertsSuspended"] == 0


def test_deleted_and_edited_rules_are_suspended_too() -> None:
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
    "Only here",
    fault="runs overlap, and count at once",
    expected="each is counted",
    observed="3 of 3",
)
def test_overlapping_runs_each_count() -> None:
    dynamodb = FakeDynamoDB()
    table = StateTable(dynamodb, "state", HOUR)
    table.count("sg-1", table.read("sg-1"), ["a: b"])
    seen_by_both = table.read("sg-1")
    table.count("sg-1", seen_by_both, ["a: b"])
    table.count("sg-1", seen_by_both, ["a: b"])
    assert table.read("sg-1").reverts["a: b"].count == 3
    assert table.read("sg-2").reverts == {}


def test_count_whose_item_expired_just_before_begins_again() -> None:
    """DynamoDB may delete the item between the read and the write: ADD then creates one without expiry."""
    dynamodb = FakeDynamoDB()
    table = StateTable(dynamodb, "state", HOUR)
    table.count("sg-1", table.read("sg-1"), ["a: b"])
    state = table.read("sg-1")
    dynamodb.items.clear()
    table.count("sg-1", state, ["a: b"])
    assert table.read("sg-1").reverts == {}


@pytest.mark.reliability(
    "security_group_revert",
    "Access denied",
    fault="the table cannot be read or written",
    expected="reverted and reported all the same; then an error",
    observed="the rule is gone",
)
def test_state_that_cannot_be_read_or_written_keeps_nothing_from_being_reverted() -> None:
    account = Account(SSH)
    account.dynamodb.error = refuse("AccessDeniedException")
    with pytest.raises(UnfinishedError, match="AccessDeniedException"):
        account.sweep()
    assert account.ec2.current() == {HTTPS}


def test_check_of_an_approved_group_is_one_call_to_ec2_and_one_to_dynamodb() -> None:
    account = Account()
    account.sweep()
    assert (account.ec2.calls, account.dynamodb.calls) == (["DescribeSecurityGroupRules"], ["Query"])


@pytest.mark.reliability(
    "security_group_revert",
    "Late",
    fault="EC2 does not show the change yet that the event reports",
    expected="read again twice; then it is not said to be reverted",
    observed='reverted by the same run, or "As approved again"',
)
def test_change_that_is_not_visible_yet_is_reverted_by_the_same_run(pauses: list[float]) -> None:
    """EC2 is eventually consistent: the first read does not have the rule that the event is about."""
    account = Account()

    def becomes_visible(ec2: FakeEC2, _operation: str, _parameters: dict[str, Any]) -> None:
        ec2.add(SSH)

    account.ec2.faults = [None, becomes_visible]
    assert account.react(SSH_EVENT) == ["Reverted"]
    assert account.ec2.current() == {HTTPS}
    assert pauses == [2]


def test_removal_that_is_not_visible_yet_is_reverted_by_the_same_run() -> None:
    account = Account()
    item = records.answered("sgr-1", cidrIpv4="0.0.0.0/0") | {"fromPort": 443, "toPort": 443}
    response = {"revokedSecurityGroupRuleSet": {"items": [item]}}
    event = records.event(records.record("RevokeSecurityGroupIngress", {"groupId": records.GROUP}, response))
    account.ec2.faults = [None, lambda ec2, _operation, _parameters: ec2.rules.clear()]
    assert account.react(event) == ["Reverted"]
    assert account.ec2.current() == {HTTPS}


@pytest.mark.reliability(
    "security_group_revert",
    "Late",
    fault="EC2 does not show the change yet that the event reports",
)
def test_change_that_stays_invisible_is_not_said_to_be_reverted(pauses: list[float]) -> None:
    account = Account()
    assert account.react(SSH_EVENT) == ["As approved again"]
    assert "Already reverted" not in account.sns.notices[0]["Subject"]
    assert pauses == [2, 4], "bounded"


@pytest.mark.reliability(
    "security_group_revert",
    "Late",
    fault="EC2 does not show the change yet that the event reports",
)
def test_change_that_an_earlier_check_reverted_is_not_waited_for(pauses: list[float]) -> None:
    account = Account(SSH)
    account.sweep()
    assert account.react(SSH_EVENT) == ["Already reverted"]
    assert not pauses


def test_revert_from_before_the_call_proves_nothing() -> None:
    account = Account(SSH)
    account.sweep()
    later = SSH_EVENT["detail"] | {"eventTime": "2999-01-01T00:00:00Z"}
    assert account.react(records.event(later)) == ["As approved again"]


@pytest.mark.reliability("security_group_revert", "Access denied", fault="the table cannot be read or written")
def test_no_answer_from_dynamodb_is_an_error_after_the_revert() -> None:
    account = Account(SSH)
    account.dynamodb.error = EndpointConnectionError(endpoint_url="https://dynamodb.us-east-1.amazonaws.com")
    with pytest.raises(UnfinishedError, match="not counted"):
        account.sweep()
    assert account.ec2.current() == {HTTPS}
