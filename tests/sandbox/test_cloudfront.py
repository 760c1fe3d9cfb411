"""The sandbox's CloudFront: requests, caching and access to the origin."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import pytest
import urllib3

from sandbox import Sandbox
from sandbox.cloudfront import origin
from sandbox.target import session, target_of

pytestmark = pytest.mark.enable_socket


class Site:
    """The deployed distribution and its bucket."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.target, clients = target_of(sandbox), session(sandbox)
        outputs = self.target.outputs("StaticSite")
        self.url, self.id, self.bucket = outputs["Url"], outputs["DistributionId"], outputs["BucketName"]
        self.s3, self.cloudfront = clients.client("s3"), clients.client("cloudfront")

    def get(self, path: str, method: str = "GET", **headers: str) -> urllib3.BaseHTTPResponse:
        return self.target.get(f"{self.url}{path}", method, **headers)

    def put(self, key: str, body: bytes, **options: Any) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, **options)

    def invalidate(self, path: str) -> None:
        batch = {"Paths": {"Quantity": 1, "Items": [path]}, "CallerReference": str(time.time_ns())}
        self.cloudfront.create_invalidation(DistributionId=self.id, InvalidationBatch=batch)

    def policy(self) -> dict[str, Any]:
        policy: dict[str, Any] = json.loads(self.s3.get_bucket_policy(Bucket=self.bucket)["Policy"])
        return policy

    @contextmanager
    def with_policy(self, policy: dict[str, Any] | None) -> Iterator[None]:
        """Replace the bucket's policy, or delete it, within the context."""
        before = self.policy()
        try:
            if policy is None:
                self.s3.delete_bucket_policy(Bucket=self.bucket)
            else:
                self.s3.put_bucket_policy(Bucket=self.bucket, Policy=json.dumps(policy))
            yield
        finally:
            self.s3.put_bucket_policy(Bucket=self.bucket, Policy=json.dumps(before))


@pytest.fixture(scope="module")
def site(deployed: Sandbox) -> Site:
    return Site(deployed)


@pytest.mark.reliability(
    "static_site",
    "System-specific",
    fault="a function that CloudFront does not accept",
    expected="the deployment fails, so viewers never reach it",
    observed="`InvalidLambdaFunctionAssociation`",
)
def test_distribution_with_invalid_edge_function_fails(deployed: Sandbox) -> None:
    clients = session(deployed)
    name = target_of(deployed).outputs("StaticSite")["RewriterName"]
    lambda_ = clients.client("lambda")
    timeout = lambda_.get_function_configuration(FunctionName=name)["Timeout"]
    try:
        lambda_.update_function_configuration(FunctionName=name, Timeout=60, Environment={"Variables": {"A": "b"}})
        lambda_.get_waiter("function_updated_v2").wait(FunctionName=name)
        version = lambda_.publish_version(FunctionName=name)["FunctionArn"]
    finally:
        lambda_.update_function_configuration(FunctionName=name, Timeout=timeout, Environment={"Variables": {}})
    behavior = {
        "TargetOriginId": "o",
        "ViewerProtocolPolicy": "https-only",
        "CachePolicyId": "4135ea2d-6df8-44a3-9df3-4b5a84be39ad",
        "LambdaFunctionAssociations": [{"EventType": "origin-request", "LambdaFunctionARN": version}],
    }
    origin = {"Id": "o", "DomainName": "b.s3.us-east-1.amazonaws.com", "S3OriginConfig": {}}
    config = {"Enabled": True, "Origins": [origin], "DefaultCacheBehavior": behavior}
    properties = {"Type": "AWS::CloudFront::Distribution", "Properties": {"DistributionConfig": config}}
    cloudformation = clients.client("cloudformation")
    cloudformation.create_stack(StackName="Edge", TemplateBody=json.dumps({"Resources": {"D": properties}}))
    events = target_of(deployed).wait_until(
        lambda: [
            e
            for e in cloudformation.describe_stack_events(StackName="Edge")["StackEvents"]
            if "FAILED" in e["ResourceStatus"]
        ],
        "the stack fails",
    )
    cloudformation.delete_stack(StackName="Edge")
    assert "InvalidLambdaFunctionAssociation" in events[-1]["ResourceStatusReason"]


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (
            "CachePolicy",
            {
                "MinTTL": 0,
                "DefaultTTL": 0,
                "MaxTTL": 1,
                "ParametersInCacheKeyAndForwardedToOrigin": {
                    "EnableAcceptEncodingGzip": False,
                    "CookiesConfig": {"CookieBehavior": "none"},
                    "HeadersConfig": {"HeaderBehavior": "none"},
                    "QueryStringsConfig": {"QueryStringBehavior": "none"},
                },
            },
        ),
        (
            "OriginAccessControl",
            {"OriginAccessControlOriginType": "s3", "SigningBehavior": "always", "SigningProtocol": "sigv4"},
        ),
    ],
)
def test_policy_with_the_name_of_another_is_refused(kind: str, config: dict[str, Any]) -> None:
    """On AWS names of policies and origin access controls are unique; CloudFormation does not adopt existing ones."""
    properties = {f"{kind}Config": config | {"Name": "the-name"}}
    resource = {"Type": f"AWS::CloudFront::{kind}", "Properties": properties}
    resources = {"First": resource, "Second": resource | {"DependsOn": "First"}}
    with Sandbox() as sandbox:
        cloudformation = session(sandbox).client("cloudformation")
        cloudformation.create_stack(StackName="Twice", TemplateBody=json.dumps({"Resources": resources}))
        target_of(sandbox).wait_until(
            lambda: (
                cloudformation.describe_stacks(StackName="Twice")["Stacks"][0]["StackStatus"] == "ROLLBACK_COMPLETE"
            ),
            "the stack is rolled back",
        )
        events = cloudformation.describe_stack_events(StackName="Twice")["StackEvents"]
    failed = [event for event in events if event["ResourceStatus"] == "CREATE_FAILED"]
    assert [event["LogicalResourceId"] for event in failed] == ["Second"]
    assert f"{kind}AlreadyExists" in failed[0]["ResourceStatusReason"]


