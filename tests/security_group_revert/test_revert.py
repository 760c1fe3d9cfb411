"""Facts about the calls that a reconciliation makes: which, in what order, and when one is refused."""

from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError

from lambdas.security_group_revert.revert import OVERTAKEN, TRANSIENT, Guarded, Outcome, reconcile
from lambdas.security_group_revert.rules import Rule

from . import records
from .fake_ec2 import FakeEC2, Fault, refuse

HTTPS = Rule(False, "tcp", 443, 443, "CidrIpv4", "0.0.0.0/0")
SSH = Rule(False, "tcp", 22, 22, "CidrIpv4", "203.0.113.7/32")
RDP = Rule(False, "tcp", 3389, 3389, "CidrIpv4", "203.0.113.7/32")
OPEN_SSH = Rule(False, "tcp", 22, 22, "CidrIpv4", "0.0.0.0/0")
READ, REVOKE, MODIFY = "DescribeSecurityGroupRules", "RevokeSecurityGroupIngress", "ModifySecurityGroupRules"


def run(ec2: FakeEC2, *approved: Rule, egress: tuple[Rule, ...] | None = None) -> Outcome:
    return reconcile(ec2, Guarded(records.GROUP, "Web", approved or (HTTPS,), egress), restore=True)


def raising(code: str, operation: str) -> Fault:
    def fault(_ec2: FakeEC2, called: str, _parameters: dict[str, Any]) -> None:
        if called == operation:
            raise refuse(code)

    return fault


def test_what_is_open_is_closed_before_what_is_closed_is_opened() -> None:
    pgsql = Rule(False, "tcp", 5432, 5432, "ReferencedGroupId", "sg-0fedcba9876543210")
    ec2 = FakeEC2([RDP, OPEN_SSH])
    run(ec2, HTTPS, pgsql)
    assert ec2.changes == [REVOKE, MODIFY, "AuthorizeSecurityGroupIngress"]


def test_egress_goes_through_the_calls_for_egress() -> None:
    smtp = Rule(True, "tcp", 25, 25, "CidrIpv4", "192.0.2.0/24")
    described = Rule(True, "-1", -1, -1, "CidrIpv4", "0.0.0.0/0", description="all")
    missing = Rule(True, "tcp", 53, 53, "PrefixListId", "pl-63a5400a")
    ec2 = FakeEC2([HTTPS, smtp, Rule(True, "-1", -1, -1, "CidrIpv4", "0.0.0.0/0", description="x")])
    run(ec2, egress=(described, missing))
    assert ec2.changes == [
        "RevokeSecurityGroupEgress",
        "UpdateSecurityGroupRuleDescriptionsEgress",
        "AuthorizeSecurityGroupEgress",
    ]
    assert ec2.current(is_egress=True) == {described, missing}


@pytest.mark.parametrize("code", sorted(OVERTAKEN))
@pytest.mark.reliability(
    "security_group_revert",
    "Deleted by somebody else",
    fault="a rule, just before it is revoked",
)
def test_overtaken_call_makes_the_group_be_read_again_and_is_no_failure(code: str) -> None:
    ec2 = FakeEC2([HTTPS, SSH, RDP], [None, raising(code, REVOKE)])
    outcome = run(ec2)
    assert ec2.calls == [READ, REVOKE, READ, REVOKE], "one call for all rules, once more"
    assert (ec2.current(), outcome.failed) == ({HTTPS}, ())


@pytest.mark.reliability("security_group_revert", "Partial failure", fault="one rule of several, one group of several")
def test_rule_that_only_seems_to_be_there_does_not_keep_the_others() -> None:
    """EC2's reads can lag: a rule is listed, and each revoke of it says that it is gone."""

    def ghost(ec2: FakeEC2, operation: str, parameters: dict[str, Any]) -> None:
        ids = parameters.get("SecurityGroupRuleIds", [])
        if operation == REVOKE and any(ec2.rules[rule_id]["FromPort"] == 22 for rule_id in ids):
            raise refuse("InvalidSecurityGroupRuleId.NotFound")

    ec2 = FakeEC2([HTTPS, SSH, RDP], [ghost] * 20)
    outcome = run(ec2)
    assert RDP not in ec2.current()
    assert not outcome.failed


def test_edit_back_that_is_overtaken_to_the_end_is_told_and_tried_again() -> None:
    ec2 = FakeEC2([OPEN_SSH], [raising("InvalidSecurityGroupRuleId.NotFound", MODIFY)] * 20)
    (failed,) = run(ec2).failed
    assert failed.transient


