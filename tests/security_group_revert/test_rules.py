"""Rules: equality, text and plans."""

from dataclasses import replace
from typing import Any

import pytest

from lambdas.security_group_revert.rules import Plan, Rule, plan


def rule(port: int = 443, source: str = "0.0.0.0/0", **more: Any) -> Rule:
    return Rule(more.pop("is_egress", False), "tcp", port, port, "CidrIpv4", source, **more)


HTTPS = rule()
SSH = rule(22, "203.0.113.7/32")


def from_api(**fields: Any) -> Rule:
    return Rule.from_api({"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIpv4": "10.0.0.0/8", **fields})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"CidrIpv4": "10.1.2.3/8"}, {}),
        ({"IpProtocol": "6"}, {}),
        ({"IpProtocol": "17"}, {"IpProtocol": "udp"}),
        ({"IpProtocol": "1"}, {"IpProtocol": "icmp"}),
        ({"IpProtocol": "58"}, {"IpProtocol": "icmpv6"}),
        (
            {"IpProtocol": "icmp", "FromPort": None, "ToPort": None},
            {"IpProtocol": "icmp", "FromPort": -1, "ToPort": -1},
        ),
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
def test_rules_that_ec2_treats_as_duplicates_are_equal(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert from_api(**one) == from_api(**other)


@pytest.mark.parametrize(
    "fields",
    [{"FromPort": 21}, {"IpProtocol": "udp"}, {"CidrIpv4": "10.0.0.0/9"}, {"IsEgress": True}, {"IpProtocol": "-1"}],
)
def test_rules_with_different_values_are_not_equal(fields: dict[str, Any]) -> None:
    assert from_api(**fields) != from_api()


def test_rule_without_source_raises_error() -> None:
    with pytest.raises(ValueError, match="without a source"):
        from_api(CidrIpv4=None)


def test_plan_for_approved_rules_is_empty() -> None:
    assert plan([HTTPS], [HTTPS], restore=True) == Plan()


def test_plan_revokes_unapproved_and_restores_missing_rules() -> None:
    assert plan([SSH], [HTTPS], restore=True) == Plan(revokes=(SSH,), restores=(HTTPS,))


@pytest.mark.reliability(
    "security_group_revert",
    "Hostile input",
    fault="the approved range, narrowed or split",
    expected="not approved",
    observed="revoked",
)
def test_plan_revokes_narrower_and_split_ranges() -> None:
    halves = [rule(443, "0.0.0.0/1"), rule(443, "128.0.0.0/1")]
    assert plan([HTTPS, *halves], [HTTPS], restore=True) == Plan(revokes=tuple(halves))


@pytest.mark.parametrize("edited", [rule(22), rule(443, "10.0.0.0/8")], ids=["ports", "source"])
def test_plan_modifies_edited_rule(edited: Rule) -> None:
    assert plan([edited], [HTTPS], restore=True) == Plan(modifications=((edited, HTTPS),))


def test_plan_does_not_modify_rule_of_other_source_type() -> None:
    ipv6 = Rule(False, "tcp", 443, 443, "CidrIpv6", "::/0")
    assert plan([ipv6], [HTTPS], restore=True) == Plan(revokes=(ipv6,), restores=(HTTPS,))


def test_plan_uses_an_edited_rule_once() -> None:
    edited = rule(22)
    changes = plan([edited], [HTTPS, rule(80)], restore=True)
    assert (len(changes.modifications), len(changes.restores), changes.revokes) == (1, 1, ())


def test_plan_updates_only_approved_descriptions() -> None:
    described = rule(description="ours")
    assert plan([rule(description="theirs")], [HTTPS], restore=True) == Plan()
    (pair,) = plan([rule(description="theirs")], [described], restore=True).descriptions
    assert (pair[0].description, pair[1].description) == ("theirs", "ours")


def test_plan_modify_keeps_unapproved_description() -> None:
    (pair,) = plan([rule(22, description="web")], [HTTPS], restore=True).modifications
    assert pair[1].description == "web"


def test_plan_does_not_modify_egress_into_ingress_rule() -> None:
    """ModifySecurityGroupRules cannot change a rule's direction."""
    outgoing = rule(is_egress=True)
    assert plan([outgoing], [HTTPS], restore=True) == Plan(revokes=(outgoing,), restores=(HTTPS,))
    assert plan([HTTPS], [outgoing], restore=True) == Plan(revokes=(HTTPS,), restores=(outgoing,))


def test_plan_without_restore_modifies_no_rule() -> None:
    assert plan([rule(22), SSH], [HTTPS], restore=False) == Plan(revokes=(rule(22), SSH), restores=(HTTPS,))
    (pair,) = plan([rule(description="theirs")], [rule(description="ours")], restore=False).descriptions
    assert (pair[0].description, pair[1].description) == ("theirs", "ours")


def test_plan_revokes_all_equal_rules() -> None:
    """The same group ID with and without an account, as EC2 returns it for a peered VPC."""
    peer = Rule(False, "tcp", 22, 22, "ReferencedGroupId", "sg-12345678")
    pair = [
        replace(peer, account=account, rule_id=rule_id) for account, rule_id in ((None, "sgr-1"), ("2" * 12, "sgr-2"))
    ]
    assert pair[0] == pair[1]
    assert [r.rule_id for r in plan(pair, [HTTPS], restore=True).revokes] == ["sgr-1", "sgr-2"]


def test_plan_ignores_optional_rule() -> None:
    assert plan([HTTPS, SSH], [HTTPS], [SSH], restore=True) == plan([HTTPS], [HTTPS], [SSH], restore=True) == Plan()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (SSH, "inbound TCP 22 from 203.0.113.7/32"),
        (rule(22, is_egress=True), "outbound TCP 22 to 0.0.0.0/0"),
        (Rule(False, "-1", -1, -1, "PrefixListId", "pl-1"), "inbound all traffic from pl-1"),
        (Rule(False, "tcp", 8000, 8080, "CidrIpv4", "10.0.0.0/8"), "inbound TCP 8000-8080 from 10.0.0.0/8"),
        (Rule(False, "tcp", 0, 65535, "CidrIpv4", "10.0.0.0/8"), "inbound TCP all ports from 10.0.0.0/8"),
        (Rule(False, "icmp", 8, 0, "CidrIpv4", "10.0.0.0/8"), "inbound ICMP type 8 code 0 from 10.0.0.0/8"),
        (Rule(False, "icmp", -1, -1, "CidrIpv4", "10.0.0.0/8"), "inbound ICMP from 10.0.0.0/8"),
        (Rule(False, "icmp", 3, -1, "CidrIpv4", "10.0.0.0/8"), "inbound ICMP type 3 code -1 from 10.0.0.0/8"),
        (Rule(False, "50", -1, -1, "CidrIpv4", "10.0.0.0/8"), "inbound protocol 50 from 10.0.0.0/8"),
        (rule(description="web"), 'inbound TCP 443 from 0.0.0.0/0 "web"'),
    ],
)
def test_rule_as_text_is_readable(value: Rule, text: str) -> None:
    assert str(value) == text


def test_permission_of_peer_group_contains_account() -> None:
    peer = from_api(CidrIpv4=None, ReferencedGroupId="111111111111/sg-12345678")
    assert peer.as_permission()["UserIdGroupPairs"] == [{"GroupId": "sg-12345678", "UserId": "111111111111"}]


def test_permission_has_ports_only_if_protocol_has() -> None:
    everything = from_api(IpProtocol="-1", FromPort=None, ToPort=None)
    assert everything.as_permission() == {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
    assert from_api().as_permission()["FromPort"] == 22
