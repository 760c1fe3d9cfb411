"""Facts about the sandbox's CloudFront: the way of a request, step by step."""

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
    """The deployed distribution, and its bucket."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.target, clients = target_of(sandbox), session(sandbox)
        outputs = self.target.outputs("StaticSite")
        self.url, self.id, self.bucket = outputs["Url"], outputs["DistributionId"], outputs["BucketName"]
        self.s3, self.cloudfront = clients.client("s3"), clients.client("cloudfront")

    def get(self, path: str, method: str = "GET", **headers: str) -> urllib3.BaseHTTPResponse:
        return self.target.get(f"{self.url}{path}", method, **headers)

    def put(self, key: str, body: bytes, **options: Any) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, **options)

    def clear(self, path: str) -> None:
        batch = {"Paths": {"Quantity": 1, "Items": [path]}, "CallerReference": str(time.time_ns())}
        self.cloudfront.create_invalidation(DistributionId=self.id, InvalidationBatch=batch)

    def policy(self) -> dict[str, Any]:
        policy: dict[str, Any] = json.loads(self.s3.get_bucket_policy(Bucket=self.bucket)["Policy"])
        return policy

    @contextmanager
    def with_policy(self, policy: dict[str, Any] | None) -> Iterator[None]:
        """The bucket with another policy, or with none."""
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
    "Only here",
    fault="a function that CloudFront does not take",
    expected="the deployment fails, so that no viewer meets it",
    observed="`InvalidLambdaFunctionAssociation`",
)
def test_function_that_cannot_be_at_the_edge_is_refused(deployed: Sandbox) -> None:
    clients = session(deployed)
    name = target_of(deployed).outputs("StaticSite")["RewriterName"]
    lambda_ = clients.client("lambda")
    timeout = lambda_.get_function_configuration(FunctionName=name)["Timeout"]
    try:
        lambda_.update_function_configuration(FunctionName=name, Timeout=60, Environment={"Variables": {"A": "b"}})
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


def x_cache(answer: urllib3.BaseHTTPResponse) -> str:
    return answer.headers["x-cache"].split()[0]


def test_unknown_host_is_refused(site: Site) -> None:
    assert site.target.get("https://nobody.cloudfront.net/").status == 403


def test_method_that_the_behavior_does_not_allow_is_refused(site: Site) -> None:
    assert site.get("", "DELETE").status == 403


def test_head_has_the_headers_and_no_body(site: Site) -> None:
    head, get = site.get("", "HEAD"), site.get("")
    assert (head.status, head.data) == (200, b"")
    assert head.headers["etag"] == get.headers["etag"]


@pytest.mark.reliability(
    "static_site",
    "Throttling",
    fault="more requests than the function or the bucket takes",
    expected="what is in the cache needs neither; a web ACL is an option",
    observed="a hit, whatever the query string",
)
def test_cache_is_keyed_by_the_path_alone(site: Site) -> None:
    site.put("cached.html", b"one")
    assert [x_cache(site.get(f"cached.html{query}")) for query in ("", "?a=b", "?c=d")] == ["Miss", "Hit", "Hit"]


@pytest.mark.reliability(
    "static_site",
    "Late",
    fault="a cached answer is older than the page",
    expected="it stays until it is cleared, a day at most",
    observed="old, then new after the invalidation",
)
def test_cached_answer_stays_until_its_path_is_invalidated(site: Site) -> None:
    site.put("kept.html", b"one")
    site.get("kept.html")
    site.put("kept.html", b"two")
    assert site.get("kept.html").data == b"one"
    site.clear("/kept.*")
    assert site.get("kept.html").data == b"two"


@pytest.mark.parametrize("header", ["no-store", "no-cache", "private", "max-age=0"])
def test_answer_that_says_so_is_not_kept(site: Site, header: str) -> None:
    site.put("fresh.html", b"x", CacheControl=header)
    site.clear("/fresh.html")
    assert [x_cache(site.get("fresh.html")) for _ in range(2)] == ["Miss", "Miss"]


@pytest.mark.reliability("static_site", "Lost", fault="the invalidation after a deployment")
def test_redirect_of_the_function_is_not_kept(site: Site) -> None:
    assert [site.get(f"subdirectory?n={n}").headers["location"] for n in (1, 2)] == [
        "/subdirectory/?n=1",
        "/subdirectory/?n=2",
    ]


@pytest.mark.reliability(
    "static_site",
    "Hostile input",
    fault="S3's own parameters in the query string",
    expected="they never reach the bucket",
    observed="`response-content-type` changes nothing",
)
def test_query_string_does_not_reach_the_bucket(site: Site) -> None:
    answer = site.get("index.html?response-content-type=text/evil")
    assert answer.headers["content-type"] == "text/html"


def test_origin_reads_a_plus_as_a_space() -> None:
    """The origin by itself: the rewriter lets no plus through. As S3's REST endpoint does."""
    assert [origin._key(path) for path in ("/a+b", "/a%2Bb", "/a%20b", "/a%252Bb")] == ["a b", "a+b", "a b", "a%2Bb"]
    assert [origin._key(path) for path in ("/100%", "/%zz", "/%FF")] == [None, None, None], "InvalidURI"


