"""The walkthrough of static_site in cases that the sandbox cannot show: several edge hosts, and another stack.

A stub replaces AWS's APIs and the site.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from walkthroughs.static_site import CACHING_DISABLED, SAMPLE_SITE, StaticSiteWalkthrough
from walkthroughs.walkthrough import PreconditionError, Target

ATTACHED = {"EventType": "origin-request", "LambdaFunctionARN": "arn:aws:lambda:us-east-1:111111111111:function:f:1"}
ATTACHED_FUNCTION = {"EventType": "viewer-request", "FunctionARN": "arn:aws:cloudfront::111111111111:function/f"}


class Response:
    def __init__(self, status: int = 200, **headers: str) -> None:
        self.status, self.headers, self.data = status, {k.replace("_", "-"): v for k, v in headers.items()}, b""


SECURITY_HEADERS = {"content_security_policy": "default-src 'self'", "permissions_policy": "camera=()"}


class Account:
    """A stub of every service's client and of the site."""

    def __init__(self) -> None:
        self.regions: set[str | None] = set()
        self.files = {
            p.relative_to(SAMPLE_SITE).as_posix(): p.read_bytes() for p in SAMPLE_SITE.rglob("*") if p.is_file()
        }
        self.behavior: dict[str, Any] = {"LambdaFunctionAssociations": {"Items": [ATTACHED]}}
        self.rewriter = ATTACHED["LambdaFunctionARN"]
        self.redirect = Response(308, location="/subdirectory/")
        self.page = Response(200, **SECURITY_HEADERS)
        self.pages: Iterator[Response] = iter(())
        self.invalidations = 0

    def client(self, _service: str, region: str | None = None) -> Any:
        self.regions.add(region)
        return self

    def get(self, url: str) -> Response:
        path = url.removeprefix("https://site.example.com/")
        return self.redirect if path == "subdirectory" else self.page if not path else next(self.pages)

    def describe_stacks(self, **_: Any) -> dict[str, Any]:
        values = {"Url": "https://site.example.com/", "DistributionId": "E1", "BucketName": "site"}
        values["RewriterArn"] = self.rewriter
        outputs = [{"OutputKey": key, "OutputValue": value} for key, value in values.items()]
        return {"Stacks": [{"StackStatus": "CREATE_COMPLETE", "Outputs": outputs}]}

    def get_paginator(self, _operation: str) -> Any:
        return self

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        digests = {name: hashlib.md5(body, usedforsecurity=False).hexdigest() for name, body in self.files.items()}
        return [{"Contents": [{"Key": name, "ETag": f'"{digest}"'} for name, digest in digests.items()]}]

    def get_distribution_config(self, **_: Any) -> dict[str, Any]:
        return {"ETag": "1", "DistributionConfig": {"DefaultCacheBehavior": self.behavior}}

    def update_distribution(self, DistributionConfig: dict[str, Any], **_: Any) -> None:
        self.behavior = DistributionConfig["DefaultCacheBehavior"]

    def create_invalidation(self, **_: Any) -> dict[str, Any]:
        self.invalidations += 1
        return {"Invalidation": {"Id": "I1"}}

    def get_waiter(self, _name: str) -> Any:
        return self

    def wait(self, **_: Any) -> None:
        pass


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Account:
    account = Account()
    monkeypatch.setattr(Target, "client", lambda _target, service, region=None: account.client(service, region))
    monkeypatch.setattr(Target, "get", lambda _target, url: account.get(url))
    return account


@pytest.fixture
def walkthrough(account: Account) -> StaticSiteWalkthrough:
    assert account
    return StaticSiteWalkthrough(Target(boto3.Session(region_name="eu-west-1"), 1, 1))


def test_walkthrough_uses_us_east_1_only(walkthrough: StaticSiteWalkthrough, account: Account) -> None:
    walkthrough.__enter__()
    assert account.regions == {"us-east-1"}, "the session is in eu-west-1"


def test_walkthrough_invalidates_cache_first(walkthrough: StaticSiteWalkthrough, account: Account) -> None:
    walkthrough.__enter__()
    assert account.invalidations == 1, "the deployment does not wait for its invalidation"


@pytest.mark.parametrize("change", ["replaced", "missing"])
def test_walkthrough_refuses_other_sites(walkthrough: StaticSiteWalkthrough, account: Account, change: str) -> None:
    if change == "replaced":
        account.files["index.html"] = b"another site"
    else:
        del account.files["index.html"]
    with pytest.raises(PreconditionError, match=r"not the sample site \(different or missing: index.html\)"):
        walkthrough.__enter__()
    assert account.invalidations == 0, "the check must come before any change"


@pytest.mark.parametrize(
    ("setting", "attribute", "value"),
    [
        ("trailing_slash", "redirect", Response(200)),
        ("redirect_status", "redirect", Response(301, location="/subdirectory/")),
        ("caching", "behavior", {"LambdaFunctionAssociations": {"Items": [1]}, "CachePolicyId": CACHING_DISABLED}),
        (
            "content_security_policy",
            "page",
            Response(200, **SECURITY_HEADERS | {"content_security_policy": "default-src *"}),
        ),
        ("permissions_policy", "page", Response(200, **SECURITY_HEADERS | {"permissions_policy": "usb=()"})),
    ],
)
def test_walkthrough_refuses_changed_settings(
    walkthrough: StaticSiteWalkthrough, account: Account, setting: str, attribute: str, value: Any
) -> None:
    setattr(account, attribute, value)
    with pytest.raises(PreconditionError, match=f"default value of static_site:{setting};"):
        walkthrough.__enter__()
    assert account.invalidations == 0, "the check must come before any change"


@pytest.mark.parametrize(
    ("arn", "kind", "association"),
    [
        (ATTACHED["LambdaFunctionARN"], "LambdaFunctionAssociations", ATTACHED),
        (ATTACHED_FUNCTION["FunctionARN"], "FunctionAssociations", ATTACHED_FUNCTION),
    ],
)
def test_walkthrough_attaches_a_detached_function(
    walkthrough: StaticSiteWalkthrough, account: Account, arn: str, kind: str, association: dict[str, str]
) -> None:
    """An earlier run was killed, or its credentials expired."""
    account.rewriter, account.behavior = arn, {kind: {"Quantity": 0}}
    walkthrough.__enter__()
    attached = account.behavior[kind]
    assert (attached["Quantity"], attached["Items"][0] | association) == (1, attached["Items"][0])


def test_cache_step_tolerates_several_edge_hosts(walkthrough: StaticSiteWalkthrough, account: Account) -> None:
    walkthrough.__enter__()
    results = ["Miss", "Miss", "Hit", "Miss"]
    account.pages = iter([Response(x_cache=f"{word} from cloudfront", age="90") for word in results])
    assert walkthrough.page_is_cached_until_invalidation() == "Miss, Miss, Hit, Miss"


def test_cache_step_fails_on_stale_response(walkthrough: StaticSiteWalkthrough, account: Account) -> None:
    walkthrough.__enter__()
    account.pages = iter([Response(x_cache="Hit from cloudfront", age="0")] * 2)
    with pytest.raises(AssertionError, match="a cached response from before the invalidation"):
        walkthrough.page_is_cached_until_invalidation()
