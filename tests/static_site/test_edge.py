"""The template of StaticSite with a CloudFront Function instead of a Lambda@Edge function."""

import json
from typing import Any

import pytest

from ..conftest import Assembly, only_resource, resources_of_type, synthesize
from .test_stack import STACK, deployment, distribution, id_of


@pytest.fixture(scope="module")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    return synthesize(tmp_path_factory.mktemp("function"), {"static_site:edge": "function"}, STACK)


@pytest.fixture(scope="module")
def template(assembly: Assembly) -> dict[str, Any]:
    return assembly.template(STACK)


def test_function_is_published_and_attached_to_viewer_request(template: dict[str, Any]) -> None:
    function_id = id_of(template, "ViewerRequest", "AWS::CloudFront::Function")
    function = template["Resources"][function_id]["Properties"]
    assert function["AutoPublish"] is True, "distributions accept published functions only"
    assert function["FunctionConfig"]["Runtime"] == "cloudfront-js-2.0"
    assert function["FunctionCode"].startswith('const OPTIONS = {"trailing_slash":"redirect","redirect_status":308,')
    assert '"/subdirectory/details":"page"' in function["FunctionCode"]
    behavior = distribution(template)["DefaultCacheBehavior"]
    arn = {"Fn::GetAtt": [function_id, "FunctionARN"]}
    assert behavior["FunctionAssociations"] == [{"EventType": "viewer-request", "FunctionARN": arn}]
    assert template["Outputs"]["RewriterArn"]["Value"] == arn


@pytest.mark.reliability(
    "static_site",
    "Deleted externally",
    fault="the function, while its replicas exist at the edge",
)
def test_deletion_retains_nothing(template: dict[str, Any]) -> None:
    assert "LambdaFunctionAssociations" not in distribution(template)["DefaultCacheBehavior"]
    assert not [name for name in template["Resources"] if name.startswith("Rewriter")]
    policies = {r.get("DeletionPolicy", "Delete") for r in template["Resources"].values()}
    assert policies == {"Delete"}


@pytest.mark.reliability("static_site", "Hostile input", fault="S3 query parameters")
def test_query_strings_are_not_sent_to_the_bucket(template: dict[str, Any]) -> None:
    """The function receives them without a policy, and does not remove them."""
    assert "OriginRequestPolicyId" not in distribution(template)["DefaultCacheBehavior"]
    assert not resources_of_type(template, "AWS::CloudFront::OriginRequestPolicy")
    policy = only_resource(template, "AWS::CloudFront::CachePolicy")["CachePolicyConfig"]
    forwarded = policy["ParametersInCacheKeyAndForwardedToOrigin"]
    assert forwarded["QueryStringsConfig"] == {"QueryStringBehavior": "none"}


def test_new_function_does_not_invalidate_the_cache(template: dict[str, Any]) -> None:
    """It runs before the cache, whose keys are the keys of objects."""
    assert "Rewriter" not in deployment(template)


def test_stack_has_no_cdk_nag_findings(assembly: Assembly) -> None:
    assert [finding for finding in assembly.findings if STACK in finding] == [], json.dumps(assembly.findings, indent=1)
