"""Every EC2 call that can name a security group or a prefix list is matched, or has a reason why it is not."""

from collections.abc import Iterator
from typing import Any

import boto3

from lambdas.security_group_revert.cloudtrail import INTERFACE_EVENTS, PREFIX_LIST_EVENTS

RULE_EVENTS = {
    *("AuthorizeSecurityGroupEgress", "AuthorizeSecurityGroupIngress", "ModifySecurityGroupRules"),
    *("RevokeSecurityGroupEgress", "RevokeSecurityGroupIngress"),
    *("UpdateSecurityGroupRuleDescriptionsEgress", "UpdateSecurityGroupRuleDescriptionsIngress"),
}
NOT_MATCHED = {
    # Nothing is in the group or the list because of the call.
    *("AssociateSecurityGroupVpc", "DisassociateSecurityGroupVpc", "CreateSecurityGroup", "DeleteSecurityGroup"),
    *("DeleteManagedPrefixList", "ValidateSecurityGroupQuotasForInterface", "GetSecurityGroupsForVpc"),
    # A documented limitation: instances of launch templates.
    *("CreateLaunchTemplate", "CreateLaunchTemplateVersion"),
    # Routes, which do not change what a security group allows.
    *("CreateTransitGatewayPrefixListReference", "DeleteTransitGatewayPrefixListReference"),
    "ModifyTransitGatewayPrefixListReference",
    # EC2-Classic has been retired.
    "AttachClassicLinkVpc",
}
READS = ("Describe", "Get", "List", "Search")
SECURITY_GROUPS_AND_PREFIX_LISTS = {
    *("SecurityGroupId", "SecurityGroupIds", "AddSecurityGroupIds", "SecurityGroups", "SecurityGroupRules"),
    "PrefixListId",
}
# Members of these names are groups of network interfaces, or a security group.
GROUPS = {"Groups", "GroupId"}
OTHER_GROUPS = {"CreateFleet", "ModifyFleet", "ModifyInstancePlacement"}  # placement groups


def members(shape: Any, depth: int = 0) -> Iterator[str]:
    """Return the names of all members of a shape."""
    if shape.type_name == "structure" and depth < 8:
        for name, member in shape.members.items():
            yield name
            yield from members(member, depth + 1)
    elif shape.type_name == "list":
        yield from members(shape.member, depth)


def test_every_call_with_a_group_or_prefix_list_is_matched_or_excluded() -> None:
    model = boto3.client("ec2", "us-east-1").meta.service_model
    names = set()
    for name in model.operation_names:
        if name.startswith(READS) or model.operation_model(name).input_shape is None:
            continue
        fields = set(members(model.operation_model(name).input_shape))
        if fields & SECURITY_GROUPS_AND_PREFIX_LISTS or (fields & GROUPS and name not in OTHER_GROUPS):
            names.add(name)
    assert "CreateApplicationStatusCheck" in names
    assert names - RULE_EVENTS - PREFIX_LIST_EVENTS - INTERFACE_EVENTS - NOT_MATCHED == set()
