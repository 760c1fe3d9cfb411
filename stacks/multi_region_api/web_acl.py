"""The web ACL of the API's stage."""

from aws_cdk import aws_apigateway as apigateway, aws_wafv2 as wafv2
from constructs import Construct

from ..constructs.web_acl import ManagedRulesWebAcl, visibility_config


def protect_stage(scope: Construct, stage: apigateway.Stage, *, allowed_path: str) -> wafv2.CfnWebACLAssociation:
    """Protect the stage with a web ACL that always allows `allowed_path`, which Route 53's health checkers request."""
    match = wafv2.CfnWebACL.ByteMatchStatementProperty(
        field_to_match=wafv2.CfnWebACL.FieldToMatchProperty(uri_path={}),
        positional_constraint="EXACTLY",
        search_string=allowed_path,
        text_transformations=[wafv2.CfnWebACL.TextTransformationProperty(priority=0, type="NONE")],
    )
    allow_health_path = wafv2.CfnWebACL.RuleProperty(
        name="HealthPath",
        priority=0,
        action=wafv2.CfnWebACL.RuleActionProperty(allow={}),
        statement=wafv2.CfnWebACL.StatementProperty(byte_match_statement=match),
        visibility_config=visibility_config("HealthPath"),
    )
    acl = ManagedRulesWebAcl(scope, "WebAcl", waf_scope="REGIONAL", leading_rules=[allow_health_path])
    return wafv2.CfnWebACLAssociation(
        scope, "WebAclAssociation", resource_arn=stage.stage_arn, web_acl_arn=acl.attr_arn
    )