@pytest.mark.reliability(
    "security_group_revert",
    "Access denied",
    fault="a rule may not be edited back",
    expected="revoked, and the approved one restored",
    observed="the approved rules",
)
def test_rule_that_may_not_be_edited_back_is_revoked_and_the_approved_one_restored() -> None:
    ec2 = FakeEC2([OPEN_SSH], [raising("UnauthorizedOperation", MODIFY)] * 9)
    outcome = run(ec2)
    assert ec2.current() == {HTTPS}
    assert [(action.verb, action.status) for action in outcome.actions] == [("revoke", "done"), ("restore", "done")]
    assert not outcome.failed


@pytest.mark.parametrize("code", sorted(TRANSIENT))
@pytest.mark.reliability("security_group_revert", "Throttling", fault="EC2 refuses calls for a while")
def test_passing_error_is_not_multiplied_by_trying_each_rule(code: str) -> None:
    ec2 = FakeEC2([HTTPS, SSH, RDP], [None, raising(code, REVOKE)])
    outcome = run(ec2)
    assert ec2.changes == [REVOKE]
    assert [action.transient for action in outcome.failed] == [True, True]


def test_what_was_done_in_an_earlier_round_is_told_too() -> None:
    ec2 = FakeEC2([RDP, OPEN_SSH], [None, None, raising("InvalidSecurityGroupRuleId.NotFound", MODIFY)])
    assert {action.verb for action in run(ec2).actions} == {"revoke", "edit back"}


def lost_answer(ec2: FakeEC2, operation: str, parameters: dict[str, Any]) -> None:
    """The call is carried out, and nobody hears of it."""
    assert operation == REVOKE
    for rule_id in parameters["SecurityGroupRuleIds"]:
        del ec2.rules[rule_id]
    raise ReadTimeoutError(endpoint_url="https://ec2.us-east-1.amazonaws.com")


def no_answer(_ec2: FakeEC2, _operation: str, _parameters: dict[str, Any]) -> None:
    raise EndpointConnectionError(endpoint_url="https://ec2.us-east-1.amazonaws.com")


@pytest.mark.reliability(
    "security_group_revert",
    "Lost",
    fault="the answer to a revoke that was carried out",
    expected="the notice says so, the group is read again, other calls are still made",
    observed='"gone when it was to be revoked", or tried again',
)
def test_call_without_an_answer_is_told_tried_again_and_keeps_no_other_call_from_being_made() -> None:
    ec2 = FakeEC2([SSH], [None, lost_answer])
    outcome = run(ec2)
    assert ec2.current() == {HTTPS}, "the rule that was missing is restored all the same"
    (failed,) = outcome.failed
    assert (failed.verb, failed.transient) == ("revoke", True)
    assert failed.error
    assert failed.error.startswith("ReadTimeoutError: ")
    assert [action.verb for action in outcome.actions if action.status == "done"] == ["restore"]
    assert not run(ec2).actions, "and the second time there is nothing left to do"


@pytest.mark.reliability("security_group_revert", "Lost", fault="the answer to a revoke that was carried out")
def test_rule_that_is_gone_when_a_lost_call_is_made_again_is_told() -> None:
    """boto3 makes a call again whose answer was lost, and hears that there is no such rule."""

    def carried_out_before(ec2: FakeEC2, _operation: str, parameters: dict[str, Any]) -> None:
        for rule_id in parameters["SecurityGroupRuleIds"]:
            del ec2.rules[rule_id]

    (action,) = run(FakeEC2([HTTPS, SSH], [None, carried_out_before])).actions
    assert (action.verb, action.rule, action.status) == ("revoke", SSH, "overtaken")


@pytest.mark.parametrize("fault", [no_answer, raising("RequestLimitExceeded", READ)])
@pytest.mark.reliability(
    "security_group_revert",
    "Partial failure",
    fault="the group cannot be read again after some calls",
    expected="the notice has what was done; the rest is tried again",
    observed='"revoked", and "FAILED to edit back"',
)
def test_what_was_done_is_told_when_the_group_cannot_be_read_again(fault: Fault) -> None:
    overtaken = raising("InvalidSecurityGroupRuleId.NotFound", MODIFY)
    outcome = run(FakeEC2([RDP, OPEN_SSH], [None, None, overtaken, fault]))
    assert [(a.verb, a.status) for a in outcome.actions] == [("revoke", "done"), ("edit back", "failed")]
    assert outcome.failed[0].transient, "nobody would try again"


def test_group_that_cannot_be_read_at_all_is_an_error() -> None:
    with pytest.raises(EndpointConnectionError):
        run(FakeEC2([HTTPS, SSH], [no_answer]))


def test_rules_of_this_group_only_are_asked_for() -> None:
    asked: list[Any] = []
    ec2 = FakeEC2([HTTPS], [lambda _ec2, _operation, parameters: asked.append(parameters["Filters"])])
    run(ec2)
    assert asked == [[{"Name": "group-id", "Values": [records.GROUP]}]]
