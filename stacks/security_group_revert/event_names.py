"""Names of the EC2 API calls to which the guard reacts."""

INGRESS_EVENTS = [
    "AuthorizeSecurityGroupIngress",
    "ModifySecurityGroupRules",
    "RevokeSecurityGroupIngress",
    "UpdateSecurityGroupRuleDescriptionsIngress",
]
EGRESS_EVENTS = [
    "AuthorizeSecurityGroupEgress",
    "RevokeSecurityGroupEgress",
    "UpdateSecurityGroupRuleDescriptionsEgress",
]
# Calls that change what the rules apply to: entries of a prefix list, groups of an interface or an endpoint.
ACCESS_CHANGE_EVENTS = [
    "AttachNetworkInterface",
    "ApplySecurityGroupsToClientVpnTargetNetwork",
    "CreateApplicationStatusCheck",
    "CreateClientVpnEndpoint",
    "CreateInstanceConnectEndpoint",
    "CreateIpamPrefixListResolverTarget",
    "CreateNetworkInterface",
    "CreateNetworkInterfacePermission",
    "CreateVerifiedAccessEndpoint",
    "CreateVpcEndpoint",
    "ImportInstance",
    "ModifyApplicationStatusCheck",
    "ModifyClientVpnEndpoint",
    "ModifyInstanceAttribute",
    "ModifyInstanceConnectEndpoint",
    "ModifyIpamPrefixListResolverTarget",
    "ModifyManagedPrefixList",
    "ModifyNetworkInterfaceAttribute",
    "ModifyVpcEndpoint",
    "RequestSpotFleet",
    "RequestSpotInstances",
    "RestoreManagedPrefixListVersion",
    "RunInstances",
    "RunScheduledInstances",
]
