"""Properties: for any rules, events and faults, a group ends with its approved rules."""

from typing import Any, cast

import pytest
from botocore.exceptions import ReadTimeoutError
from hypothesis import given, settings, strategies as st

from lambdas.security_group_revert.respond import Responder, RetryableError
from lambdas.security_group_revert.revert import GuardedGroup
from lambdas.security_group_revert.rules import Rule
from lambdas.security_group_revert.state import StateTable

from . import records
from .fake_ec2 import FakeDynamoDB, FakeEC2, FakeEventBridge, FakeSNS, Fault, ec2_error

SOURCES = [
    ("CidrIpv4", "0.0.0.0/0"),
    ("CidrIpv4", "0.0.0.0/1"),
    ("CidrIpv4", "203.0.113.7/32"),
    ("CidrIpv6", "::/0"),
    ("CidrIpv6", "2001:db8::/32"),
    ("PrefixListId", "pl-63a5400a"),
    ("ReferencedGroupId", "sg-0fedcba9876543210"),
    ("ReferencedGroupId", records.GROUP),
]
TRAFFIC = [
    ("tcp", 22, 22),
    ("tcp", 443, 443),
    ("udp", 0, 65535),
    ("icmp", 8, -1),
    ("icmpv6", -1, -1),
    ("-1", -1, -1),
    ("50", -1, -1),
]
DESCRIPTIONS = [None, "web", "db"]


@st.composite
def rules(draw: st.DrawFn, is_egress: bool = False) -> Rule:
    traffic, source = draw(st.sampled_from(TRAFFIC)), draw(st.sampled_from(SOURCES))
    return Rule(is_egress, *traffic, *source, description=draw(st.sampled_from(DESCRIPTIONS)))


def sets_of_rules(is_egress: bool = False) -> st.SearchStrategy[list[Rule]]:
    return st.lists(rules(is_egress), max_size=8, unique=True)


def throttle(_ec2: FakeEC2, _operation: str, _parameters: dict[str, Any]) -> None:
    raise ec2_error("RequestLimitExceeded")


def remove_rule(ec2: FakeEC2, _operation: str, _parameters: dict[str, Any]) -> None:
    """Delete a rule just before the call, which then fails with a NotFound error."""
    if ec2.rules:
        ec2.rules.popitem()


def add_same_rule(ec2: FakeEC2, _operation: str, parameters: dict[str, Any]) -> None:
    """Add the same rules just before the call, which then fails with InvalidPermission.Duplicate."""
    for permission in parameters.get("IpPermissions", []):
        for entry in permission.get("IpRanges", []):
            rule = Rule.from_api({**permission, "CidrIpv4": entry["CidrIp"]}, is_egress=False)
            if rule not in ec2.current():
                ec2.add(rule)


def return_not_found(_ec2: FakeEC2, operation: str, _parameters: dict[str, Any]) -> None:
    """Refuse a call although the rule exists, as after a stale read."""
    if operation.startswith(("Revoke", "Modify", "Update")):
        raise ec2_error("InvalidPermission.NotFound")


def lose_response(_ec2: FakeEC2, _operation: str, _parameters: dict[str, Any]) -> None:
    raise ReadTimeoutError(endpoint_url="https://ec2.us-east-1.amazonaws.com")


faults: st.SearchStrategy[list[Fault | None]] = st.lists(
    st.sampled_from([None, throttle, remove_rule, add_same_rule, return_not_found, lose_response]), max_size=12
)


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    """Any event, whether or not it matches the rules of the group."""
    ids = st.sampled_from([f"sgr-{number:017x}" for number in range(6)])
    added = records.authorized(records.response_rule(draw(ids)))
    edited = records.modified(*(records.update(rule_id) for rule_id in draw(st.lists(ids, max_size=3))))
    unknown = records.record("AuthorizeSecurityGroupIngress", None, None)
    return draw(st.sampled_from([records.event(added), records.event(edited), records.event(unknown), records.SWEEP]))


def create_responder(ec2: Any, *, restore: bool = True) -> Responder:
    table = StateTable(cast(Any, FakeDynamoDB()), "state", 3600)
    topic = "arn:aws:sns:us-east-1:111111111111:n"
    return Responder(
        ec2=ec2,
        sns=cast(Any, FakeSNS()),
        events=FakeEventBridge(),
        table=table,
        topic_arn=topic,
        account="1" * 12,
        restore=restore,
        max_reverts=1000,
    )


def run(responder: Responder, ec2: FakeEC2, event: Any, guarded: GuardedGroup) -> None:
    """Run an event as Lambda does, with retries after errors, followed by sweeps.

    A change by another caller during a run is visible in the next one.
    """
    for delivery in [event] * 3 + [records.SWEEP] * 12:
        undisturbed = not ec2.faults
        try:
            responder.respond(delivery, [guarded])
        except RetryableError:
            continue
        if undisturbed:
            return
    raise AssertionError("still unfinished after all sweeps")


@settings(max_examples=300)
@given(before=sets_of_rules(), approved=sets_of_rules(), out=sets_of_rules(True), event=events(), faults=faults)
@pytest.mark.reliability(
    "security_group_revert",
    "System-specific",
    fault="any rules, any event, any faults",
    expected="the group converges to its approved rules, and another run changes nothing",
    observed="300 generated cases per test run",
)
def test_any_rules_and_faults_converge_to_approved_rules(
    before: list[Rule], approved: list[Rule], out: list[Rule], event: Any, faults: list[Fault | None]
) -> None:
    ec2 = FakeEC2(before + out, [fault for fault in faults if not (out and fault is remove_rule)])
    responder = create_responder(ec2)
    guarded = GuardedGroup(records.GROUP, "Web", tuple(approved), None)

    run(responder, ec2, event, guarded)

    assert ec2.current() == set(approved)
    described = {Rule.from_api(rule): rule.get("Description") or None for rule in ec2.rules.values()}
    assert all(described[rule] == rule.description for rule in approved if rule.description)
    assert ec2.current(is_egress=True) == set(out), "egress was changed"

    changes = list(ec2.changes)
    responder.respond(event, [guarded])
    responder.respond(records.SWEEP, [guarded])
    assert ec2.changes == changes, "a second run changed something"


@settings(max_examples=150)
@given(before=sets_of_rules(), approved=sets_of_rules(), event=events())
def test_without_restore_only_unapproved_rules_are_revoked(
    before: list[Rule], approved: list[Rule], event: Any
) -> None:
    ec2 = FakeEC2(before)
    responder = create_responder(ec2, restore=False)
    run(responder, ec2, event, GuardedGroup(records.GROUP, "Web", tuple(approved), None))
    assert ec2.current() == set(before) & set(approved)


@settings(max_examples=150)
@given(before=sets_of_rules(), out=sets_of_rules(True), approved=sets_of_rules(), approved_out=sets_of_rules(True))
def test_guarded_egress_ends_as_approved(
    before: list[Rule], out: list[Rule], approved: list[Rule], approved_out: list[Rule]
) -> None:
    ec2 = FakeEC2(before + out)
    responder = create_responder(ec2)
    responder.respond(records.SWEEP, [GuardedGroup(records.GROUP, "Web", tuple(approved), tuple(approved_out))])
    assert (ec2.current(), ec2.current(is_egress=True)) == (set(approved), set(approved_out))
