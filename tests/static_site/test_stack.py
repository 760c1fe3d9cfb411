"""The template of StaticSite: access to the bucket, caching, responses and deployment."""

import importlib.util
import json
import re
from typing import Any

import pytest
from botocore.exceptions import WaiterError

from ..conftest import ROOT, Assembly, only_resource, resources_of_type

STACK = "StaticSite"


def distribution(template: dict[str, Any]) -> dict[str, Any]:
    config: dict[str, Any] = only_resource(template, "AWS::CloudFront::Distribution")["DistributionConfig"]
    return config


def id_of(template: dict[str, Any], start: str, resource_type: str) -> str:
    resources = template["Resources"].items()
    return next(name for name, r in resources if r["Type"] == resource_type and name.startswith(start))


def deployment(template: dict[str, Any]) -> dict[str, Any]:
    """Return the deployment that uploads most files and invalidates the cache."""
    (properties,) = (d for d in resources_of_type(template, "Custom::CDKBucketDeployment") if "DistributionId" in d)
    return properties


def test_bucket_is_private_encrypted_and_versioned(template: dict[str, Any]) -> None:
    bucket = template["Resources"][id_of(template, "Site", "AWS::S3::Bucket")]["Properties"]
    assert all(bucket["PublicAccessBlockConfiguration"].values())
    assert bucket["BucketEncryption"]
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}, "old versions would never expire"


@pytest.mark.reliability("static_site", "Access denied", fault="a direct request to the bucket")
def test_bucket_policy_allows_only_the_distribution_to_read(template: dict[str, Any]) -> None:
    bucket_id = id_of(template, "Site", "AWS::S3::Bucket")
    (policy,) = (p for p in resources_of_type(template, "AWS::S3::BucketPolicy") if p["Bucket"] == {"Ref": bucket_id})
    readers = [s for s in policy["PolicyDocument"]["Statement"] if s["Action"] == "s3:GetObject"]
    (reader,) = readers
    assert reader["Principal"] == {"Service": "cloudfront.amazonaws.com"}
    source = json.dumps(reader["Condition"]["StringEquals"]["AWS:SourceArn"])
    assert id_of(template, "Distribution", "AWS::CloudFront::Distribution") in source
    for statement in policy["PolicyDocument"]["Statement"]:
        if statement["Effect"] == "Allow" and "s3:List" in json.dumps(statement["Action"]):
            assert "AWS" in statement["Principal"], "only the role that empties the bucket may list it"


def test_origin_access_control_signs_requests(template: dict[str, Any]) -> None:
    control = only_resource(template, "AWS::CloudFront::OriginAccessControl")["OriginAccessControlConfig"]
    assert (control["SigningBehavior"], control["SigningProtocol"]) == ("always", "sigv4")
    (origin,) = distribution(template)["Origins"]
    assert origin["OriginAccessControlId"]


