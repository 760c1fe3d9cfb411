"""Faults during a check: missing groups, interrupted runs, throttling and lost responses."""

import random
from typing import Any

import pytest

from lambdas.security_group_revert.respond import RetryableError
from lambdas.security_group_revert.revert import GuardedGroup

from . import records
from .fake_ec2 import FakeDynamoDB, FakeEC2, FakeSNS, Fault, ec2_error
from .test_respond import HTTPS, RDP, SSH, SSH_EVENT, guarded, metrics, respond


def fault(code: str, *operations: str) -> Fault:
    """Refuse these operations."""

    def rejected(_ec2: FakeEC2, operation: str, _parameters: dict[str, Any]) -> None:
        if operation in operations:
            raise ec2_error(code)

    return rejected


@pytest.mark.parametrize("options", [{}, {"restore": False}, {"change_rules": False}])
@pytest.mark.reliability(
    "security_group_revert",
    "Deleted externally",
    fault="the group, or its ID is wrong",
    expected="reported as not guarded in every mode; an alarm is raised",
    observed='"NOT GUARDED", metric 1; an extra call only for groups without rules',
)
def test_missing_group_is_reported_and_counted(options: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """EC2 returns an empty list for a filter without a match, and an error for an unknown ID."""
    missing = FakeEC2([], exists=False)
    (notification,) = respond(missing, records.SWEEP, guarded(), **options)
    assert notification["Subject"] == "NOT GUARDED: security group Web Server does not exist"
    assert "not guarded until" in notification["Message"]
    assert (metrics(capsys)[0]["NotReverted"], missing.changes) == (1, [])


def test_missing_group_without_approved_rules_is_reported() -> None:
    (notification,) = respond(FakeEC2([], exists=False), records.SWEEP, GuardedGroup(records.GROUP, "", (), None))
    assert notification["Subject"] == f"NOT GUARDED: security group {records.GROUP} does not exist"


@pytest.mark.reliability("security_group_revert", "Deleted externally", fault="the group, or its ID is wrong")
def test_group_without_rules_is_not_reported_as_missing() -> None:
    ec2 = FakeEC2([])
    respond(ec2, records.SWEEP)
    assert ec2.current() == {HTTPS}
    assert ec2.calls.count("DescribeSecurityGroups") == 1
    respond(ec2, records.SWEEP)
    assert ec2.calls.count("DescribeSecurityGroups") == 1, "only called for a group without rules"


@pytest.mark.reliability(
    "security_group_revert",
    "Timeout",
    fault="the function is interrupted between two calls",
    expected="the next run completes the revert and reports both parts",
    observed='"restored" and "no longer present"',
)
def test_interrupted_run_is_completed_by_the_next_run() -> None:
    """Lambda runs the event again; the notification lists what the first run did as no longer present."""

    class StoppedError(BaseException):
        """Not an Exception, so that the function does not catch it."""

    def stop(_ec2: FakeEC2, operation: str, _parameters: dict[str, Any]) -> None:
        assert operation == "AuthorizeSecurityGroupIngress"
        raise StoppedError

    ec2 = FakeEC2([SSH], [None, None, stop])
    with pytest.raises(StoppedError):
        respond(ec2, SSH_EVENT)
    assert ec2.current() == set(), "the rule is revoked, but the approved one is not restored yet"
    (notification,) = respond(ec2, SSH_EVENT)
    assert ec2.current() == {HTTPS}
    assert "restored: inbound TCP 443" in notification["Message"]
    assert "no longer present (reverted by someone else, or not visible yet): inbound TCP 22" in notification["Message"]


@pytest.mark.reliability("security_group_revert", "Access denied", fault="no permission to revoke a rule")
def test_denied_revoke_is_reported_without_a_retry() -> None:
    ec2 = FakeEC2([HTTPS, SSH], [fault("UnauthorizedOperation", "RevokeSecurityGroupIngress")] * 9)
    (notification,) = respond(ec2, SSH_EVENT)
    assert notification["Subject"].startswith("NOT REVERTED")
    assert "UnauthorizedOperation" in notification["Message"]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.reliability(
    "security_group_revert",
    "Delayed or out of order",
    fault="events arrive late or out of order",
    expected="the group converges to its approved rules",
    observed="after each event",
)
def test_unordered_events_converge_to_approved_rules(seed: int) -> None:
    order = random.Random(seed)  # noqa: S311  # no secret
    events = [records.event(records.authorized(records.response_rule(f"sgr-{n:017x}"))) for n in range(4)]
    events += [SSH_EVENT, SSH_EVENT, records.SWEEP]
    order.shuffle(events)
    ec2 = FakeEC2([HTTPS, SSH, RDP])
    for number, event in enumerate(events):
        respond(ec2, event)
        assert ec2.current() == {HTTPS}
        if number == 2:
            ec2.add(RDP)  # its event is lost
            respond(ec2, records.SWEEP)
    assert ec2.changes == ["RevokeSecurityGroupIngress"] * 2


@pytest.mark.reliability(
    "security_group_revert",
    "Throttling",
    fault="SNS throttles the notification",
    expected="reverted; the next run sends the notification",
    observed='"Already reverted", with the caller\'s name',
)
def test_throttled_notification_is_sent_by_the_retry() -> None:
    class ThrottledSNS(FakeSNS):
        rejected = False

        def publish(self, **parameters: str) -> None:
            if not self.rejected:
                self.rejected = True
                raise ec2_error("Throttled")
            super().publish(**parameters)

    ec2, sns, dynamodb = FakeEC2([HTTPS, SSH]), ThrottledSNS(), FakeDynamoDB()
    with pytest.raises(RetryableError, match="Throttled"):
        respond(ec2, SSH_EVENT, sns=sns, dynamodb=dynamodb)
    (notification,) = respond(ec2, SSH_EVENT, sns=sns, dynamodb=dynamodb)
    assert notification["Subject"].startswith("Already reverted")
    assert "user/alice" in notification["Message"]


@pytest.mark.reliability("security_group_revert", "Lost event or response", fault="the response to a completed revoke")
def test_sweep_reports_rule_already_removed() -> None:
    def someone_revokes(ec2: FakeEC2, _operation: str, parameters: dict[str, Any]) -> None:
        ec2.rules.pop(parameters["SecurityGroupRuleIds"][0])

    (notification,) = respond(FakeEC2([HTTPS, SSH], [None, someone_revokes]), records.SWEEP)
    assert "already removed before it was revoked: inbound TCP 22" in notification["Message"]


@pytest.mark.reliability(
    "security_group_revert",
    "Malformed input",
    fault="a rule with an unknown source type, or an unreadable rule",
)
def test_unreadable_rule_is_revoked() -> None:
    ec2 = FakeEC2([HTTPS])
    unreadable = {"SecurityGroupRuleId": "sgr-odd", "IsEgress": False, "IpProtocol": "tcp", "CidrIpv4": "not a network"}
    ec2.rules["sgr-odd"] = unreadable
    respond(ec2, records.SWEEP)
    assert "sgr-odd" not in ec2.rules
    assert ec2.current() == {HTTPS}
