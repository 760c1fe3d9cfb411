"""Facts about what keeps a group from being reverted, or happens to it meanwhile, beyond one refused call."""

import random
from typing import Any

import pytest

from lambdas.security_group_revert.respond import UnfinishedError
from lambdas.security_group_revert.revert import Guarded

from . import records
from .fake_ec2 import FakeDynamoDB, FakeEC2, FakeSNS, Fault, refuse
from .test_respond import HTTPS, RDP, SSH, SSH_EVENT, guarded, logged, respond


def fault(code: str, *operations: str) -> Fault:
    """Refuse these operations."""

    def refused(_ec2: FakeEC2, operation: str, _parameters: dict[str, Any]) -> None:
        if operation in operations:
            raise refuse(code)

    return refused


@pytest.mark.parametrize("choices", [{}, {"restore": False}, {"change_rules": False}])
@pytest.mark.reliability(
    "security_group_revert",
    "Deleted by somebody else",
    fault="the group, or its id is wrong",
    expected="reported as not guarded, also without `restore` and in `notify` mode; an alarm goes off",
    observed='"NOT GUARDED", metric 1; one call more, and only when no rule is found',
)
def test_group_that_does_not_exist_is_reported_and_counted(
    choices: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """EC2 answers a filter that matches nothing with an empty list, and an unknown id with an error."""
    gone = FakeEC2([], exists=False)
    (notice,) = respond(gone, records.SWEEP, guarded(), **choices)
    assert notice["Subject"] == "NOT GUARDED: security group Web Server does not exist"
    assert "Nothing is guarded until" in notice["Message"]
    assert (logged(capsys)[0]["NotReverted"], gone.changes) == (1, [])


def test_group_that_does_not_exist_is_reported_though_nothing_is_approved() -> None:
    (notice,) = respond(FakeEC2([], exists=False), records.SWEEP, Guarded(records.GROUP, "", (), None))
    assert notice["Subject"] == f"NOT GUARDED: security group {records.GROUP} does not exist"


@pytest.mark.reliability("security_group_revert", "Deleted by somebody else", fault="the group, or its id is wrong")
def test_group_without_rules_is_not_taken_for_a_missing_one() -> None:
    ec2 = FakeEC2([])
    respond(ec2, records.SWEEP)
    assert ec2.current() == {HTTPS}
    assert ec2.calls.count("DescribeSecurityGroups") == 1
    respond(ec2, records.SWEEP)
    assert ec2.calls.count("DescribeSecurityGroups") == 1, "asked for only when there is no rule"


@pytest.mark.reliability(
    "security_group_revert",
    "Timeout mid-way",
    fault="the function is stopped between two calls",
    expected="the next run does the rest, and its notification has both",
    observed='"restored", and "as approved at this check"',
)
def test_function_that_is_stopped_half_way_ends_it_the_next_time() -> None:
    """Lambda gives the event again; what had been done is in the notification as no longer in place."""

    class StoppedError(BaseException):
        """As nobody catches it."""

    def stop(_ec2: FakeEC2, operation: str, _parameters: dict[str, Any]) -> None:
        assert operation == "AuthorizeSecurityGroupIngress"
        raise StoppedError

    ec2 = FakeEC2([SSH], [None, None, stop])
    with pytest.raises(StoppedError):
        respond(ec2, SSH_EVENT)
    assert ec2.current() == set(), "the rule is revoked, and the approved one not yet restored"
    (notice,) = respond(ec2, SSH_EVENT)
    assert ec2.current() == {HTTPS}
    assert "restored: inbound TCP 443" in notice["Message"]
    assert "as approved at this check, undone by somebody or not visible yet: inbound TCP 22" in notice["Message"]


@pytest.mark.reliability("security_group_revert", "Access denied", fault="a rule may not be revoked")
def test_no_right_to_revoke_is_told_without_an_error_for_another_try_would_not_help() -> None:
    ec2 = FakeEC2([HTTPS, SSH], [fault("UnauthorizedOperation", "RevokeSecurityGroupIngress")] * 9)
    (notice,) = respond(ec2, SSH_EVENT)
    assert notice["Subject"].startswith("NOT REVERTED")
    assert "UnauthorizedOperation" in notice["Message"]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.reliability(
    "security_group_revert",
    "Late",
    fault="events come late, or out of order",
    expected="the group ends with the approved rules, whatever the event says",
    observed="so it does, after each event",
)
def test_events_out_of_order_late_and_twice_end_in_the_approved_rules(seed: int) -> None:
    order = random.Random(seed)  # noqa: S311  # no secret
    events = [records.event(records.authorized(records.answered(f"sgr-{n:017x}"))) for n in range(4)]
    events += [SSH_EVENT, SSH_EVENT, records.SWEEP]
    order.shuffle(events)
    ec2 = FakeEC2([HTTPS, SSH, RDP])
    for number, event in enumerate(events):
        respond(ec2, event)
        assert ec2.current() == {HTTPS}
        if number == 2:
            ec2.add(RDP)  # whose own event is lost
            respond(ec2, records.SWEEP)
    assert ec2.changes == ["RevokeSecurityGroupIngress"] * 2


@pytest.mark.reliability(
    "security_group_revert",
    "Throttling",
    fault="SNS refuses the notice",
    expected="reverted all the same; the notice comes with the next run",
    observed='"Already reverted", with the caller\'s name',
)
def test_notice_that_is_throttled_comes_with_the_next_try() -> None:
    class ThrottledSNS(FakeSNS):
        refused = False

        def publish(self, **parameters: str) -> None:
            if not self.refused:
                self.refused = True
                raise refuse("Throttled")
            super().publish(**parameters)

    ec2, sns, dynamodb = FakeEC2([HTTPS, SSH]), ThrottledSNS(), FakeDynamoDB()
    with pytest.raises(UnfinishedError, match="Throttled"):
        respond(ec2, SSH_EVENT, sns=sns, dynamodb=dynamodb)
    (notice,) = respond(ec2, SSH_EVENT, sns=sns, dynamodb=dynamodb)
    assert notice["Subject"].startswith("Already reverted")
    assert "user/alice" in notice["Message"]


@pytest.mark.reliability("security_group_revert", "Lost", fault="the answer to a revoke that was carried out")
def test_rule_that_is_gone_when_it_was_to_be_revoked_is_in_the_notice_of_a_sweep() -> None:
    def somebody_revokes(ec2: FakeEC2, _operation: str, parameters: dict[str, Any]) -> None:
        ec2.rules.pop(parameters["SecurityGroupRuleIds"][0])

    (notice,) = respond(FakeEC2([HTTPS, SSH], [None, somebody_revokes]), records.SWEEP)
    assert "gone when it was to be revoked: inbound TCP 22" in notice["Message"]


@pytest.mark.reliability(
    "security_group_revert",
    "Malformed input",
    fault="a rule of a kind that is not known, or that cannot be read",
)
def test_rule_that_cannot_be_read_is_revoked() -> None:
    ec2 = FakeEC2([HTTPS])
    odd = {"SecurityGroupRuleId": "sgr-odd", "IsEgress": False, "IpProtocol": "tcp", "CidrIpv4": "not a network"}
    ec2.rules["sgr-odd"] = odd
    respond(ec2, records.SWEEP)
    assert "sgr-odd" not in ec2.rules
    assert ec2.current() == {HTTPS}