def x_cache(response: urllib3.BaseHTTPResponse) -> str:
    return response.headers["x-cache"].split()[0]


def test_unknown_host_returns_403(site: Site) -> None:
    assert site.target.get("https://unknown.cloudfront.net/").status == 403


def test_method_not_allowed_returns_403(site: Site) -> None:
    response = site.get("", "DELETE")
    assert (response.status, b"is not configured to allow the HTTP request method" in response.data) == (403, True)


def test_head_returns_headers_without_body(site: Site) -> None:
    head, get = site.get("", "HEAD"), site.get("")
    assert (head.status, head.data) == (200, b"")
    assert head.headers["etag"] == get.headers["etag"]


@pytest.mark.reliability(
    "static_site",
    "Throttling",
    fault="more requests than the function or bucket can serve",
    expected="cached pages need neither; a web ACL is optional",
    observed="a cache hit with any query string",
)
def test_cache_key_is_the_path(site: Site) -> None:
    site.put("cached.html", b"one")
    assert [x_cache(site.get(f"cached.html{query}")) for query in ("", "?a=b", "?c=d")] == ["Miss", "Hit", "Hit"]


@pytest.mark.reliability(
    "static_site",
    "Delayed or out of order",
    fault="a cached page is older than the published one",
    expected="served until it is invalidated, for at most a day",
    observed="the old page, then the new page after the invalidation",
)
def test_response_is_cached_until_its_path_is_invalidated(site: Site) -> None:
    site.put("updated.html", b"one")
    site.get("updated.html")
    site.put("updated.html", b"two")
    assert site.get("updated.html").data == b"one"
    site.invalidate("/updated.*")
    assert site.get("updated.html").data == b"two"


@pytest.mark.parametrize("header", ["no-store", "no-cache", "private", "max-age=0"])
def test_uncacheable_response_is_not_cached(site: Site, header: str) -> None:
    site.put("fresh.html", b"x", CacheControl=header)
    site.invalidate("/fresh.html")
    assert [x_cache(site.get("fresh.html")) for _ in range(2)] == ["Miss", "Miss"]


@pytest.mark.reliability("static_site", "Lost event or response", fault="the invalidation after a deployment")
def test_redirect_of_the_function_is_not_cached(site: Site) -> None:
    assert [site.get(f"subdirectory?n={n}").headers["location"] for n in (1, 2)] == [
        "/subdirectory/?n=1",
        "/subdirectory/?n=2",
    ]


@pytest.mark.reliability(
    "static_site",
    "Hostile input",
    fault="S3 query parameters",
    expected="they are not sent to the bucket",
    observed="`response-content-type` has no effect",
)
def test_query_string_is_not_sent_to_the_bucket(site: Site) -> None:
    response = site.get("index.html?response-content-type=text/evil")
    assert response.headers["content-type"] == "text/html"


