"""The calls of a reconciliation: which, in what order, and what follows when one is rejected."""

from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError

from lambdas.security_group_revert.revert import (
    CONFLICT_CODES,
    TRANSIENT_CODES,
    GuardedGroup,
    Outcome,
    read_rules,
    reconcile,
)
from lambdas.security_group_revert.rules import Rule

from . import records
from .fake_ec2 import FakeEC2, Fault, ec2_error

HTTPS = Rule(False, "tcp", 443, 443, "CidrIpv4", "0.0.0.0/0")
SSH = Rule(False, "tcp", 22, 22, "CidrIpv4", "203.0.113.7/32")
RDP = Rule(False, "tcp", 3389, 3389, "CidrIpv4", "203.0.113.7/32")
OPEN_SSH = Rule(False, "tcp", 22, 22, "CidrIpv4", "0.0.0.0/0")
READ, REVOKE, MODIFY = "DescribeSecurityGroupRules", "RevokeSecurityGroupIngress", "ModifySecurityGroupRules"


def run(ec2: Any, *approved: Rule, egress: tuple[Rule, ...] | None = None) -> Outcome:
    rules = read_rules(ec2, [records.GROUP])[records.GROUP]
    return reconcile(ec2, GuardedGroup(records.GROUP, "Web", approved or (HTTPS,), egress), rules, restore=True)


def raising(code: str, operation: str) -> Fault:
    def fault(_ec2: FakeEC2, called: str, _parameters: dict[str, Any]) -> None:
        if called == operation:
            raise ec2_error(code)

    return fault


def test_reconcile_revokes_before_it_restores() -> None:
    pgsql = Rule(False, "tcp", 5432, 5432, "ReferencedGroupId", "sg-0fedcba9876543210")
    ec2 = FakeEC2([RDP, OPEN_SSH])
    run(ec2, HTTPS, pgsql)
    assert ec2.changes == [REVOKE, MODIFY, "AuthorizeSecurityGroupIngress"]


def test_reconcile_egress_uses_egress_calls() -> None:
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


@pytest.mark.parametrize("code", sorted(CONFLICT_CODES))
@pytest.mark.reliability(
    "security_group_revert",
    "Deleted externally",
    fault="a rule, just before the function revokes it",
)
def test_conflict_reads_the_group_again_without_failure(code: str) -> None:
    ec2 = FakeEC2([HTTPS, SSH, RDP], [None, raising(code, REVOKE)])
    outcome = run(ec2)
    assert ec2.calls == [READ, REVOKE, READ, REVOKE], "one call for all rules, repeated"
    assert (ec2.current(), outcome.failed) == ({HTTPS}, ())


@pytest.mark.reliability("security_group_revert", "Partial failure", fault="an error in one rule or group of several")
def test_stale_rule_does_not_block_other_rules() -> None:
    """EC2 is eventually consistent: it lists a rule, and returns NotFound when the rule is revoked."""

    def not_found(ec2: FakeEC2, operation: str, parameters: dict[str, Any]) -> None:
        ids = parameters.get("SecurityGroupRuleIds", [])
        if operation == REVOKE and any(ec2.rules[rule_id]["FromPort"] == 22 for rule_id in ids):
            raise ec2_error("InvalidSecurityGroupRuleId.NotFound")

    ec2 = FakeEC2([HTTPS, SSH, RDP], [not_found] * 20)
    outcome = run(ec2)
    assert RDP not in ec2.current()
    assert [(action.rule, action.transient) for action in outcome.failed] == [(SSH, True)], "it is still listed"


@pytest.mark.reliability(
    "security_group_revert",
    "Hostile input",
    fault="a caller who replaces a rule with an equal one before each revoke",
    expected="not reverted; retried",
    observed="a failed action that is retried",
)
def test_rule_added_again_before_each_revoke_is_not_reverted() -> None:
    def add_again(ec2: FakeEC2, operation: str, parameters: dict[str, Any]) -> None:
        if operation == REVOKE:
            for rule_id in parameters["SecurityGroupRuleIds"]:
                del ec2.rules[rule_id]
            ec2.add(SSH)

    ec2 = FakeEC2([HTTPS, SSH], [add_again] * 20)
    outcome = run(ec2)
    assert ec2.calls == [READ, REVOKE] * 3 + [READ], "a last read shows what remains"
    assert [(a.action_type, a.rule, a.status, a.transient) for a in outcome.actions] == [
        ("revoke", SSH, "failed", True)
    ]
    assert outcome.open_findings == 1


def test_rule_removed_before_the_last_revoke_is_reverted() -> None:
    def replace_twice(ec2: FakeEC2, operation: str, parameters: dict[str, Any]) -> None:
        if operation == REVOKE:
            for rule_id in parameters["SecurityGroupRuleIds"]:
                del ec2.rules[rule_id]
            if ec2.calls.count(REVOKE) < 3:
                ec2.add(SSH)

    outcome = run(FakeEC2([HTTPS, SSH], [replace_twice] * 20))
    assert {(action.rule, action.status) for action in outcome.actions} == {(SSH, "conflict")}
    assert outcome.open_findings == 0


