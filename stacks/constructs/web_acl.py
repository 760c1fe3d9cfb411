"""A web ACL before a distribution or an API: a limit for each address, and AWS's managed rules."""

from collections.abc import Sequence

from aws_cdk import Stack, aws_wafv2 as wafv2

MANAGED_RULES = (
    "AWSManagedRulesAmazonIpReputationList",
    "AWSManagedRulesCommonRuleSet",
    "AWSManagedRulesKnownBadInputsRuleSet",
)
# Of one address in five minutes; many people can share one. A page of a site takes dozens of requests.
ADDRESS_LIMITS = {"CLOUDFRONT": 10_000, "REGIONAL": 2_000}


def web_acl(stack: Stack, scope: str, further_rules: Sequence[wafv2.CfnWebACL.RuleProperty] = ()) -> wafv2.CfnWebACL:
    """Make the web ACL of a stack; `scope` is ``CLOUDFRONT`` or ``REGIONAL``.

    further_rules: they come first, with priorities from 0 on.
    """
    limit = wafv2.CfnWebACL.RateBasedStatementProperty(
        aggregate_key_type="IP", limit=ADDRESS_LIMITS[scope], evaluation_window_sec=300
    )
    each_address = wafv2.CfnWebACL.RuleProperty(
        name="AddressLimit",
        priority=len(further_rules),
        action=wafv2.CfnWebACL.RuleActionProperty(block={}),
        statement=wafv2.CfnWebACL.StatementProperty(rate_based_statement=limit),
        visibility_config=visible("AddressLimit"),
    )
    managed = [
        wafv2.CfnWebACL.RuleProperty(
            name=name,
            priority=priority,
            override_action=wafv2.CfnWebACL.OverrideActionProperty(none={}),
            statement=wafv2.CfnWebACL.StatementProperty(
                managed_rule_group_statement=wafv2.CfnWebACL.ManagedRuleGroupStatementProperty(
                    name=name, vendor_name="AWS"
                )
            ),
            visibility_config=visible(name),
        )
        for priority, name in enumerate(MANAGED_RULES, start=len(further_rules) + 1)
    ]
    return wafv2.CfnWebACL(
        stack,
        "WebAcl",
        scope=scope,
        default_action=wafv2.CfnWebACL.DefaultActionProperty(allow={}),
        visibility_config=visible(stack.node.id),
        rules=[*further_rules, each_address, *managed],
    )


def visible(name: str) -> wafv2.CfnWebACL.VisibilityConfigProperty:
    """Metrics and samples of a rule, under `name`."""
    return wafv2.CfnWebACL.VisibilityConfigProperty(
        cloud_watch_metrics_enabled=True, metric_name=name, sampled_requests_enabled=True
    )
