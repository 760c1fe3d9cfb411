"""Facts about rules: when two are the same, and what a plan does."""

from dataclasses import replace
from typing import Any

import pytest

from lambdas.security_group_revert.rules import Plan, Rule, plan


def rule(port: int = 443, source: str = "0.0.0.0/0", **more: Any) -> Rule:
    return Rule(more.pop("is_egress", False), "tcp", port, port, "CidrIpv4", source, **more)


HTTPS = rule()
SSH = rule(22, "203.0.113.7/32")


def make(**fields: Any) -> Rule:
    return Rule.from_api({"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIpv4": "10.0.0.0/8", **fields})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"CidrIpv4": "10.1.2.3/8"}, {}),
        ({"IpProtocol": "6"}, {}),
        ({"IpProtocol": "58"}, {"IpProtocol": "icmpv6"}),
        ({"IpProtocol": "TCP"}, {}),
        ({"Description": "a"}, {"Description": "b"}),
        ({"SecurityGroupRuleId": "sgr-1"}, {"SecurityGroupRuleId": "sgr-2"}),
        ({"IpProtocol": "-1", "FromPort": 0, "ToPort": 65535}, {"IpProtocol": "-1", "FromPort": None, "ToPort": None}),
        ({"IpProtocol": "50", "FromPort": 0, "ToPort": 0}, {"IpProtocol": "50", "FromPort": -1, "ToPort": -1}),
        (
            {"CidrIpv4": None, "CidrIpv6": "2001:DB8:0::/32"},
            {"CidrIpv4": None, "CidrIpv6": "2001:db8::/32"},
        ),
        (
            {"CidrIpv4": None, "ReferencedGroupId": "111111111111/sg-12345678"},
            {"CidrIpv4": None, "ReferencedGroupInfo": {"GroupId": "sg-12345678", "UserId": "111111111111"}},
        ),
    ],
)
def test_rules_that_ec2_holds_for_the_same_are_equal(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert make(**one) == make(**other)


@pytest.mark.parametrize(
    "fields",
    [{"FromPort": 21}, {"IpProtocol": "udp"}, {"CidrIpv4": "10.0.0.0/9"}, {"IsEgress": True}, {"IpProtocol": "-1"}],
)
def test_rules_that_differ_are_not_equal(fields: dict[str, Any]) -> None:
    assert make(**fields) != make()


def test_rule_without_source_is_refused() -> None:
    with pytest.raises(ValueError, match="without a source"):
        make(CidrIpv4=None)


def test_nothing_is_planned_for_approved_rules() -> None:
    assert plan([HTTPS], [HTTPS], restore=True) == Plan()


def test_unapproved_rule_is_revoked_and_missing_one_restored() -> None:
    assert plan([SSH], [HTTPS], restore=True) == Plan(revokes=(SSH,), restores=(HTTPS,))


@pytest.mark.reliability(
    "security_group_revert",
    "Hostile input",
    fault="the approved range, narrower or in two halves",
    expected="not approved",
    observed="revoked",
)
def test_narrower_and_split_ranges_are_not_approved() -> None:
    halves = [rule(443, "0.0.0.0/1"), rule(443, "128.0.0.0/1")]
    assert plan([HTTPS, *halves], [HTTPS], restore=True) == Plan(revokes=tuple(halves))


@pytest.mark.parametrize("edited", [rule(22), rule(443, "10.0.0.0/8")], ids=["ports", "source"])
def test_edited_rule_is_edited_back(edited: Rule) -> None:
    assert plan([edited], [HTTPS], restore=True) == Plan(edits=((edited, HTTPS),))


def test_rule_of_another_kind_of_source_is_no_edit() -> None:
    ipv6 = Rule(False, "tcp", 443, 443, "CidrIpv6", "::/0")
    assert plan([ipv6], [HTTPS], restore=True) == Plan(revokes=(ipv6,), restores=(HTTPS,))


def test_one_rule_is_the_edit_of_one_approved_rule_only() -> None:
    edited = rule(22)
    todo = plan([edited], [HTTPS, rule(80)], restore=True)
    assert (len(todo.edits), len(todo.restores), todo.revokes) == (1, 1, ())


def test_description_counts_only_when_it_is_part_of_what_was_approved() -> None:
    described = rule(description="ours")
    assert plan([rule(description="theirs")], [HTTPS], restore=True) == Plan()
    (pair,) = plan([rule(description="theirs")], [described], restore=True).descriptions
    assert (pair[0].description, pair[1].description) == ("theirs", "ours")


def test_edit_back_keeps_a_description_that_was_not_part_of_the_approval() -> None:
    (pair,) = plan([rule(22, description="web")], [HTTPS], restore=True).edits
    assert pair[1].description == "web"


def test_plan_unapproved_egress_rule_is_not_edited_into_missing_ingress_rule() -> None:
    """ModifySecurityGroupRules cannot change a rule's direction."""
    outgoing = rule(is_egress=True)
    assert plan([outgoing], [HTTPS], restore=True) == Plan(revokes=(outgoing,), restores=(HTTPS,))
    assert plan([HTTPS], [outgoing], restore=True) == Plan(revokes=(HTTPS,), restores=(outgoing,))


def test_without_restore_unapproved_rules_are_not_edited_and_what_is_missing_is_in_the_plan() -> None:
    assert plan([rule(22), SSH], [HTTPS], restore=False) == Plan(revokes=(rule(22), SSH), restores=(HTTPS,))
    (pair,) = plan([rule(description="theirs")], [rule(description="ours")], restore=False).descriptions
    assert (pair[0].description, pair[1].description) == ("theirs", "ours")


def test_rules_that_compare_equal_are_all_revoked() -> None:
    """The same group's id with and without an account, as peering shows it."""
    peer = Rule(False, "tcp", 22, 22, "ReferencedGroupId", "sg-12345678")
    pair = [
        replace(peer, account=account, rule_id=rule_id) for account, rule_id in ((None, "sgr-1"), ("2" * 12, "sgr-2"))
    ]
    assert pair[0] == pair[1]
    assert [r.rule_id for r in plan(pair, [HTTPS], restore=True).revokes] == ["sgr-1", "sgr-2"]


def test_tolerated_rule_is_neither_revoked_nor_restored() -> None:
    assert plan([HTTPS, SSH], [HTTPS], [SSH], restore=True) == plan([HTTPS], [HTTPS], [SSH], restore=True) == Plan()


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (SSH, "inbound TCP 22 from 203.0.113.7/32"),
        (rule(22, is_egress=True), "outbound TCP 22 to 0.0.0.0/0"),
        (Rule(False, "-1", -1, -1, "PrefixListId", "pl-1"), "inbound all traffic from pl-1"),
        (Rule(False, "tcp", 8000, 8080, "CidrIpv4", "10.0.0.0/8"), "inbound TCP 8000-8080 from 10.0.0.0/8"),
        (Rule(False, "tcp", 0, 65535, "CidrIpv4", "10.0.0.0/8"), "inbound TCP all ports from 10.0.0.0/8"),
        (Rule(False, "icmp", 8, 0, "CidrIpv4", "10.0.0.0/8"), "inbound ICMP type 8 code 0 from 10.0.0.0/8"),
        (Rule(False, "icmp", -1, -1, "CidrIpv4", "10.0.0.0/8"), "inbound ICMP from 10.0.0.0/8"),
        (Rule(False, "50", -1, -1, "CidrIpv4", "10.0.0.0/8"), "inbound protocol 50 from 10.0.0.0/8"),
        (rule(description="web"), 'inbound TCP 443 from 0.0.0.0/0 "web"'),
    ],
)
def test_rule_reads_well(shown: Rule, text: str) -> None:
    assert str(shown) == text


def test_restored_reference_to_another_accounts_group_names_the_account() -> None:
    peer = make(CidrIpv4=None, ReferencedGroupId="111111111111/sg-12345678")
    assert peer.as_permission()["UserIdGroupPairs"] == [{"GroupId": "sg-12345678", "UserId": "111111111111"}]


def test_permission_has_ports_only_where_the_protocol_has_them() -> None:
    everything = make(IpProtocol="-1", FromPort=None, ToPort=None)
    assert everything.as_permission() == {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
    assert make().as_permission()["FromPort"] == 22