def test_origin_decodes_plus_as_space() -> None:
    """Like S3's REST endpoint. Called directly, because the edge function encodes every plus."""
    assert [origin._key(path) for path in ("/a+b", "/a%2Bb", "/a%20b", "/a%252Bb")] == ["a b", "a+b", "a b", "a%2Bb"]
    assert [origin._key(path) for path in ("/100%", "/%zz", "/%FF")] == [None, None, None], "InvalidURI"


@pytest.mark.parametrize("name", ["1+1", "100%", "a b", "é", "[x]", "a;b=c&d", "q?", "x|y"])
@pytest.mark.reliability(
    "static_site",
    "Malformed input",
    fault="a path that S3 and browsers decode differently (`+`, a lone `%`), or that is not a valid key",
)
def test_object_is_found_by_browser_and_sdk_encoding(site: Site, name: str) -> None:
    site.put(f"odd/{name}.txt", name.encode())
    browser_path = quote(name.replace("%", "%25"), safe="%+;=&[]|!$'()*,:@")
    for path in {browser_path, quote(name)}:
        response = site.get(f"odd/{path}.txt")
        assert (response.status, response.data.decode()) == (200, name), path


@pytest.mark.parametrize("path", ["100%", "%FF.txt", "a" * 1025 + ".txt", "%00.txt", "..%2F..%2Fx.txt"])
@pytest.mark.reliability(
    "static_site",
    "Malformed input",
    fault="a path that S3 and browsers decode differently (`+`, a lone `%`), or that is not a valid key",
)
def test_invalid_key_returns_404_with_the_sites_page(site: Site, path: str) -> None:
    response = site.get(path)
    assert (response.status, response.data) in [(404, site.get("404.html").data), (308, b"")]


def test_404_page_is_sent_with_max_age_0(site: Site) -> None:
    assert site.get("no-such-page.html").headers["cache-control"] == "max-age=0"
    assert site.get("").headers["cache-control"] == "public, max-age=0, s-maxage=86400"


