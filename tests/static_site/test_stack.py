"""Facts about the stack's template: who reaches the bucket, and how viewers are answered."""

import json
from typing import Any

import pytest

from ..conftest import ROOT, Assembly, of_type, one, synthesize

STACK = "StaticSite"


@pytest.fixture(scope="session")
def uncached(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    settings = {"static_site:caching": "false"}
    return synthesize(tmp_path_factory.mktemp("uncached"), settings, STACK).template(STACK)


def distribution(template: dict[str, Any]) -> dict[str, Any]:
    config: dict[str, Any] = one(template, "AWS::CloudFront::Distribution")["DistributionConfig"]
    return config


def id_of(template: dict[str, Any], start: str, resource_type: str) -> str:
    found = template["Resources"].items()
    return next(name for name, r in found if r["Type"] == resource_type and name.startswith(start))


def test_bucket_is_private_encrypted_and_versioned(template: dict[str, Any]) -> None:
    bucket = template["Resources"][id_of(template, "Site", "AWS::S3::Bucket")]["Properties"]
    assert all(bucket["PublicAccessBlockConfiguration"].values())
    assert bucket["BucketEncryption"]
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}, "old versions would stay for ever"


def test_only_this_distribution_may_read_the_bucket_and_nobody_lists_it(template: dict[str, Any]) -> None:
    bucket_id = id_of(template, "Site", "AWS::S3::Bucket")
    (policy,) = (p for p in of_type(template, "AWS::S3::BucketPolicy") if p["Bucket"] == {"Ref": bucket_id})
    readers = [s for s in policy["PolicyDocument"]["Statement"] if s["Action"] == "s3:GetObject"]
    (reader,) = readers
    assert reader["Principal"] == {"Service": "cloudfront.amazonaws.com"}
    source = json.dumps(reader["Condition"]["StringEquals"]["AWS:SourceArn"])
    assert id_of(template, "Distribution", "AWS::CloudFront::Distribution") in source
    for statement in policy["PolicyDocument"]["Statement"]:
        if statement["Effect"] == "Allow" and "s3:List" in json.dumps(statement["Action"]):
            assert "AWS" in statement["Principal"], "someone besides the stack's own clean-up may list"


def test_origin_is_signed_by_an_origin_access_control(template: dict[str, Any]) -> None:
    control = one(template, "AWS::CloudFront::OriginAccessControl")["OriginAccessControlConfig"]
    assert (control["SigningBehavior"], control["SigningProtocol"]) == ("always", "sigv4")
    (origin,) = distribution(template)["Origins"]
    assert origin["OriginAccessControlId"]


def test_log_bucket_takes_the_acl_of_standard_logging_and_forgets_after_90_days(template: dict[str, Any]) -> None:
    logs = template["Resources"][id_of(template, "Logs", "AWS::S3::Bucket")]["Properties"]
    assert logs["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerPreferred"}]
    assert [rule["ExpirationInDays"] for rule in logs["LifecycleConfiguration"]["Rules"]] == [90]
    assert distribution(template)["Logging"]["Bucket"]


def test_viewers_get_https_http2_and_3_ipv6_and_compression(template: dict[str, Any]) -> None:
    config = distribution(template)
    behavior = config["DefaultCacheBehavior"]
    assert behavior["ViewerProtocolPolicy"] == "redirect-to-https"
    assert behavior["Compress"] is True
    assert (config["HttpVersion"], config["IPV6Enabled"]) == ("http2and3", True)
    assert config["DefaultRootObject"] == "index.html"


def test_rewriter_is_attached_as_published_version_on_origin_request(template: dict[str, Any]) -> None:
    (association,) = distribution(template)["DefaultCacheBehavior"]["LambdaFunctionAssociations"]
    assert association["EventType"] == "origin-request"
    version = association["LambdaFunctionARN"]["Ref"]
    assert template["Resources"][version]["Type"] == "AWS::Lambda::Version"


def test_rewriter_fits_lambda_at_edge_and_may_do_nothing(template: dict[str, Any]) -> None:
    function = template["Resources"][id_of(template, "Rewriter", "AWS::Lambda::Function")]["Properties"]
    assert "Environment" not in function, "Lambda@Edge has no environment variables"
    assert function.get("Architectures", ["x86_64"]) == ["x86_64"]
    assert function["Timeout"] <= 30
    role_id = id_of(template, "RewriterRole", "AWS::IAM::Role")
    role = template["Resources"][role_id]["Properties"]
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert sorted(statement["Principal"]["Service"]) == ["edgelambda.amazonaws.com", "lambda.amazonaws.com"]
    assert "ManagedPolicyArns" not in role
    assert not [p for p in of_type(template, "AWS::IAM::Policy") if {"Ref": role_id} in p["Roles"]]


