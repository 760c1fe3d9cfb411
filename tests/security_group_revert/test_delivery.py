"""Whether events arrive, and how long reverts take: the metrics `MissedEvents` and `SecondsToRevert`."""

from datetime import UTC, datetime
from typing import Any

import pytest

from lambdas.security_group_revert.rules import Rule
from lambdas.security_group_revert.state import EVENT_SECONDS

from . import records
from .fake_ec2 import FakeDynamoDB, FakeEC2
from .test_respond import HTTPS, RDP, SSH, SSH_EVENT, metrics, respond


class Group:
    """A guarded group, and the state of its earlier checks."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.ec2, self.dynamodb, self.capsys = FakeEC2([HTTPS]), FakeDynamoDB(), capsys

    def react(self, event: Any = records.SWEEP) -> dict[str, Any]:
        """Return the metrics of a check."""
        respond(self.ec2, event, dynamodb=self.dynamodb)
        return metrics(self.capsys)[0]

    def missed_after(self, seconds: int) -> int:
        self.dynamodb.pass_time(seconds)
        return int(self.react()["MissedEvents"])


@pytest.fixture
def group(capsys: pytest.CaptureFixture[str]) -> Group:
    return Group(capsys)


@pytest.mark.reliability(
    "security_group_revert",
    "Lost event or response",
    fault="the event of a change that a sweep reverted never arrives",
    expected="counted once, after 15 minutes, with an alarm",
    observed="metric MissedEvents: 0, 0, 2, 0",
)
def test_change_reverted_by_sweep_without_event_is_counted_once(group: Group) -> None:
    for rule in (SSH, RDP):
        group.ec2.add(rule)
    assert group.react()["MissedEvents"] == 0
    assert group.missed_after(EVENT_SECONDS - 5) == 0
    assert group.missed_after(10) == 2
    assert group.missed_after(EVENT_SECONDS) == 0


@pytest.mark.parametrize(
    "event",
    [
        SSH_EVENT,
        # A call that names no rules may be the cause.
        records.event(records.record("RevokeSecurityGroupIngress", {"groupId": records.GROUP}, {"_return": True})),
    ],
)
def test_change_reverted_by_sweep_before_its_event_is_not_missed(group: Group, event: Any) -> None:
    group.ec2.add(SSH)
    group.react()
    group.react(event)
    assert group.missed_after(EVENT_SECONDS) == 0


def test_event_of_another_rule_does_not_explain_a_revert(group: Group) -> None:
    group.ec2.add(SSH)
    group.react()
    item = records.response_rule("sgr-9", cidrIpv4="198.51.100.0/24")
    group.react(records.event(records.authorized(item)))
    assert group.missed_after(EVENT_SECONDS) == 1


def test_changed_description_does_not_explain_a_revoked_rule(group: Group) -> None:
    group.ec2.add(SSH)
    group.react()
    group.react(records.event(records.described()))
    assert group.missed_after(EVENT_SECONDS) == 1


def test_description_restored_by_sweep_is_explained_by_its_event(group: Group) -> None:
    edited = Rule(False, "tcp", 443, 443, "CidrIpv4", "0.0.0.0/0", description="edited")
    group.ec2 = FakeEC2([edited])
    group.react()
    group.react(records.event(records.described()))
    assert group.missed_after(EVENT_SECONDS) == 0


def test_call_without_effect_is_found_in_the_log_and_sends_nothing(group: Group) -> None:
    """As `walkthroughs.check_security_group_events` does; the metrics are printed at any LOG_LEVEL."""
    event = records.event(records.described())
    assert not respond(group.ec2, event, dynamodb=group.dynamodb)
    assert metrics(group.capsys)[0]["request_id"] == event["detail"]["requestID"]
    assert not group.ec2.changes
    assert group.dynamodb.calls == ["Query"]


def test_missing_rule_restored_by_sweep_is_explained_by_its_event(group: Group) -> None:
    group.ec2.rules.clear()
    group.react()
    https = records.response_rule("sgr-1", cidrIpv4="0.0.0.0/0") | {"fromPort": 443, "toPort": 443}
    response = {"revokedSecurityGroupRuleSet": {"items": [https]}}
    group.react(records.event(records.record("RevokeSecurityGroupIngress", {"groupId": records.GROUP}, response)))
    assert group.missed_after(EVENT_SECONDS) == 0


def test_modified_rule_replaced_by_sweep_is_explained_by_its_event(group: Group) -> None:
    """The record does not contain the previous values, so it does not name the rule that the sweep restored."""
    group.ec2.rules.clear()
    rule_id = group.ec2.add(SSH)
    group.react()
    group.react(records.event(records.modified(records.update(rule_id, cidr="203.0.113.7/32"))))
    assert group.missed_after(EVENT_SECONDS) == 0


def test_revert_by_event_is_not_missed(group: Group) -> None:
    group.ec2.add(SSH)
    group.react(SSH_EVENT)
    assert group.missed_after(EVENT_SECONDS) == 0


def ssh_event(seconds_ago: float) -> Any:
    time = datetime.fromtimestamp(datetime.now(UTC).timestamp() - seconds_ago, UTC).isoformat(timespec="seconds")
    return records.event(SSH_EVENT["detail"] | {"eventTime": time})


def test_time_to_revert_is_from_the_call_to_the_revert(group: Group) -> None:
    group.ec2.add(SSH)
    assert 100 <= group.react(ssh_event(100))["SecondsToRevert"] < 103


def test_time_to_revert_by_earlier_sweep_ends_at_the_sweep(group: Group) -> None:
    group.ec2.add(SSH)
    group.react()
    group.dynamodb.pass_time(60)
    assert 40 <= group.react(ssh_event(100))["SecondsToRevert"] < 43


@pytest.mark.parametrize("time", ["unknown", "2999-01-01T00:00:00Z"])
def test_time_to_revert_is_never_negative_or_infinite(group: Group, time: str) -> None:
    group.ec2.add(SSH)
    assert group.react(records.event(SSH_EVENT["detail"] | {"eventTime": time})).get("SecondsToRevert", 0) == 0


@pytest.mark.parametrize("event", [records.SWEEP, SSH_EVENT])
def test_check_without_revert_has_no_time(group: Group, event: Any) -> None:
    assert "SecondsToRevert" not in group.react(event)


def test_other_rules_of_a_check_have_no_time(group: Group) -> None:
    group.ec2.add(Rule(False, "tcp", 8080, 8080, "CidrIpv4", "203.0.113.7/32"))
    https = records.response_rule("sgr-1", cidrIpv4="0.0.0.0/0") | {"fromPort": 443, "toPort": 443}
    assert "SecondsToRevert" not in group.react(records.event(records.authorized(https)))
