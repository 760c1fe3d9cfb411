"""CloudFront Functions in the sandbox: the site with one, and those that CloudFront refuses."""

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox import Sandbox
from sandbox.target import SPEED, session, target_of
from walkthroughs.static_site import StaticSiteWalkthrough
from walkthroughs.walkthrough import SkipStep, Step

from .conftest import deployable
from .stacks import Stacks

pytestmark = pytest.mark.enable_socket
FUNCTION = "function handler(event) { return event.request; }"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    if "static_site" not in deployable():
        pytest.skip("another system is selected")
    with Sandbox(speed=SPEED) as sandbox:
        sandbox.bootstrap("us-east-1")
        sandbox.deploy("StaticSite", settings={"static_site:edge": "function"})
        yield sandbox


@pytest.fixture(scope="module")
def walkthrough(sandbox: Sandbox) -> Iterator[StaticSiteWalkthrough]:
    with StaticSiteWalkthrough(target_of(sandbox)) as walkthrough:
        yield walkthrough


@pytest.mark.parametrize("step", StaticSiteWalkthrough.steps, ids=lambda step: step.method.__name__)
def test_walkthrough_with_function(walkthrough: StaticSiteWalkthrough, step: Step) -> None:
    try:
        assert step.method(walkthrough)
    except SkipStep as reason:
        pytest.skip(str(reason))


def test_redirect_is_generated_by_the_function(walkthrough: StaticSiteWalkthrough) -> None:
    response = walkthrough._get("subdirectory?a=b")
    assert response.headers["x-cache"] == "FunctionGeneratedResponse from cloudfront"


def test_paths_of_one_object_share_a_cached_response(walkthrough: StaticSiteWalkthrough) -> None:
    """The function runs before the cache, whose key is the object's."""
    walkthrough._get("c++/")
    assert walkthrough._get("%63%2B%2B/").headers["x-cache"] == "Hit from cloudfront"


def test_destroy_retains_no_function(sandbox: Sandbox, walkthrough: StaticSiteWalkthrough) -> None:
    """Must be the last test of this sandbox."""
    assert walkthrough
    sandbox.cdk("destroy", "StaticSite", "--force", f"--app={sandbox.directory}/cdk.out")
    clients = session(sandbox)
    assert "Items" not in clients.client("cloudfront").list_functions()["FunctionList"]
    assert clients.client("lambda").list_functions()["Functions"] == []
    names = [bucket["Name"] for bucket in clients.client("s3").list_buckets()["Buckets"]]
    assert not [name for name in names if "staticsite" in name]


def function(code: str = FUNCTION, *, published: bool = True) -> dict[str, Any]:
    config = {"Comment": "", "Runtime": "cloudfront-js-2.0"}
    properties = {"Name": "f", "AutoPublish": published, "FunctionCode": code, "FunctionConfig": config}
    return {"Type": "AWS::CloudFront::Function", "Properties": properties}


@pytest.mark.parametrize(
    ("resource", "reason"),
    [
        (function(published=False), "InvalidFunctionAssociation"),
        (function(FUNCTION + " " * 10_240), "FunctionSizeLimitExceeded"),
    ],
    ids=["unpublished", "too large"],
)
def test_function_that_cloudfront_does_not_accept_is_refused(
    stacks: Stacks, resource: dict[str, Any], reason: str
) -> None:
    association = {"EventType": "viewer-request", "FunctionARN": {"Fn::GetAtt": ["Function", "FunctionARN"]}}
    behavior = {
        "TargetOriginId": "o",
        "ViewerProtocolPolicy": "https-only",
        "CachePolicyId": "4135ea2d-6df8-44a3-9df3-4b5a84be39ad",
        "FunctionAssociations": [association],
    }
    origin = {"Id": "o", "DomainName": "b.s3.us-east-1.amazonaws.com", "S3OriginConfig": {}}
    config = {"Enabled": True, "Origins": [origin], "DefaultCacheBehavior": behavior}
    distribution = {"Type": "AWS::CloudFront::Distribution", "Properties": {"DistributionConfig": config}}
    name = stacks.name()
    stacks.create(name, Resources={"Function": resource, "Distribution": distribution})
    assert [event for event in stacks.events(name) if "FAILED" in event[1] and reason in event[2]], stacks.events(name)
