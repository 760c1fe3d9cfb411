"""A web ACL for a distribution or an API, with a rate limit per IP address and AWS managed rules."""

from collections.abc import Sequence

from aws_cdk import Stack, aws_wafv2 as wafv2
from constructs import Construct

MANAGED_RULES = (
    "AWSManagedRulesAmazonIpReputationList",
    "AWSManagedRulesCommonRuleSet",
    "AWSManagedRulesKnownBadInputsRuleSet",
)
# Requests per IP address in five minutes. Many users can share an address, and a web page needs dozens of requests.
RATE_LIMITS = {"CLOUDFRONT": 10_000, "REGIONAL": 2_000}


class ManagedRulesWebAcl(wafv2.CfnWebACL):
    """A web ACL that evaluates `leading_rules` (priorities from 0), then the rate limit, then the managed rules."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        waf_scope: str,
        leading_rules: Sequence[wafv2.CfnWebACL.RuleProperty] = (),
    ) -> None:
        """Set `waf_scope` to ``CLOUDFRONT`` or ``REGIONAL``."""
        names = enumerate(MANAGED_RULES, start=len(leading_rules) + 1)
        super().__init__(
            scope,
            construct_id,
            scope=waf_scope,
            default_action=wafv2.CfnWebACL.DefaultActionProperty(allow={}),
            visibility_config=visibility_config(Stack.of(scope).node.id),
            rules=[
                *leading_rules,
                _rate_limit(RATE_LIMITS[waf_scope], priority=len(leading_rules)),
                *(_managed_rule(name, priority) for priority, name in names),
            ],
        )


def _rate_limit(limit: int, priority: int) -> wafv2.CfnWebACL.RuleProperty:
    statement = wafv2.CfnWebACL.RateBasedStatementProperty(
        aggregate_key_type="IP", limit=limit, evaluation_window_sec=300
    )
    return wafv2.CfnWebACL.RuleProperty(
        name="RateLimit",
        priority=priority,
        action=wafv2.CfnWebACL.RuleActionProperty(block={}),
        statement=wafv2.CfnWebACL.StatementProperty(rate_based_statement=statement),
        visibility_config=visibility_config("RateLimit"),
    )


def _managed_rule(name: str, priority: int) -> wafv2.CfnWebACL.RuleProperty:
    statement = wafv2.CfnWebACL.ManagedRuleGroupStatementProperty(name=name, vendor_name="AWS")
    return wafv2.CfnWebACL.RuleProperty(
        name=name,
        priority=priority,
        override_action=wafv2.CfnWebACL.OverrideActionProperty(none={}),
        statement=wafv2.CfnWebACL.StatementProperty(managed_rule_group_statement=statement),
        visibility_config=visibility_config(name),
    )


def visibility_config(name: str) -> wafv2.CfnWebACL.VisibilityConfigProperty:
    """Return a visibility configuration that publishes metrics and sampled requests under `name`."""
    return wafv2.CfnWebACL.VisibilityConfigProperty(
        cloud_watch_metrics_enabled=True, metric_name=name, sampled_requests_enabled=True
    )
