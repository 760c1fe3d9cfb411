"""What `settings.export_security_groups` writes, checked against EC2 of the sandbox."""

import json
from typing import TYPE_CHECKING

import pytest

from lambdas.security_group_revert.approved import guarded_groups
from lambdas.security_group_revert.revert import read_rules, reconcile
from settings import Settings
from settings.export_security_groups import main

if TYPE_CHECKING:
    from .stacks import Stacks

pytestmark = pytest.mark.enable_socket


def test_check_with_exported_rules_changes_nothing(stacks: "Stacks", capsys: pytest.CaptureFixture[str]) -> None:
    ec2 = stacks.clients.client("ec2")
    tag = {"ResourceType": "security-group", "Tags": [{"Key": "tier", "Value": "export"}]}
    group_id = ec2.create_security_group(GroupName="exported", Description="test", TagSpecifications=[tag])["GroupId"]
    ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
    permissions = [
        ssh | {"IpRanges": [{"CidrIp": "10.1.2.3/8", "Description": "bastion"}, {"CidrIp": "192.0.2.0/24"}]},
        ssh | {"UserIdGroupPairs": [{"GroupId": group_id}]},
        {"IpProtocol": "icmpv6", "FromPort": -1, "ToPort": -1, "Ipv6Ranges": [{"CidrIpv6": "2001:DB8::/32"}]},
        {"IpProtocol": "47", "IpRanges": [{"CidrIp": "10.0.0.0/8"}]},
    ]
    ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=permissions)
    assert main(["--tag", "tier=export", "--egress"], ec2) == 0
    groups = capsys.readouterr().out
    names = {"groups": groups, "guard_egress": "true", "sample_group": "false"}
    settings = Settings.from_context({f"security_group_revert:{name}": value for name, value in names.items()})
    (setting,) = settings.security_group_revert.groups
    assert setting.group_id == group_id
    approved = [
        {"group_id": group_id, "name": setting.name}
        | {name: [rule.as_api() for rule in getattr(setting, name)] for name in ("ingress", "egress")}
    ]
    (guarded,) = guarded_groups(json.loads(json.dumps(approved)), {})
    before = read_rules(ec2, [group_id])[group_id]
    assert len(before) == 6
    assert not reconcile(ec2, guarded, before, restore=True).actions
    assert read_rules(ec2, [group_id])[group_id] == before