def test_teardown_leaves_the_function_whose_replicas_would_keep_it(template: dict[str, Any]) -> None:
    for resource_type in ("AWS::Lambda::Function", "AWS::Lambda::Version"):
        found = template["Resources"][id_of(template, "Rewriter", resource_type)]
        assert found["DeletionPolicy"] == "Retain"
    for bucket in ("Site", "Logs"):
        assert template["Resources"][id_of(template, bucket, "AWS::S3::Bucket")]["DeletionPolicy"] == "Delete"


def test_teardown_leaves_no_log_group_of_ours_and_stops_logging_before_it_empties_the_bucket(
    template: dict[str, Any],
) -> None:
    for group in (r for r in template["Resources"].values() if r["Type"] == "AWS::Logs::LogGroup"):
        assert group["DeletionPolicy"] == "Delete"
    resource = template["Resources"][id_of(template, "Distribution", "AWS::CloudFront::Distribution")]
    emptied = {name for name in template["Resources"] if name.startswith("LogsAutoDelete")}
    assert emptied
    assert emptied <= set(resource["DependsOn"]), "the bucket would be emptied while it is still written to"


def test_settings_reach_the_function_through_its_package(assembly: Assembly) -> None:
    (package,) = assembly.directory.glob("asset.*/static_site")
    assert json.loads((package / "settings.json").read_text()) == {
        "without_slash": "redirect",
        "redirect_status": 308,
        "canonical": False,
        "files": [],
    }
    sources = {path.name for path in (ROOT / "lambdas" / "static_site").glob("*.py")}
    assert {path.name for path in package.iterdir()} == sources | {"settings.json"}


def test_missing_pages_are_true_404s_with_the_sites_own_page(template: dict[str, Any]) -> None:
    errors = distribution(template)["CustomErrorResponses"]
    answers = {e["ErrorCode"]: (e["ResponseCode"], e["ResponsePagePath"]) for e in errors}
    assert answers == {403: (404, "/404.html"), 404: (404, "/404.html")}
    assert {error["ErrorCachingMinTTL"] for error in errors} == {10}


def test_security_headers_are_set_on_every_answer(template: dict[str, Any]) -> None:
    headers = one(template, "AWS::CloudFront::ResponseHeadersPolicy")["ResponseHeadersPolicyConfig"]
    policy_id = id_of(template, "SecurityHeaders", "AWS::CloudFront::ResponseHeadersPolicy")
    behavior = distribution(template)["DefaultCacheBehavior"]
    assert behavior.get("ResponseHeadersPolicyId") == {"Ref": policy_id}, "the distribution does not use the policy"
    security = headers["SecurityHeadersConfig"]
    assert security["StrictTransportSecurity"]["AccessControlMaxAgeSec"] >= 31536000
    assert not security["StrictTransportSecurity"].get("IncludeSubdomains"), "other names are not ours to bind"
    assert all(header["Override"] for header in security.values())
    assert "default-src 'self'" in security["ContentSecurityPolicy"]["ContentSecurityPolicy"]
    assert security["ContentTypeOptions"] == {"Override": True}
    assert security["FrameOptions"]["FrameOption"] == "DENY"
    assert security["ReferrerPolicy"]["ReferrerPolicy"] == "strict-origin-when-cross-origin"


def test_cache_is_keyed_by_path_and_the_query_string_goes_to_the_function(template: dict[str, Any]) -> None:
    parameters = one(template, "AWS::CloudFront::CachePolicy")["CachePolicyConfig"]
    keyed = parameters["ParametersInCacheKeyAndForwardedToOrigin"]
    assert keyed["QueryStringsConfig"] == {"QueryStringBehavior": "none"}
    assert keyed["HeadersConfig"] == {"HeaderBehavior": "none"}
    assert (keyed["EnableAcceptEncodingGzip"], keyed["EnableAcceptEncodingBrotli"]) == (True, True)
    assert (parameters["MinTTL"], parameters["DefaultTTL"]) == (0, 86400), "redirects say no-store: it must hold"
    forwarded = one(template, "AWS::CloudFront::OriginRequestPolicy")["OriginRequestPolicyConfig"]
    assert forwarded["QueryStringsConfig"] == {"QueryStringBehavior": "all"}
    behavior = distribution(template)["DefaultCacheBehavior"]
    cache_id = id_of(template, "CachePolicy", "AWS::CloudFront::CachePolicy")
    forwards_id = id_of(template, "QueryStrings", "AWS::CloudFront::OriginRequestPolicy")
    used = behavior["CachePolicyId"], behavior.get("OriginRequestPolicyId")
    assert used == ({"Ref": cache_id}, {"Ref": forwards_id}), "the distribution does not use the policies"


