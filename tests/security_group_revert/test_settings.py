"""Facts about the settings of security_group_revert."""

from typing import Any

import pytest

from ..test_settings import RULE, SECTION, mistakes, read


def with_rule(**fields: Any) -> Any:
    group = {"group_id": "sg-0123456789abcdef0", "ingress": [{**RULE, **fields}]}
    return read(groups=[group]).groups[0].ingress[0]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"cidr_ipv4": "10.0.0.0/33"}, "CIDR notation"),
        ({"cidr_ipv4": "2001:db8::/32"}, "IPv6 ranges in cidr_ipv6"),
        ({"cidr_ipv4": None, "cidr_ipv6": "10.0.0.0/8"}, "IPv4 ranges in cidr_ipv4"),
        ({"cidr_ipv4": None}, "exactly one of"),
        ({"prefix_list_id": "pl-63a5400a"}, "exactly one of"),
        ({"from_port": None}, "which tcp needs"),
        ({"from_port": 23}, "from_port <= to_port"),
        ({"ip_protocol": "sctp"}, "tcp, udp, icmp"),
    ],
)
def test_wrong_rule_is_refused_with_what_is_accepted(fields: dict[str, Any], said: str) -> None:
    rule = {name: value for name, value in {**RULE, **fields}.items() if value is not None}
    text = mistakes({f"{SECTION}:groups": [{"group_id": "sg-0123456789abcdef0", "ingress": [rule]}]})
    assert said in text, text


def test_rule_is_held_as_ec2_holds_it() -> None:
    assert with_rule(cidr_ipv4="10.1.2.3/8").cidr_ipv4 == "10.0.0.0/8"
    assert with_rule(ip_protocol=6).ip_protocol == "tcp"
    assert with_rule(ip_protocol="ALL").ip_protocol == "-1"


def test_same_rule_or_group_twice_is_refused() -> None:
    group = {"group_id": "sg-0123456789abcdef0", "ingress": [RULE, {**RULE, "description": "again"}]}
    assert "each ingress rule once" in mistakes({f"{SECTION}:groups": [group]})
    group = {"group_id": "sg-0123456789abcdef0"}
    assert "each group_id once" in mistakes({f"{SECTION}:groups": [group, group]})


def test_nothing_to_guard_is_refused() -> None:
    assert "at least one group" in mistakes({f"{SECTION}:sample_group": "false"})


@pytest.mark.parametrize(("name", "values"), [("max_reverts", (0, 1001)), ("revert_window_hours", (0, 169))])
def test_limits_of_reverts_are_within_their_bounds(name: str, values: tuple[int, int]) -> None:
    for value in values:
        text = mistakes({f"{SECTION}:{name}": value})
        assert f"{SECTION}:{name}" in text
        assert str(value) in text
