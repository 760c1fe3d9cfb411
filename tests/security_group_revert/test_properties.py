"""Whatever came before and whatever goes wrong: the group ends as approved."""

from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from hypothesis import given, settings, strategies as st

from lambdas.security_group_revert.respond import Responder, UnfinishedError
from lambdas.security_group_revert.revert import Guarded
from lambdas.security_group_revert.rules import Rule
from lambdas.security_group_revert.state import StateTable

from . import records
from .fake_ec2 import FakeDynamoDB, FakeEC2, FakeSNS, Fault, refuse

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
    raise refuse("RequestLimitExceeded")


def somebody_removes(ec2: FakeEC2, _operation: str, _parameters: dict[str, Any]) -> None:
    """Somebody deletes a rule just before the call: InvalidPermission.NotFound or its like follows."""
    if ec2.rules:
        ec2.rules.popitem()


def somebody_adds(ec2: FakeEC2, _operation: str, parameters: dict[str, Any]) -> None:
    """Somebody restores the same rules just before the call: InvalidPermission.Duplicate follows."""
    for permission in parameters.get("IpPermissions", []):
        for entry in permission.get("IpRanges", []):
            rule = Rule.from_api({**permission, "CidrIpv4": entry["CidrIp"]}, is_egress=False)
            if rule not in ec2.current():
                ec2.add(rule)


def not_found_once(_ec2: FakeEC2, operation: str, _parameters: dict[str, Any]) -> None:
    """The call is refused though the rule is there, as an overtaken read would have it."""
    if operation.startswith(("Revoke", "Modify", "Update")):
        raise refuse("InvalidPermission.NotFound")


def no_answer(_ec2: FakeEC2, _operation: str, _parameters: dict[str, Any]) -> None:
    raise ReadTimeoutError(endpoint_url="https://ec2.us-east-1.amazonaws.com")


faults: st.SearchStrategy[list[Fault | None]] = st.lists(
    st.sampled_from([None, throttle, somebody_removes, somebody_adds, not_found_once, no_answer]), max_size=12
)


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    """An event about anything at all: it need not fit what is in the group."""
    ids = st.sampled_from([f"sgr-{number:017x}" for number in range(6)])
    added = records.authorized(records.answered(draw(ids)))
    edited = records.modified(*(records.update(rule_id) for rule_id in draw(st.lists(ids, max_size=3))))
    unknown = records.record("AuthorizeSecurityGroupIngress", None, None)
    return draw(st.sampled_from([records.event(added), records.event(edited), records.event(unknown), records.SWEEP]))


def responder_of(ec2: FakeEC2, *, restore: bool = True) -> Responder:
    table = StateTable(FakeDynamoDB(), "state", 3600)
    topic = "arn:aws:sns:us-east-1:111111111111:n"
    return Responder(
        ec2=ec2, sns=FakeSNS(), table=table, topic_arn=topic, account="1" * 12, restore=restore, max_reverts=1000
    )


def run(responder: Responder, event: dict[str, Any], guarded: Guarded) -> None:
    """As it goes on AWS: again after an error, and the sweep comes in the end.

    What somebody else changes in the middle of a run is seen in the next one.
    """
    for delivery in [event] * 3 + [records.SWEEP] * 12:
        undisturbed = not responder.ec2.faults
        try:
            responder.respond(delivery, [guarded])
        except UnfinishedError:
            continue
        if undisturbed:
            return
    raise AssertionError("it never finished")


@settings(max_examples=300)
@given(before=sets_of_rules(), approved=sets_of_rules(), out=sets_of_rules(True), event=events(), faults=faults)
@pytest.mark.reliability(
    "security_group_revert",
    "Only here",
    fault="any rules, any event, any faults on the way",
    expected="in the end the approved rules, and a second run changes nothing",
    observed="in 300 cases that each test run makes up",
)
def test_ingress_equals_the_approved_ingress_whatever_came_before(
    before: list[Rule], approved: list[Rule], out: list[Rule], event: dict[str, Any], faults: list[Fault | None]
) -> None:
    ec2 = FakeEC2(before + out, [fault for fault in faults if not (out and fault is somebody_removes)])
    responder = responder_of(ec2)
    guarded = Guarded(records.GROUP, "Web", tuple(approved), None)

    run(responder, event, guarded)

    assert ec2.current() == set(approved)
    described = {Rule.from_api(rule): rule.get("Description") or None for rule in ec2.rules.values()}
    assert all(described[rule] == rule.description for rule in approved if rule.description)
    assert ec2.current(is_egress=True) == set(out), "egress was touched"

    changes = list(ec2.changes)
    responder.respond(event, [guarded])
    responder.respond(records.SWEEP, [guarded])
    assert ec2.changes == changes, "a second run changed something"


@settings(max_examples=150)
@given(before=sets_of_rules(), approved=sets_of_rules(), event=events())
def test_without_restore_only_unapproved_rules_go(before: list[Rule], approved: list[Rule], event: Any) -> None:
    ec2 = FakeEC2(before)
    responder = responder_of(ec2, restore=False)
    run(responder, event, Guarded(records.GROUP, "Web", tuple(approved), None))
    assert ec2.current() == set(before) & set(approved)


@settings(max_examples=150)
@given(before=sets_of_rules(), out=sets_of_rules(True), approved=sets_of_rules(), approved_out=sets_of_rules(True))
def test_egress_is_made_as_approved_when_it_is_guarded(
    before: list[Rule], out: list[Rule], approved: list[Rule], approved_out: list[Rule]
) -> None:
    ec2 = FakeEC2(before + out)
    responder = responder_of(ec2)
    responder.respond(records.SWEEP, [Guarded(records.GROUP, "Web", tuple(approved), tuple(approved_out))])
    assert (ec2.current(), ec2.current(is_egress=True)) == (set(approved), set(approved_out))
