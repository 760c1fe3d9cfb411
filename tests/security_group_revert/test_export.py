"""The command that writes the rules of existing groups as settings. EC2 is a stub; its responses have AWS's form."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambdas.security_group_revert.rules import Rule, plan
from settings.export_security_groups import main
from settings.security_group_revert import MAX_GROUPS

from ..conftest import ROOT
from ..test_settings import read
from .fake_ec2 import MODEL, ec2_error, validate

OWNER, PEER = "111111111111", "222222222222"
GROUP = "sg-0123456789abcdef0"
WEB = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "CidrIpv4": "0.0.0.0/0", "Description": "web"}
SSH = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIpv4": "10.0.0.0/8", "Description": "bastion"}
EVERY_KIND = [
    WEB,
    SSH,
    {"IpProtocol": "-1", "FromPort": -1, "ToPort": -1, "CidrIpv6": "2001:db8::/32"},
    {"IpProtocol": "icmp", "FromPort": 8, "ToPort": -1, "CidrIpv4": "10.0.0.0/8"},
    {"IpProtocol": "icmpv6", "FromPort": -1, "ToPort": -1, "CidrIpv6": "fd00::/8"},
    {"IpProtocol": "50", "FromPort": -1, "ToPort": -1, "CidrIpv4": "10.0.0.0/8"},
    {"IpProtocol": "udp", "FromPort": 0, "ToPort": 65535, "PrefixListId": "pl-63a5400a"},
    SSH | {"CidrIpv4": None, "ReferencedGroupInfo": {"GroupId": GROUP, "UserId": OWNER}},
    SSH | {"CidrIpv4": None, "ReferencedGroupInfo": {"GroupId": "sg-0fedcba9876543210", "UserId": PEER}},
]


def group(group_id: str = GROUP, **more: Any) -> dict[str, Any]:
    return {"GroupId": group_id, "GroupName": "web", "OwnerId": OWNER, "VpcId": "vpc-0123456789abcdef0", **more}


class Account:
    """EC2 with security groups, each of which has the same rules."""

    def __init__(self, rules: list[dict[str, Any]], *groups: dict[str, Any], error: ClientError | None = None) -> None:
        self.groups, self.rules, self.error = groups or (group(),), rules, error
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def get_paginator(self, name: str) -> Any:
        operation = "".join(word.capitalize() for word in name.split("_"))

        class Paginator:
            @staticmethod
            def paginate(**parameters: Any) -> Iterator[dict[str, Any]]:
                size = parameters.pop("PaginationConfig", {}).get("PageSize")
                request = parameters | ({"MaxResults": size} if size else {})
                validate(request, MODEL.operation_model(operation))
                self.calls.append((operation, request))
                yield from self.pages(operation, request)

        return Paginator

    def pages(self, operation: str, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if self.error:
            raise self.error
        if operation == "DescribeSecurityGroups":
            assert "Filters" in request or "MaxResults" not in request
            yield {"SecurityGroups": list(self.groups[:1])}
            yield {"SecurityGroups": list(self.groups[1:])}
            return
        ((name, ids),) = [(f["Name"], f["Values"]) for f in request["Filters"]]
        assert (name, len(ids) <= 200) == ("group-id", True)
        for group_id in ids:
            yield {"SecurityGroupRules": [self.rule(group_id, number) for number in range(len(self.rules))]}

    def rule(self, group_id: str, number: int) -> dict[str, Any]:
        values = {"IsEgress": False, "GroupId": group_id, "GroupOwnerId": OWNER, **self.rules[number]}
        return {k: v for k, v in values.items() if v is not None} | {"SecurityGroupRuleId": f"sgr-{number:017x}"}


def export(account: Account, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any, str]:
    status = main(arguments or (GROUP,), account)
    output, warnings = capsys.readouterr()
    return status, json.loads(output) if output else None, warnings


def test_exported_rules_are_accepted_and_need_no_change(capsys: pytest.CaptureFixture[str]) -> None:
    rules = [*EVERY_KIND, *({"IsEgress": True, **rule} for rule in EVERY_KIND)]
    account = Account(rules)
    status, groups, _ = export(account, capsys, GROUP, "--egress")
    assert status == 0
    (setting,) = read(groups=groups, guard_egress="true", sample_group="false").groups
    approved = [
        Rule.from_api(rule.as_api(), is_egress=is_egress)
        for is_egress, direction in ((False, setting.ingress), (True, setting.egress))
        for rule in direction
    ]
    existing = [Rule.from_describe(account.rule(GROUP, number)) for number in range(len(rules))]
    changes = plan(existing, approved, restore=True)
    assert not any((changes.revokes, changes.modifications, changes.descriptions, changes.restores)), changes
    assert len(approved) == len(rules)


def test_egress_is_written_only_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    status, groups, _ = export(Account([WEB, {**WEB, "IsEgress": True}]), capsys)
    assert status == 0
    assert "egress" not in groups[0]
    assert groups[0]["ingress"] == [
        {"ip_protocol": "tcp", "from_port": 443, "to_port": 443, "cidr_ipv4": "0.0.0.0/0", "description": "web"}
    ]


@pytest.mark.parametrize(
    ("rule", "warning"),
    [
        (WEB, 'open to the internet: inbound TCP 443 from 0.0.0.0/0 "web"'),
        (WEB | {"CidrIpv4": "128.0.0.0/1"}, "open to the internet"),
        (WEB | {"CidrIpv4": None, "CidrIpv6": "2000::/3"}, "open to the internet"),
        (SSH | {"Description": None}, "1 of 1 rules have no description"),
    ],
)
def test_rule_to_review_causes_a_warning(
    rule: dict[str, Any], warning: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, warnings = export(Account([rule]), capsys)
    assert status == 0
    assert f"{GROUP} (web): {warning}" in warnings


@pytest.mark.parametrize("source", [{}, {"CidrIpv4": None, "CidrIpv6": "fc00::/7"}, {"CidrIpv4": "172.16.0.0/12"}])
def test_described_private_rule_causes_no_warning(source: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert export(Account([SSH | source]), capsys)[2] == ""


def test_group_of_a_kubernetes_controller_causes_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    tags = [{"Key": "elbv2.k8s.aws/cluster", "Value": "prod"}, {"Key": "Name", "Value": "load\nbalancer" + "x" * 99}]
    status, groups, warnings = export(Account([SSH], group(Tags=tags)), capsys)
    assert status == 0
    assert "a controller may change its rules, which would be reverted (tag elbv2.k8s.aws/cluster)" in warnings
    assert groups[0]["name"].startswith("load?balancer")
    assert len(groups[0]["name"]) == 60


@pytest.mark.parametrize(
    "rule",
    [
        {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "NewSourceKind": "x"},
        SSH | {"Description": "Büro"},
        {"IpProtocol": "icmp", "FromPort": -1, "ToPort": -1, "CidrIpv6": "fd00::/8"},
    ],
)
def test_rule_that_settings_cannot_express_is_left_out(
    rule: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    status, groups, warnings = export(Account([SSH, rule]), capsys)
    assert status == 1
    assert len(groups[0]["ingress"]) == 1
    assert "left out sgr-00000000000000001" in warnings
    assert "With mode=revert it would be revoked" in warnings
    assert read(groups=groups, sample_group="false")


def test_rules_and_groups_above_the_maximum_are_reported(capsys: pytest.CaptureFixture[str]) -> None:
    many = [SSH | {"CidrIpv4": f"10.{number}.0.0/16"} for number in range(61)]
    status, groups, warnings = export(Account(many), capsys)
    assert status == 1
    assert "61 ingress rules for cidr_ipv4" in warnings
    assert "security_group_revert:rules_per_group=60" in warnings
    assert read(groups=groups, rules_per_group=61, sample_group="false")
    account = Account([SSH], *(group(f"sg-{number:08x}") for number in range(MAX_GROUPS + 1)))
    status, groups, warnings = export(account, capsys, "--vpc-id", "vpc-0123456789abcdef0")
    assert (status, len(groups)) == (1, MAX_GROUPS + 1)
    assert f"at most {MAX_GROUPS} items" in warnings


def test_groups_are_selected_by_vpc_and_tag(capsys: pytest.CaptureFixture[str]) -> None:
    account = Account([SSH], group("sg-00000002"), group("sg-00000001"))
    _, groups, _ = export(account, capsys, "--vpc-id", "vpc-0123456789abcdef0", "--tag", "tier=web=1")
    assert [g["group_id"] for g in groups] == ["sg-00000001", "sg-00000002"]
    assert account.calls[0][1]["Filters"] == [
        {"Name": "vpc-id", "Values": ["vpc-0123456789abcdef0"]},
        {"Name": "tag:tier", "Values": ["web=1"]},
    ]


def test_unreadable_groups_are_reported(capsys: pytest.CaptureFixture[str]) -> None:
    status, groups, errors = export(Account([], error=ec2_error("InvalidGroup.NotFound")), capsys)
    assert (status, groups) == (2, None)
    assert "InvalidGroup.NotFound" in errors
    empty = Account([])
    empty.groups = ()
    assert export(empty, capsys, "--tag", "tier=web")[::2] == (2, "no security groups match\n")


@pytest.mark.parametrize("arguments", [[], [GROUP, "--vpc-id", "vpc-1"], ["--tag", "=web"], ["--tag", "web"]])
def test_invalid_arguments_are_rejected(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main(arguments, Account([]))
    assert error.value.code == 2
    assert "usage: python -m settings.export_security_groups" in capsys.readouterr().err


def test_command_has_help() -> None:
    command = [sys.executable, "-m", "settings.export_security_groups", "--help"]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    assert "Exit status: 0" in output