def test_caching_false_is_the_posts_ttl_of_zero(uncached: dict[str, Any]) -> None:
    assert not of_type(uncached, "AWS::CloudFront::CachePolicy")
    disabled = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"  # AWS's CachingDisabled
    assert distribution(uncached)["DefaultCacheBehavior"]["CachePolicyId"] == disabled
    assert one(uncached, "Custom::CDKBucketDeployment")["SystemMetadata"] == {"cache-control": "no-cache"}


def test_deployment_clears_the_cache_and_removes_what_is_gone(template: dict[str, Any]) -> None:
    deployed = one(template, "Custom::CDKBucketDeployment")
    assert deployed["DistributionPaths"] == ["/*"]
    assert deployed["DistributionId"]
    assert deployed["Prune"] is True
    assert deployed["SystemMetadata"] == {"cache-control": "public, max-age=300, s-maxage=86400"}


def test_another_rewriter_clears_the_cache_too(template: dict[str, Any]) -> None:
    (association,) = distribution(template)["DefaultCacheBehavior"]["LambdaFunctionAssociations"]
    assert one(template, "Custom::CDKBucketDeployment")["Rewriter"] == association["LambdaFunctionARN"]


def test_domain_has_a_validated_certificate_tls_1_2_and_both_alias_records(full: dict[str, Any]) -> None:
    certificate = one(full, "AWS::CertificateManager::Certificate")
    assert (certificate["DomainName"], certificate["ValidationMethod"]) == ("www.example.com", "DNS")
    config = distribution(full)
    assert config["Aliases"] == ["www.example.com"]
    assert config["ViewerCertificate"]["MinimumProtocolVersion"] == "TLSv1.2_2021"
    records = of_type(full, "AWS::Route53::RecordSet")
    assert {record["Type"] for record in records} == {"A", "AAAA"}
    assert all(record["AliasTarget"] and record["Name"] == "www.example.com." for record in records)
    (validation,) = certificate["DomainValidationOptions"]
    assert validation["HostedZoneId"] == "Z0123456789ABCDEFGHIJ"
    assert full["Outputs"]["Url"]["Value"] == "https://www.example.com/"


def test_web_acl_is_an_option(template: dict[str, Any], full: dict[str, Any]) -> None:
    assert not of_type(template, "AWS::WAFv2::WebACL")
    acl = one(full, "AWS::WAFv2::WebACL")
    assert (acl["Scope"], acl["DefaultAction"]) == ("CLOUDFRONT", {"Allow": {}})
    address, *managed = acl["Rules"]
    limit = {"AggregateKeyType": "IP", "EvaluationWindowSec": 300, "Limit": 10_000}
    assert (address["Action"], address["Statement"]) == ({"Block": {}}, {"RateBasedStatement": limit})
    assert [rule["OverrideAction"] for rule in managed] == [{"None": {}}] * 3, "the rules block"
    assert distribution(full)["WebACLId"]


def test_stack_is_pinned_to_us_east_1(assembly: Assembly) -> None:
    manifest = json.loads((assembly.directory / "manifest.json").read_text())
    assert manifest["artifacts"][STACK]["environment"].endswith("/us-east-1")


def test_function_that_uploads_may_invalidate_no_other_distribution(template: dict[str, Any]) -> None:
    (denied,) = (
        statement
        for policy in of_type(template, "AWS::IAM::Policy")
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny"
    )
    assert denied["Action"] == ["cloudfront:CreateInvalidation", "cloudfront:GetInvalidation"]
    distribution_id = id_of(template, "Distribution", "AWS::CloudFront::Distribution")
    assert {"Ref": distribution_id} in denied["NotResource"]["Fn::Join"][1]
