"""Facts about the stack's template: who reaches the bucket, and how endpoints are answered."""

import importlib.util
import json
from typing import Any

import pytest
from botocore.exceptions import WaiterError

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


def deployment(template: dict[str, Any]) -> dict[str, Any]:
    """The deployment of most files, which clears the cache."""
    (found,) = (d for d in of_type(template, "Custom::CDKBucketDeployment") if "DistributionId" in d)
    return found


def test_bucket_is_private_encrypted_and_versioned(template: dict[str, Any]) -> None:
    bucket = template["Resources"][id_of(template, "Site", "AWS::S3::Bucket")]["Properties"]
    assert all(bucket["PublicAccessBlockConfiguration"].values())
    assert bucket["BucketEncryption"]
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}, "old versions would stay for ever"


@pytest.mark.reliability("static_site", "Access denied", fault="somebody asks the bucket directly")
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


@pytest.mark.reliability("static_site", "Only here", fault="a function that CloudFront does not take")
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


@pytest.mark.reliability(
    "static_site",
    "Deleted by somebody else",
    fault="the function, while replicas of it are at the edge",
    expected="Lambda refuses; so the stack leaves it",
    observed="it stays, alone",
)
def test_teardown_leaves_the_function_whose_replicas_would_keep_it(template: dict[str, Any]) -> None:
    for resource_type in ("AWS::Lambda::Function", "AWS::Lambda::Version"):
        found = template["Resources"][id_of(template, "Rewriter", resource_type)]
        assert (found["DeletionPolicy"], found["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
    for bucket in ("Site", "Logs"):
        assert template["Resources"][id_of(template, bucket, "AWS::S3::Bucket")]["DeletionPolicy"] == "Delete"


@pytest.mark.reliability(
    "static_site",
    "Partial failure",
    fault="the creation fails, because the account may not create distributions yet",
    expected="nothing stays",
    observed="read from the template: everything that is retained is retained except on creation",
)
def test_failed_creation_leaves_nothing(template: dict[str, Any], full: dict[str, Any]) -> None:
    """As in an account that may not create distributions yet."""
    for resources in (template["Resources"], full["Resources"]):
        assert [name for name, r in resources.items() if r.get("DeletionPolicy") == "Retain"] == []


@pytest.mark.reliability(
    "static_site",
    "Late",
    fault="at the removal an access log comes after its bucket was emptied",
    expected="logging ends before the bucket is emptied",
    observed="read from the template: the distribution goes first",
)
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
    page = (404, "/404.html")
    assert answers == {400: page, 403: page, 404: page}, "400 is S3's answer to a path that no key can have"
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


@pytest.mark.reliability(
    "static_site",
    "Lost",
    fault="the invalidation after a deployment",
    expected="the cache forgets by itself; redirects are never in it",
    observed="after a day; browsers forget after five minutes",
)
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
    assert deployment(uncached)["SystemMetadata"] == {"cache-control": "no-cache"}


@pytest.mark.reliability(
    "static_site",
    "Partial failure",
    fault="an upload breaks off between two versions of the site",
    expected="the next deployment uploads all, removes what is gone, clears the whole cache",
    observed="read from the template: `Prune`, and `/*` for the cache",
)
def test_deployment_clears_the_cache_and_removes_what_is_gone(template: dict[str, Any]) -> None:
    deployed = deployment(template)
    assert deployed["DistributionPaths"] == ["/*"]
    assert deployed["DistributionId"]
    assert deployed["Prune"] is True
    assert deployed["SystemMetadata"] == {"cache-control": "public, max-age=300, s-maxage=86400"}


@pytest.mark.reliability(
    "static_site",
    "Timeout mid-way",
    fault="an invalidation takes more than 13 minutes",
    expected="the deployment does not wait for it",
    observed="aws-cdk-lib's function reports success",
)
def test_slow_invalidation_does_not_fail_the_deployment(
    assembly: Assembly, template: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The function of aws-cdk-lib itself, called as CloudFormation does; CloudFront is a stub, whose waiter fails."""
    (source,) = (
        path for path in assembly.directory.glob("asset.*/index.py") if "cloudfront_invalidate" in path.read_text()
    )
    spec = importlib.util.spec_from_file_location("bucket_deployment", source)
    assert spec
    assert spec.loader
    function = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(function)
    calls: list[str] = []

    class CloudFront:
        def create_invalidation(self, **_: Any) -> dict[str, Any]:
            calls.append("create_invalidation")
            return {"Invalidation": {"Id": "I1"}}

        def get_waiter(self, name: str) -> Any:
            raise WaiterError(name, "Max attempts exceeded", {})

    monkeypatch.setattr(function, "cloudfront", CloudFront())
    monkeypatch.setattr(function, "s3_deploy", lambda *_: calls.append("upload"))
    monkeypatch.setattr(function, "cfn_send", lambda _event, _context, status, **_: calls.append(status))
    event = {
        "RequestType": "Create",
        "ResourceProperties": as_cloudformation_passes(deployment(template))
        | {"DestinationBucketName": "site", "DistributionId": "E1"},
    }
    function.handler(event, None)
    assert calls == ["upload", "create_invalidation", "SUCCESS"]


def as_cloudformation_passes(value: Any) -> Any:
    """Properties of a custom resource as its function gets them: every number and truth value is text."""
    if isinstance(value, dict):
        return {name: as_cloudformation_passes(item) for name, item in value.items()}
    if isinstance(value, list):
        return [as_cloudformation_passes(item) for item in value]
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_page_of_the_404_is_not_kept_by_browsers(template: dict[str, Any], uncached: dict[str, Any]) -> None:
    for found in (template, uncached):
        (upload,) = (d for d in of_type(found, "Custom::CDKBucketDeployment") if d.get("Include") == ["404.html"])
        assert upload["SystemMetadata"] == {"cache-control": "max-age=0"}
        assert (upload["Exclude"], upload["Prune"]) == (["*"], False), "it must touch no other file"
        assert deployment(found)["Exclude"] == ["404.html"], "the others would be uploaded over it"


def test_cache_is_cleared_when_everything_is_uploaded(template: dict[str, Any]) -> None:
    deployments = {n: r for n, r in template["Resources"].items() if r["Type"] == "Custom::CDKBucketDeployment"}
    (last,) = (r for r in deployments.values() if "DistributionId" in r["Properties"])
    assert {name for name, r in deployments.items() if r is not last} <= set(last["DependsOn"])


@pytest.mark.reliability(
    "static_site",
    "Partial failure",
    fault="the function changes, and the site does not",
    expected="the cache is cleared too",
    observed="read from the template: the upload has the function's version",
)
def test_another_rewriter_clears_the_cache_too(template: dict[str, Any]) -> None:
    (association,) = distribution(template)["DefaultCacheBehavior"]["LambdaFunctionAssociations"]
    assert deployment(template)["Rewriter"] == association["LambdaFunctionARN"]


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


@pytest.mark.reliability("static_site", "Throttling", fault="more requests than the function or the bucket takes")
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
