"""Settings of security_group_revert: accepted values and error messages."""

from typing import Any

import pytest
from hypothesis import given, strategies as st

from settings import SettingsError
from settings.security_group_revert import ApprovedRule

from ..test_settings import RULE, SECTION, error_message, read

GROUP = "sg-0123456789abcdef0"


def with_rule(**fields: Any) -> Any:
    rule = {name: value for name, value in {**RULE, **fields}.items() if value is not None}
    return read(groups=[{"group_id": GROUP, "ingress": [rule]}]).groups[0].ingress[0]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"cidr_ipv4": "10.0.0.0/33"}, "an IPv4 range in CIDR notation"),
        ({"cidr_ipv4": "10.0.0.0"}, "an IPv4 range in CIDR notation"),
        ({"cidr_ipv4": 167772160}, "an IPv4 range in CIDR notation"),
        ({"cidr_ipv4": "10.0.0.0/255.0.0.0"}, "an IPv4 range in CIDR notation"),
        (
            {"cidr_ipv4": "2001:db8::/32"},
            'cidr_ipv4: invalid value "2001:db8::/32" (valid: an IPv4 range in CIDR notation, such as 203.0.113.0/24',
        ),
        (
            {"cidr_ipv6": "203.0.113.0/24"},
            'cidr_ipv6: invalid value "203.0.113.0/24" (valid: an IPv6 range in CIDR notation, such as 2001:db8::/32',
        ),
        ({"cidr_ipv4": None, "cidr_ipv6": "10.0.0.0/8"}, 'cidr_ipv6: invalid value "10.0.0.0/8" (valid: an IPv6 range'),
        (
            {"cidr_ipv4": None},
            "needs exactly one of cidr_ipv4, cidr_ipv6, prefix_list_id, referenced_group_id; given none",
        ),
        ({"prefix_list_id": "pl-63a5400a"}, "given cidr_ipv4, prefix_list_id"),
        ({"cidr_ipv4": None, "prefix_list_id": "pl-63a5400ab"}, "the ID of a prefix list"),
        ({"from_port": None}, "with from_port=None and to_port=22: needs 0 <= from_port"),
        ({"from_port": 23}, "with from_port=23 and to_port=22: needs 0 <= from_port <= to_port <= 65535"),
        ({"from_port": -1, "to_port": -1}, "needs 0 <= from_port"),
        ({"from_port": 65536}, "from_port: invalid value 65536 (valid: a whole number from -1 to 65535"),
        ({"ip_protocol": "sctp"}, "tcp, udp, icmp"),
        ({"ip_protocol": "256"}, "tcp, udp, icmp"),
        ({"ip_protocol": "06"}, "tcp, udp, icmp"),
        ({"ip_protocol": True}, "tcp, udp, icmp"),
        ({"ip_protocol": "-1"}, "ip_protocol=-1 with from_port=22 and to_port=22: rules for this protocol"),
        ({"ip_protocol": "47"}, "ip_protocol=47 with from_port=22 and to_port=22: rules for this protocol"),
        ({"ip_protocol": "icmp", "from_port": -1, "to_port": 0}, "needs to_port=-1 (all codes)"),
        ({"ip_protocol": "icmp", "from_port": None, "to_port": 0}, "needs to_port=-1 (all codes)"),
        ({"ip_protocol": "icmp", "from_port": 256, "to_port": 0}, "an ICMP type or code is from 0 to 255"),
        ({"ip_protocol": "icmp", "from_port": 8, "to_port": 256}, "an ICMP type or code is from 0 to 255"),
        (
            {"ip_protocol": "icmpv6", "from_port": -1, "to_port": -1},
            "ip_protocol=icmpv6 needs cidr_ipv6, not cidr_ipv4",
        ),
        (
            {"ip_protocol": 1, "from_port": -1, "to_port": -1, "cidr_ipv4": None, "cidr_ipv6": "::/0"},
            "ip_protocol=icmp needs cidr_ipv4, not cidr_ipv6",
        ),
        ({"description": "VPN of the ops' team"}, "description: invalid value"),
        ({"description": "Büro"}, "as EC2 accepts"),
        ({"description": "app -> db"}, "as EC2 accepts"),
        ({"description": "50%"}, "as EC2 accepts"),
        ({"description": ""}, "as EC2 accepts"),
        ({"description": "a" * 256}, "1 to 255"),
        ({"cidr": "10.0.0.0/8"}, "ingress[0].cidr: unknown field (valid: ip_protocol, from_port, to_port, cidr_ipv4"),
    ],
)
def test_rule_that_ec2_rejects_is_rejected(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as error:
        with_rule(**fields)
    assert message in str(error.value), error.value


@pytest.mark.parametrize(
    "fields",
    [
        {"description": "a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*"},
        {"description": "a" * 255},
        {"ip_protocol": "icmp", "from_port": 8, "to_port": -1},
        {"ip_protocol": "icmp", "from_port": -1, "to_port": -1},
        {"ip_protocol": "icmp", "from_port": None, "to_port": None},
        {"ip_protocol": "icmpv6", "from_port": 128, "to_port": 0, "cidr_ipv4": None, "cidr_ipv6": "::/0"},
        {"ip_protocol": "-1", "from_port": -1, "to_port": -1},
        {"ip_protocol": "50", "from_port": None, "to_port": None},
        {"from_port": 0, "to_port": 65535},
        {"cidr_ipv4": None, "referenced_group_id": f"111111111111/{GROUP}"},
        {"ip_protocol": "icmp", "from_port": 8, "to_port": 0, "cidr_ipv4": None, "prefix_list_id": "pl-63a5400a"},
    ],
)
def test_rule_that_ec2_accepts_is_accepted(fields: dict[str, Any]) -> None:
    assert with_rule(**fields)


NUMBERS = st.none() | st.sampled_from([-2, -1, 0, 1, 8, 22, 255, 256, 65535, 65536])
RULES = st.fixed_dictionaries(
    {
        "ip_protocol": st.sampled_from(["tcp", "udp", "icmp", "icmpv6", "-1", "47", "1", "58", "6", 17]),
        "from_port": NUMBERS,
        "to_port": NUMBERS,
    },
    optional={
        "cidr_ipv4": st.sampled_from(["10.1.2.3/8", "0.0.0.0/0"]),
        "cidr_ipv6": st.sampled_from(["::/0", "2001:DB8::1/32"]),
        "prefix_list_id": st.just("pl-63a5400a"),
    },
)


@given(RULES)
def test_accepted_rule_is_valid_for_the_ec2_api(fields: dict[str, Any]) -> None:
    """The requirements of API_SecurityGroupRuleRequest and API_IpPermission."""
    try:
        request = ApprovedRule(**fields).as_api()
    except ValueError:
        return
    assert len(request.keys() & {"CidrIpv4", "CidrIpv6", "PrefixListId", "ReferencedGroupId"}) == 1
    first, last = request.get("FromPort", -1), request.get("ToPort", -1)
    match request["IpProtocol"]:
        case "tcp" | "udp":
            assert 0 <= first <= last <= 65535
        case "icmp" | "icmpv6":
            assert -1 <= first <= 255
            assert -1 <= last <= 255
            assert first != -1 or last == -1
            assert ("CidrIpv6" if request["IpProtocol"] == "icmp" else "CidrIpv4") not in request
        case _:
            assert (first, last) == (-1, -1)


def test_rule_is_normalized_like_ec2() -> None:
    assert with_rule(cidr_ipv4="10.1.2.3/8").cidr_ipv4 == "10.0.0.0/8"
    assert with_rule(cidr_ipv4=None, cidr_ipv6="2001:DB8:0::1/32").cidr_ipv6 == "2001:db8::/32"
    assert with_rule(ip_protocol=6).ip_protocol == "tcp"
    assert with_rule(ip_protocol="ALL", from_port=None, to_port=None).ip_protocol == "-1"


def test_repeated_rule_or_group_is_rejected() -> None:
    group = {"group_id": GROUP, "ingress": [RULE, {**RULE, "description": "again"}]}
    assert "groups[0]: ingress[1] repeats ingress[0]" in error_message({f"{SECTION}:groups": [group]})
    group = {"group_id": GROUP, "ingress": [RULE, {**RULE, "to_port": 23}] * 2}
    assert "groups[0]: ingress[2] repeats ingress[0]" in error_message({f"{SECTION}:groups": [group]})
    ping = {"ip_protocol": "icmp", "cidr_ipv4": "10.0.0.0/8"}
    group = {"group_id": GROUP, "ingress": [ping, {**ping, "from_port": -1, "to_port": -1}]}
    assert "groups[0]: ingress[1] repeats ingress[0]" in error_message({f"{SECTION}:groups": [group]})
    group = {"group_id": GROUP}
    assert f"has {GROUP} more than once" in error_message({f"{SECTION}:groups": [group, group]})


def rules(count: int, **source: str) -> list[dict[str, Any]]:
    return [{"ip_protocol": "tcp", "from_port": port, "to_port": port, **source} for port in range(count)]


def test_rules_above_the_ec2_quota_are_rejected() -> None:
    """The quota applies to IPv4 and IPv6 separately; a rule with another source counts for both."""
    within = [*rules(50, cidr_ipv4="10.0.0.0/8"), *rules(50, cidr_ipv6="::/0"), *rules(10, referenced_group_id=GROUP)]
    assert read(groups=[{"group_id": GROUP, "ingress": within}])
    over = [{"group_id": GROUP, "ingress": [*within, {**RULE, "cidr_ipv4": "192.0.2.0/24"}]}]
    message = error_message({f"{SECTION}:groups": over})
    assert f"has 61 ingress rules for cidr_ipv4 in {GROUP}; EC2 accepts {SECTION}:rules_per_group=60" in message
    assert "cidr_ipv6" not in message
    assert read(groups=over, rules_per_group=100)


def test_egress_rules_without_egress_are_rejected() -> None:
    group = {"group_id": GROUP, "egress": [RULE]}
    message = error_message({f"{SECTION}:groups": [group]})
    assert f"has egress rules for {GROUP}, which have no effect with {SECTION}:guard_egress=false" in message
    assert read(groups=[group], guard_egress="true")


def test_settings_without_groups_are_rejected() -> None:
    assert "sample_group=false needs at least one group" in error_message({f"{SECTION}:sample_group": "false"})


@pytest.mark.parametrize(("name", "values"), [("max_reverts", (0, 1001)), ("revert_window_hours", (0, 169))])
def test_revert_limits_out_of_bounds_are_rejected(name: str, values: tuple[int, int]) -> None:
    for value in values:
        text = error_message({f"{SECTION}:{name}": value})
        assert f"{SECTION}:{name}" in text
        assert str(value) in text


@pytest.mark.parametrize(
    "arn",
    [
        "*",
        "arn:aws:iam::111111111111:root",
        "arn:aws:iam::111111111111:role/*",
        "arn:aws:iam::*:role/BreakGlass",
        "arn:aws:iam::111111111111:group/ops",
        "arn:aws:sts::111111111111:assumed-role/BreakGlass/session",
        "BreakGlass",
    ],
)
def test_break_glass_principal_that_is_no_role_or_user_is_rejected(arn: str) -> None:
    message = error_message({f"{SECTION}:break_glass_principals": [arn]})
    assert f"{SECTION}:break_glass_principals[0]: invalid value" in message
    assert "the ARN of an IAM role or user" in message


def test_break_glass_principal_with_path_is_accepted() -> None:
    path = "aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_BreakGlass_0123456789abcdef"
    arns = [f"arn:aws:iam::111111111111:role/{path}", "arn:aws-us-gov:iam::111111111111:user/alice"]
    assert read(break_glass_principals=arns).break_glass_minutes == 60


def test_break_glass_minutes_are_limited_and_need_principals() -> None:
    assert "from 1 to 720" in error_message({f"{SECTION}:break_glass_minutes": 721})
    message = error_message({f"{SECTION}:break_glass_minutes": 30})
    assert f"{SECTION}:break_glass_minutes=30 has no effect without {SECTION}:break_glass_principals=[]" in message


def test_total_of_rules_counts_both_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("settings.security_group_revert.MAX_TOTAL_RULES", 4)
    tcp = rules(3, cidr_ipv4="10.0.0.0/8")
    assert read(groups=[{"group_id": GROUP, "ingress": tcp[:2], "egress": tcp[:2]}], guard_egress="true")
    groups = [{"group_id": GROUP, "ingress": tcp[:2], "egress": tcp}]
    message = error_message({f"{SECTION}:groups": groups, f"{SECTION}:guard_egress": "true"})
    assert "has 5 rules (valid: at most 4 rules in all groups)" in message
