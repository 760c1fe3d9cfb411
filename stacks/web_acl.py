"""A web ACL with AWS's managed rules, before a distribution or an API."""

from collections.abc import Sequence

from aws_cdk import Stack, aws_wafv2 as wafv2

MANAGED_RULES = (
    "AWSManagedRulesAmazonIpReputationList",
    "AWSManagedRulesCommonRuleSet",
    "AWSManagedRulesKnownBadInputsRuleSet",
)


def web_acl(stack: Stack, scope: str, further_rules: Sequence[wafv2.CfnWebACL.RuleProperty] = ()) -> wafv2.CfnWebACL:
    """Make the web ACL of a stack; `scope` is ``CLOUDFRONT`` or ``REGIONAL``.

    further_rules: they come first, with priorities from 0 on.
    """
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
        for priority, name in enumerate(MANAGED_RULES, start=len(further_rules))
    ]
    return wafv2.CfnWebACL(
        stack,
        "WebAcl",
        scope=scope,
        default_action=wafv2.CfnWebACL.DefaultActionProperty(allow={}),
        visibility_config=visible(stack.node.id),
        rules=[*further_rules, *managed],
    )


def visible(name: str) -> wafv2.CfnWebACL.VisibilityConfigProperty:
    """Metrics and samples of a rule, under `name`."""
    return wafv2.CfnWebACL.VisibilityConfigProperty(
        cloud_watch_metrics_enabled=True, metric_name=name, sampled_requests_enabled=True
    )