def test_text_is_compressed_if_client_accepts_gzip(site: Site) -> None:
    site.put("long.txt", b"x" * 5000, ContentType="text/plain")
    plain, compressed = site.get("long.txt"), site.get("long.txt", **{"accept-encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert compressed.headers["content-encoding"] == "gzip"
    assert compressed.data == plain.data


@pytest.mark.reliability("static_site", "Access denied", fault="the bucket denies access to the distribution")
def test_bucket_policy_of_another_distribution_returns_403(site: Site) -> None:
    site.put("private.html", b"x")
    policy_of_another = json.loads(json.dumps(site.policy()).replace(site.id, "EOTHER00000000"))
    with site.with_policy(policy_of_another):
        site.invalidate("/*")
        assert site.get("private.html").status == 403, "the 404 page cannot be read either"
    assert site.get("private.html").status == 200


@pytest.mark.reliability(
    "static_site",
    "Access denied",
    fault="the bucket denies access to the distribution",
    expected="cached pages are served; other requests fail and never list the bucket",
    observed="200 from the cache; 403 otherwise",
)
def test_cached_page_is_served_without_a_bucket_policy(site: Site) -> None:
    site.put("still-cached.html", b"x")
    assert site.get("still-cached.html").status == 200
    with site.with_policy(None):
        assert (site.get("still-cached.html").status, x_cache(site.get("still-cached.html"))) == (200, "Hit")


@pytest.mark.reliability(
    "static_site",
    "Deleted externally",
    fault="a page",
    expected="status 404 and the site's error page, until the page is uploaded again",
    observed="404, then 200",
)
def test_deleted_page_returns_404_until_uploaded_again(site: Site) -> None:
    site.put("deleted.html", b"x")
    assert site.get("deleted.html").status == 200
    site.s3.delete_object(Bucket=site.bucket, Key="deleted.html")
    site.invalidate("/deleted.html")
    missing = site.get("deleted.html")
    assert (missing.status, missing.data) == (404, site.get("404.html").data)
    site.put("deleted.html", b"y")
    assert site.get("deleted.html").data == b"y", "the error must not be cached longer"


@pytest.mark.reliability("static_site", "Lost event or response", fault="the invalidation after a deployment")
def test_s_maxage_overrides_max_age(site: Site) -> None:
    site.put("shared.html", b"x", CacheControl="max-age=0, s-maxage=60")
    assert [x_cache(site.get("shared.html")) for _ in range(2)] == ["Miss", "Hit"]


@pytest.mark.reliability("static_site", "Access denied", fault="the bucket denies access to the distribution")
def test_deny_in_the_bucket_policy_returns_403(site: Site) -> None:
    site.put("denied.html", b"x")
    policy = site.policy()
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:Get*", "Resource": f"arn:aws:s3:::{site.bucket}/*"}
    policy["Statement"].append(deny)
    with site.with_policy(policy):
        site.invalidate("/*")
        assert site.get("denied.html").status == 403


def test_unsigned_origin_requests_return_403(site: Site) -> None:
    (control,) = site.cloudfront.list_origin_access_controls()["OriginAccessControlList"]["Items"]
    site.put("unsigned.html", b"x")

    def sign(behavior: str) -> None:
        current = site.cloudfront.get_origin_access_control(Id=control["Id"])
        config = current["OriginAccessControl"]["OriginAccessControlConfig"] | {"SigningBehavior": behavior}
        site.cloudfront.update_origin_access_control(
            Id=control["Id"], IfMatch=current["ETag"], OriginAccessControlConfig=config
        )

    try:
        sign("never")
        site.invalidate("/*")
        assert site.get("unsigned.html").status == 403
    finally:
        sign("always")
    assert site.get("unsigned.html").status == 200


def test_disabled_distribution_returns_403(site: Site) -> None:
    def set_enabled(enabled: bool) -> None:
        current = site.cloudfront.get_distribution_config(Id=site.id)
        config = current["DistributionConfig"] | {"Enabled": enabled}
        site.cloudfront.update_distribution(Id=site.id, IfMatch=current["ETag"], DistributionConfig=config)

    try:
        set_enabled(False)
        assert site.get("").status == 403
    finally:
        set_enabled(True)
    assert site.get("").status == 200


def test_response_headers_policy_adds_overrides_and_removes_headers(site: Site) -> None:
    (policy,) = site.cloudfront.list_response_headers_policies(Type="custom")["ResponseHeadersPolicyList"]["Items"]
    policy_id = policy["ResponseHeadersPolicy"]["Id"]
    current = site.cloudfront.get_response_headers_policy_config(Id=policy_id)
    original = current["ResponseHeadersPolicyConfig"]

    def update(config: dict[str, Any]) -> None:
        etag = site.cloudfront.get_response_headers_policy_config(Id=policy_id)["ETag"]
        site.cloudfront.update_response_headers_policy(
            Id=policy_id, IfMatch=etag, ResponseHeadersPolicyConfig={"Name": original["Name"], **config}
        )

    custom = [
        {"Header": "X-Team", "Value": "web", "Override": False},
        {"Header": "ETag", "Value": "policy", "Override": False},
        {"Header": "Server", "Value": "policy", "Override": True},
    ]
    cors = {
        "AccessControlAllowOrigins": {"Quantity": 1, "Items": ["https://*.example.com"]},
        "AccessControlAllowHeaders": {"Quantity": 1, "Items": ["*"]},
        "AccessControlAllowMethods": {"Quantity": 1, "Items": ["GET"]},
        "AccessControlAllowCredentials": False,
        "OriginOverride": True,
    }
    security = {"XSSProtection": {"Protection": True, "ModeBlock": True, "Override": True}}
    config = {
        "CustomHeadersConfig": {"Quantity": 3, "Items": custom},
        "CorsConfig": cors,
        "SecurityHeadersConfig": security,
        "RemoveHeadersConfig": {"Quantity": 1, "Items": [{"Header": "Last-Modified"}]},
    }
    try:
        update(config)
        allowed, other = (site.get("", origin=f"https://app.{domain}") for domain in ("example.com", "example.org"))
    finally:
        update({name: value for name, value in original.items() if name != "Name"})
    assert (allowed.headers["x-team"], allowed.headers["server"]) == ("web", "policy")
    assert allowed.headers["etag"] == site.get("").headers["etag"] != "policy"
    assert "last-modified" not in allowed.headers
    assert "last-modified" in site.get("").headers
    assert allowed.headers["x-xss-protection"] == "1; mode=block"
    assert allowed.headers["access-control-allow-origin"] == "https://app.example.com"
    assert "access-control-allow-origin" not in other.headers