@pytest.mark.parametrize("name", ["1+1", "100%", "a b", "é", "[x]", "a;b=c&d", "q?", "x|y"])
@pytest.mark.reliability(
    "static_site",
    "Malformed input",
    fault="a path that S3 reads differently from a browser (`+`, a lone `%`), or that no key can have",
)
def test_object_is_found_by_the_path_that_a_browser_writes(site: Site, name: str) -> None:
    site.put(f"odd/{name}.txt", name.encode())
    as_browsers_write = quote(name.replace("%", "%25"), safe="%+;=&[]|!$'()*,:@")
    for path in {as_browsers_write, quote(name)}:
        answer = site.get(f"odd/{path}.txt")
        assert (answer.status, answer.data.decode()) == (200, name), path


@pytest.mark.parametrize("path", ["100%", "%FF.txt", "a" * 1025 + ".txt", "%00.txt", "..%2F..%2Fx.txt"])
@pytest.mark.reliability(
    "static_site",
    "Malformed input",
    fault="a path that S3 reads differently from a browser (`+`, a lone `%`), or that no key can have",
)
def test_path_that_no_key_can_have_is_a_404_with_the_sites_page(site: Site, path: str) -> None:
    answer = site.get(path)
    assert (answer.status, answer.data) in [(404, site.get("404.html").data), (308, b"")]


def test_page_of_the_404_is_not_kept_by_browsers(site: Site) -> None:
    assert site.get("no-such-page.html").headers["cache-control"] == "max-age=0"
    assert site.get("").headers["cache-control"] == "public, max-age=300, s-maxage=86400"


def test_text_is_compressed_for_who_can_read_it(site: Site) -> None:
    site.put("long.txt", b"x" * 5000, ContentType="text/plain")
    plain, packed = site.get("long.txt"), site.get("long.txt", **{"accept-encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.data == plain.data


@pytest.mark.reliability("static_site", "Access denied", fault="the bucket refuses the distribution")
def test_bucket_policy_is_what_lets_the_distribution_in(site: Site) -> None:
    site.put("guarded.html", b"x")
    of_another = json.loads(json.dumps(site.policy()).replace(site.id, "EOTHER00000000"))
    with site.with_policy(of_another):
        site.clear("/*")
        assert site.get("guarded.html").status == 403, "nor can the page of the 404 be had"
    assert site.get("guarded.html").status == 200


@pytest.mark.reliability(
    "static_site",
    "Access denied",
    fault="the bucket refuses the distribution",
    expected="what is in the cache stays; the rest is an error, never a list of the bucket",
    observed="200 from the cache; 403 otherwise",
)
def test_cached_page_stays_while_the_bucket_refuses_everybody(site: Site) -> None:
    site.put("kept-on.html", b"x")
    assert site.get("kept-on.html").status == 200
    with site.with_policy(None):
        assert (site.get("kept-on.html").status, x_cache(site.get("kept-on.html"))) == (200, "Hit")


@pytest.mark.reliability(
    "static_site",
    "Deleted by somebody else",
    fault="a page",
    expected="a true 404 with the site's page; not kept once the page is back",
    observed="404, then 200",
)
def test_page_that_somebody_deletes_is_a_404_until_it_is_there_again(site: Site) -> None:
    site.put("deleted.html", b"x")
    assert site.get("deleted.html").status == 200
    site.s3.delete_object(Bucket=site.bucket, Key="deleted.html")
    site.clear("/deleted.html")
    missing = site.get("deleted.html")
    assert (missing.status, missing.data) == (404, site.get("404.html").data)
    site.put("deleted.html", b"y")
    assert site.get("deleted.html").data == b"y", "the error was kept"


@pytest.mark.reliability("static_site", "Lost", fault="the invalidation after a deployment")
def test_shared_lifetime_goes_before_that_of_browsers(site: Site) -> None:
    site.put("shared.html", b"x", CacheControl="max-age=0, s-maxage=60")
    assert [x_cache(site.get("shared.html")) for _ in range(2)] == ["Miss", "Hit"]


@pytest.mark.reliability("static_site", "Access denied", fault="the bucket refuses the distribution")
def test_deny_in_the_bucket_policy_wins(site: Site) -> None:
    site.put("denied.html", b"x")
    policy = site.policy()
    everyone = {"Effect": "Deny", "Principal": "*", "Action": "s3:Get*", "Resource": f"arn:aws:s3:::{site.bucket}/*"}
    policy["Statement"].append(everyone)
    with site.with_policy(policy):
        site.clear("/*")
        assert site.get("denied.html").status == 403


def test_origin_access_control_that_signs_nothing_opens_nothing(site: Site) -> None:
    (control,) = site.cloudfront.list_origin_access_controls()["OriginAccessControlList"]["Items"]
    site.put("unsigned.html", b"x")

    def sign(behavior: str) -> None:
        found = site.cloudfront.get_origin_access_control(Id=control["Id"])
        config = found["OriginAccessControl"]["OriginAccessControlConfig"] | {"SigningBehavior": behavior}
        site.cloudfront.update_origin_access_control(
            Id=control["Id"], IfMatch=found["ETag"], OriginAccessControlConfig=config
        )

    try:
        sign("never")
        site.clear("/*")
        assert site.get("unsigned.html").status == 403
    finally:
        sign("always")
    assert site.get("unsigned.html").status == 200


def test_disabled_distribution_answers_nobody(site: Site) -> None:
    def enable(on: bool) -> None:
        found = site.cloudfront.get_distribution_config(Id=site.id)
        config = found["DistributionConfig"] | {"Enabled": on}
        site.cloudfront.update_distribution(Id=site.id, IfMatch=found["ETag"], DistributionConfig=config)

    try:
        enable(False)
        assert site.get("").status == 403
    finally:
        enable(True)
    assert site.get("").status == 200