def test_access_logs_are_delivered_without_acls_and_expire_in_90_days(template: dict[str, Any]) -> None:
    bucket_id = id_of(template, "Logs", "AWS::S3::Bucket")
    logs = template["Resources"][bucket_id]["Properties"]
    assert logs["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    assert [rule["ExpirationInDays"] for rule in logs["LifecycleConfiguration"]["Rules"]] == [90]
    assert "Logging" not in distribution(template), "standard logging (legacy) needs ACLs"
    source = only_resource(template, "AWS::Logs::DeliverySource")
    assert source["LogType"] == "ACCESS_LOGS"
    assert id_of(template, "Distribution", "AWS::CloudFront::Distribution") in json.dumps(source["ResourceArn"])
    destination = only_resource(template, "AWS::Logs::DeliveryDestination")
    assert destination["DestinationResourceArn"] == {"Fn::GetAtt": [bucket_id, "Arn"]}
    delivery = only_resource(template, "AWS::Logs::Delivery")
    assert delivery["DeliverySourceName"] == source["Name"]
    assert "cs(Cookie)" not in delivery["RecordFields"], "cookies can contain sessions"
    assert {"c-ip", "cs-uri-stem", "sc-status"} <= set(delivery["RecordFields"])


def test_distribution_has_https_http3_ipv6_and_compression(template: dict[str, Any]) -> None:
    config = distribution(template)
    behavior = config["DefaultCacheBehavior"]
    assert behavior["ViewerProtocolPolicy"] == "redirect-to-https"
    assert behavior["Compress"] is True
    assert (config["HttpVersion"], config["IPV6Enabled"]) == ("http2and3", True)
    assert config["DefaultRootObject"] == "index.html"


def test_rewriter_version_is_attached_to_origin_request(template: dict[str, Any]) -> None:
    (association,) = distribution(template)["DefaultCacheBehavior"]["LambdaFunctionAssociations"]
    assert association["EventType"] == "origin-request"
    version = association["LambdaFunctionARN"]["Ref"]
    assert template["Resources"][version]["Type"] == "AWS::Lambda::Version"


@pytest.mark.reliability("static_site", "System-specific", fault="a function that CloudFront does not accept")
def test_rewriter_meets_edge_limits_and_has_no_permissions(template: dict[str, Any]) -> None:
    function = template["Resources"][id_of(template, "Rewriter", "AWS::Lambda::Function")]["Properties"]
    assert "Environment" not in function, "Lambda@Edge does not support environment variables"
    assert function.get("Architectures", ["x86_64"]) == ["x86_64"]
    assert function["Timeout"] <= 30
    role_id = id_of(template, "RewriterRole", "AWS::IAM::Role")
    role = template["Resources"][role_id]["Properties"]
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert sorted(statement["Principal"]["Service"]) == ["edgelambda.amazonaws.com", "lambda.amazonaws.com"]
    assert "ManagedPolicyArns" not in role
    assert not [p for p in resources_of_type(template, "AWS::IAM::Policy") if {"Ref": role_id} in p["Roles"]]


@pytest.mark.reliability(
    "static_site",
    "Deleted externally",
    fault="the function, while its replicas exist at the edge",
    expected="Lambda cannot delete it, so the stack retains the function",
    observed="only the function is left; with `edge=function`, nothing is",
)
def test_deletion_retains_the_rewriter_but_no_bucket(template: dict[str, Any]) -> None:
    for resource_type in ("AWS::Lambda::Function", "AWS::Lambda::Version"):
        resource = template["Resources"][id_of(template, "Rewriter", resource_type)]
        assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
    for bucket in ("Site", "Logs"):
        assert template["Resources"][id_of(template, bucket, "AWS::S3::Bucket")]["DeletionPolicy"] == "Delete"


def test_removal_command_in_docs_selects_the_rewriter(template: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "static_site.md").read_text()
    match = re.search(r"starts_with\(FunctionName, '(.+?)'\)", page)
    assert match
    functions = {name for name, r in template["Resources"].items() if r["Type"] == "AWS::Lambda::Function"}
    selected = {name for name in functions if f"{STACK}-{name}-SUFFIX".startswith(match[1])}  # CloudFormation's names
    assert selected == {id_of(template, "Rewriter", "AWS::Lambda::Function")}


@pytest.mark.reliability(
    "static_site",
    "Partial failure",
    fault="stack creation fails because the account cannot create distributions yet",
    expected="no resource is left",
    observed="template: retained resources use `RetainExceptOnCreate`",
)
def test_failed_creation_retains_nothing(template: dict[str, Any], full_template: dict[str, Any]) -> None:
    for resources in (template["Resources"], full_template["Resources"]):
        assert [name for name, r in resources.items() if r.get("DeletionPolicy") == "Retain"] == []


@pytest.mark.reliability(
    "static_site",
    "Delayed or out of order",
    fault="during stack deletion, an access log arrives after its bucket was emptied",
    expected="logging stops before the bucket is emptied",
    observed="template: the delivery is deleted first",
)
def test_deletion_removes_log_groups_and_stops_logging_first(
    template: dict[str, Any],
) -> None:
    for group in (r for r in template["Resources"].values() if r["Type"] == "AWS::Logs::LogGroup"):
        assert group["DeletionPolicy"] == "Delete"
    resource = template["Resources"][id_of(template, "AccessLogDelivery", "AWS::Logs::Delivery")]
    auto_delete = {name for name in template["Resources"] if name.startswith("LogsAutoDelete")}
    assert auto_delete
    assert auto_delete <= set(resource["DependsOn"]), "logs would be delivered to the emptied bucket"


def test_settings_are_written_into_the_function_package(assembly: Assembly) -> None:
    (package,) = assembly.directory.glob("asset.*/static_site")
    assert json.loads((package / "settings.json").read_text()) == {
        "trailing_slash": "redirect",
        "redirect_status": 308,
        "redirect_index_html": False,
        "style": "directory",
        "exceptions": {"/404": "page", "/subdirectory/details": "page"},
    }
    sources = {path.name for path in (ROOT / "lambdas" / "static_site").glob("*.py")}
    assert {path.name for path in package.iterdir()} == sources | {"settings.json"}


def test_s3_errors_become_404_with_the_sites_page(template: dict[str, Any]) -> None:
    errors = distribution(template)["CustomErrorResponses"]
    responses = {e["ErrorCode"]: (e["ResponseCode"], e["ResponsePagePath"]) for e in errors}
    page = (404, "/404.html")
    assert responses == {400: page, 403: page, 404: page}, "S3 returns 400 for an invalid key"
    assert {error["ErrorCachingMinTTL"] for error in errors} == {10}


def test_distribution_adds_security_headers(template: dict[str, Any]) -> None:
    headers = only_resource(template, "AWS::CloudFront::ResponseHeadersPolicy")["ResponseHeadersPolicyConfig"]
    policy_id = id_of(template, "SecurityHeaders", "AWS::CloudFront::ResponseHeadersPolicy")
    behavior = distribution(template)["DefaultCacheBehavior"]
    assert behavior.get("ResponseHeadersPolicyId") == {"Ref": policy_id}, "the distribution must use the policy"
    security = headers["SecurityHeadersConfig"]
    assert security["StrictTransportSecurity"]["AccessControlMaxAgeSec"] >= 31536000
    assert not security["StrictTransportSecurity"].get("IncludeSubdomains"), "HSTS must not apply to other host names"
    assert all(header["Override"] for header in security.values())
    assert "default-src 'self'" in security["ContentSecurityPolicy"]["ContentSecurityPolicy"]
    assert security["ContentTypeOptions"] == {"Override": True}
    assert security["FrameOptions"]["FrameOption"] == "DENY"
    assert security["ReferrerPolicy"]["ReferrerPolicy"] == "strict-origin-when-cross-origin"
    custom = {item["Header"]: item for item in headers["CustomHeadersConfig"]["Items"]}
    assert custom["Permissions-Policy"]["Override"]
    assert "camera=()" in custom["Permissions-Policy"]["Value"]


@pytest.mark.reliability(
    "static_site",
    "Lost event or response",
    fault="the invalidation after a deployment",
    expected="cached pages expire; redirects are never cached",
    observed="after a day in CloudFront; browsers revalidate each page",
)
def test_cache_key_is_the_path_and_query_string_is_forwarded(template: dict[str, Any]) -> None:
    parameters = only_resource(template, "AWS::CloudFront::CachePolicy")["CachePolicyConfig"]
    cache_key = parameters["ParametersInCacheKeyAndForwardedToOrigin"]
    assert cache_key["QueryStringsConfig"] == {"QueryStringBehavior": "none"}
    assert cache_key["HeadersConfig"] == {"HeaderBehavior": "none"}
    assert (cache_key["EnableAcceptEncodingGzip"], cache_key["EnableAcceptEncodingBrotli"]) == (True, True)
    assert (parameters["MinTTL"], parameters["DefaultTTL"]) == (0, 86400), (
        "a minimum TTL would override the no-store of redirects"
    )
    forwarded = only_resource(template, "AWS::CloudFront::OriginRequestPolicy")["OriginRequestPolicyConfig"]
    assert forwarded["QueryStringsConfig"] == {"QueryStringBehavior": "all"}
    behavior = distribution(template)["DefaultCacheBehavior"]
    cache_id = id_of(template, "CachePolicy", "AWS::CloudFront::CachePolicy")
    forwards_id = id_of(template, "QueryStrings", "AWS::CloudFront::OriginRequestPolicy")
    policies = behavior["CachePolicyId"], behavior.get("OriginRequestPolicyId")
    assert policies == ({"Ref": cache_id}, {"Ref": forwards_id}), "the distribution must use the policies"


def test_caching_false_disables_caching(uncached: dict[str, Any]) -> None:
    assert not resources_of_type(uncached, "AWS::CloudFront::CachePolicy")
    disabled = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"  # AWS's CachingDisabled
    assert distribution(uncached)["DefaultCacheBehavior"]["CachePolicyId"] == disabled
    assert deployment(uncached)["SystemMetadata"] == {"cache-control": "no-cache"}


@pytest.mark.reliability(
    "static_site",
    "Partial failure",
    fault="an upload stops halfway",
    expected="the next deployment uploads all files, deletes removed files and invalidates the whole cache",
    observed="template: `Prune` and the path `/*`",
)
def test_deployment_prunes_files_and_invalidates_cache(template: dict[str, Any]) -> None:
    properties = deployment(template)
    assert properties["DistributionPaths"] == ["/*"]
    assert properties["DistributionId"]
    assert properties["Prune"] is True
    assert properties["SystemMetadata"] == {"cache-control": "public, max-age=0, s-maxage=86400"}


@pytest.mark.reliability(
    "static_site",
    "Timeout",
    fault="an invalidation takes more than 13 minutes",
    expected="the deployment does not wait for it",
    observed="aws-cdk-lib's function reports success",
)
def test_slow_invalidation_does_not_fail_the_deployment(
    assembly: Assembly, template: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls aws-cdk-lib's function as CloudFormation does, with a CloudFront stub whose waiter fails."""
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
        "ResourceProperties": as_custom_resource_properties(deployment(template))
        | {"DestinationBucketName": "site", "DistributionId": "E1"},
    }
    function.handler(event, None)
    assert calls == ["upload", "create_invalidation", "SUCCESS"]


def as_custom_resource_properties(value: Any) -> Any:
    """Convert every number and boolean to text, as CloudFormation does for custom resources."""
    if isinstance(value, dict):
        return {name: as_custom_resource_properties(item) for name, item in value.items()}
    if isinstance(value, list):
        return [as_custom_resource_properties(item) for item in value]
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_404_page_is_not_cached_by_browsers(template: dict[str, Any], uncached: dict[str, Any]) -> None:
    for variant in (template, uncached):
        (upload,) = (
            d for d in resources_of_type(variant, "Custom::CDKBucketDeployment") if d.get("Include") == ["404.html"]
        )
        assert upload["SystemMetadata"] == {"cache-control": "max-age=0"}
        assert upload["Exclude"] == ["*"], "it must not change other files"
        assert deployment(variant)["Exclude"] == ["404.html"], "the site deployment must not overwrite it"


def test_cache_is_invalidated_after_all_uploads(template: dict[str, Any]) -> None:
    deployments = {n: r for n, r in template["Resources"].items() if r["Type"] == "Custom::CDKBucketDeployment"}
    (last,) = (r for r in deployments.values() if "DistributionId" in r["Properties"])
    assert {name for name, r in deployments.items() if r is not last} <= set(last["DependsOn"])


@pytest.mark.reliability(
    "static_site",
    "Partial failure",
    fault="the function changes but the site does not",
    expected="the cache is invalidated",
    observed="template: the deployment depends on the function's version",
)
def test_new_rewriter_version_invalidates_cache(template: dict[str, Any]) -> None:
    (association,) = distribution(template)["DefaultCacheBehavior"]["LambdaFunctionAssociations"]
    assert deployment(template)["Rewriter"] == association["LambdaFunctionARN"]


def test_custom_domain_has_certificate_tls_1_2_and_records(full_template: dict[str, Any]) -> None:
    certificate = only_resource(full_template, "AWS::CertificateManager::Certificate")
    assert (certificate["DomainName"], certificate["ValidationMethod"]) == ("www.example.com", "DNS")
    config = distribution(full_template)
    names = ["www.example.com", "example.com", "docs.example.com"]
    assert config["Aliases"] == names
    assert certificate["SubjectAlternativeNames"] == names[1:]
    assert config["ViewerCertificate"]["MinimumProtocolVersion"] == "TLSv1.2_2021"
    records = resources_of_type(full_template, "AWS::Route53::RecordSet")
    expected = sorted((f"{name}.", record_type) for name in names for record_type in ("A", "AAAA"))
    assert sorted((record["Name"], record["Type"]) for record in records) == expected
    assert all(record["AliasTarget"] for record in records)
    zones = {option["DomainName"]: option["HostedZoneId"] for option in certificate["DomainValidationOptions"]}
    assert zones == dict.fromkeys(names, "Z0123456789ABCDEFGHIJ")
    assert full_template["Outputs"]["Url"]["Value"] == "https://www.example.com/"


@pytest.mark.reliability("static_site", "Throttling", fault="more requests than the function or bucket can serve")
def test_web_acl_is_optional(template: dict[str, Any], full_template: dict[str, Any]) -> None:
    assert not resources_of_type(template, "AWS::WAFv2::WebACL")
    acl = only_resource(full_template, "AWS::WAFv2::WebACL")
    assert (acl["Scope"], acl["DefaultAction"]) == ("CLOUDFRONT", {"Allow": {}})
    address, *managed = acl["Rules"]
    limit = {"AggregateKeyType": "IP", "EvaluationWindowSec": 300, "Limit": 10_000}
    assert (address["Action"], address["Statement"]) == ({"Block": {}}, {"RateBasedStatement": limit})
    assert [rule["OverrideAction"] for rule in managed] == [{"None": {}}] * 3, "the rules block"
    assert distribution(full_template)["WebACLId"]


def test_stack_is_pinned_to_us_east_1(assembly: Assembly) -> None:
    manifest = json.loads((assembly.directory / "manifest.json").read_text())
    assert manifest["artifacts"][STACK]["environment"].endswith("/us-east-1")


def test_upload_role_can_invalidate_only_this_distribution(template: dict[str, Any]) -> None:
    (deny,) = (
        statement
        for policy in resources_of_type(template, "AWS::IAM::Policy")
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny"
    )
    assert deny["Action"] == ["cloudfront:CreateInvalidation", "cloudfront:GetInvalidation"]
    distribution_id = id_of(template, "Distribution", "AWS::CloudFront::Distribution")
    assert {"Ref": distribution_id} in deny["NotResource"]["Fn::Join"][1]