def test_failure_of_the_last_attempt_keeps_its_reason() -> None:
    def deny_rdp(ec2: FakeEC2, operation: str, parameters: dict[str, Any]) -> None:
        ids = parameters.get("SecurityGroupRuleIds", [])
        if operation == REVOKE and any(ec2.rules[rule_id]["FromPort"] == 22 for rule_id in ids):
            raise ec2_error("InvalidSecurityGroupRuleId.NotFound")
        if operation == REVOKE:
            raise ec2_error("UnauthorizedOperation")

    outcome = run(FakeEC2([HTTPS, SSH, RDP], [deny_rdp] * 20))
    reasons = {action.rule: str(action.reason).partition(":")[0] for action in outcome.failed}
    assert reasons == {RDP: "UnauthorizedOperation", SSH: "the rule changed in each of 3 attempts"}


def test_repeated_modify_conflict_is_a_transient_failure() -> None:
    ec2 = FakeEC2([OPEN_SSH], [raising("InvalidSecurityGroupRuleId.NotFound", MODIFY)] * 20)
    (failed,) = run(ec2).failed
    assert failed.transient


@pytest.mark.reliability(
    "security_group_revert",
    "Access denied",
    fault="no permission to modify a rule",
    expected="revoked, and the approved rule restored",
    observed="the approved rules",
)
def test_denied_modify_is_replaced_by_revoke_and_restore() -> None:
    ec2 = FakeEC2([OPEN_SSH], [raising("UnauthorizedOperation", MODIFY)] * 9)
    outcome = run(ec2)
    assert ec2.current() == {HTTPS}
    assert [(action.action_type, action.status) for action in outcome.actions] == [
        ("revoke", "completed"),
        ("restore", "completed"),
    ]
    assert not outcome.failed


@pytest.mark.parametrize("code", sorted(TRANSIENT_CODES))
@pytest.mark.reliability("security_group_revert", "Throttling", fault="EC2 throttles calls")
def test_transient_error_is_not_retried_for_each_rule(code: str) -> None:
    ec2 = FakeEC2([HTTPS, SSH, RDP], [None, raising(code, REVOKE)])
    outcome = run(ec2)
    assert ec2.changes == [REVOKE]
    assert [action.transient for action in outcome.failed] == [True, True]


def test_outcome_contains_actions_of_earlier_attempts() -> None:
    ec2 = FakeEC2([RDP, OPEN_SSH], [None, None, raising("InvalidSecurityGroupRuleId.NotFound", MODIFY)])
    assert {action.action_type for action in run(ec2).actions} == {"revoke", "modify"}


def lost_response(ec2: FakeEC2, operation: str, parameters: dict[str, Any]) -> None:
    """EC2 completes the call, but the response is lost."""
    assert operation == REVOKE
    for rule_id in parameters["SecurityGroupRuleIds"]:
        del ec2.rules[rule_id]
    raise ReadTimeoutError(endpoint_url="https://ec2.us-east-1.amazonaws.com")


def connection_error(_ec2: FakeEC2, _operation: str, _parameters: dict[str, Any]) -> None:
    raise EndpointConnectionError(endpoint_url="https://ec2.us-east-1.amazonaws.com")


@pytest.mark.reliability(
    "security_group_revert",
    "Lost event or response",
    fault="the response to a completed revoke",
    expected="reported; the group is read again; other calls are still made",
    observed='"already removed before it was revoked", or retried',
)
def test_lost_response_is_transient_and_blocks_no_other_call() -> None:
    ec2 = FakeEC2([SSH], [None, lost_response])
    outcome = run(ec2)
    assert ec2.current() == {HTTPS}, "the missing rule is still restored"
    (failed,) = outcome.failed
    assert (failed.action_type, failed.transient) == ("revoke", True)
    assert failed.reason
    assert failed.reason.startswith("ReadTimeoutError: ")
    assert [action.action_type for action in outcome.actions if action.status == "completed"] == ["restore"]
    assert not run(ec2).actions, "the second run has nothing to do"


@pytest.mark.reliability("security_group_revert", "Lost event or response", fault="the response to a completed revoke")
def test_rule_already_removed_is_a_conflict() -> None:
    """boto3 repeats a call without a response, and EC2 returns NotFound."""

    def revoke_before(ec2: FakeEC2, _operation: str, parameters: dict[str, Any]) -> None:
        for rule_id in parameters["SecurityGroupRuleIds"]:
            del ec2.rules[rule_id]

    (action,) = run(FakeEC2([HTTPS, SSH], [None, revoke_before])).actions
    assert (action.action_type, action.rule, action.status) == ("revoke", SSH, "conflict")


@pytest.mark.parametrize("fault", [connection_error, raising("RequestLimitExceeded", READ)])
@pytest.mark.reliability(
    "security_group_revert",
    "Partial failure",
    fault="the group cannot be read again after a conflict",
    expected="completed actions are reported; the rest is retried",
    observed='"revoked" and "FAILED to modify"',
)
def test_failed_second_read_keeps_completed_actions(fault: Fault) -> None:
    conflict = raising("InvalidSecurityGroupRuleId.NotFound", MODIFY)
    outcome = run(FakeEC2([RDP, OPEN_SSH], [None, None, conflict, fault]))
    assert [(a.action_type, a.status) for a in outcome.actions] == [("revoke", "completed"), ("modify", "failed")]
    assert outcome.failed[0].transient, "the event is run again"


def test_failed_first_read_raises_error() -> None:
    with pytest.raises(EndpointConnectionError):
        run(FakeEC2([HTTPS, SSH], [connection_error]))


def test_reconcile_reads_only_rules_of_the_group() -> None:
    filters: list[Any] = []
    ec2 = FakeEC2([HTTPS], [lambda _ec2, _operation, parameters: filters.append(parameters["Filters"])])
    run(ec2)
    assert filters == [[{"Name": "group-id", "Values": [records.GROUP]}]]
