"""The post's curl session, request for request, and what makes it true."""

import hashlib
import re
import time
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import urlsplit

import urllib3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from .browser import browser
from .walkthrough import ROOT, PreconditionError, Walkthrough, step

REGION = "us-east-1"  # where the stack is, whatever the session's region
SAMPLE = ROOT / "assets" / "static_site" / "site"
CACHING_DISABLED = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"  # AWS's managed cache policy
STALE_SECONDS = 120  # in which another edge host may give an answer from before a change
HEADERS = {
    "strict-transport-security": "max-age=",
    "content-security-policy": "default-src 'self'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "strict-origin",
}


class StaticSiteWalkthrough(Walkthrough):
    """A directory's address shows its index page, and the function at the edge is the reason."""

    stacks = ("StaticSite",)

    def __enter__(self) -> Self:
        outputs = self.target.outputs("StaticSite", REGION)
        self.url = outputs["Url"]
        self.distribution_id, self.bucket = outputs["DistributionId"], outputs["BucketName"]
        self.cloudfront = self.target.client("cloudfront", REGION)
        self._check_site()
        if not self._attached():  # by a walkthrough that was killed
            self._attach([self._association()])
        self._check_settings()
        self._invalidate()  # the deployment does not wait for its own
        return self

    @step
    def root_has_its_page(self) -> str:
        """curl -i /."""
        answer = self._get("")
        assert (answer.status, self._title(answer)) == (200, "The root page"), self._said(answer)
        return self._said(answer)

    @step
    def subdirectory_has_its_own_page(self) -> str:
        """curl -i /subdirectory/."""
        answer = self._get("subdirectory/")
        assert answer.status == 200, self._said(answer)
        assert self._title(answer) == "The index page of a subdirectory", self._said(answer)
        return self._said(answer)

    @step
    def function_is_the_reason(self) -> str:
        """The same with the function detached, and attached again."""
        attached, title = self._attached(), "The index page of a subdirectory"
        try:
            self._attach([])
            without = self._wait_for("subdirectory/", lambda answer: self._title(answer) != title)
        finally:
            self._attach(attached)
        answer = self._wait_for("subdirectory/", lambda answer: self._title(answer) == title)
        return f"detached: {self._said(without)}; attached: {self._said(answer)}"

    @step
    def without_slash_is_redirected(self) -> str:
        """curl -i '/subdirectory?a=b&c=%2F'."""
        answer = self._get("subdirectory?a=b&c=%2F")
        assert (answer.status, answer.headers["location"]) == (308, "/subdirectory/?a=b&c=%2F"), self._said(answer)
        return f"{answer.status} to {answer.headers['location']}"

    @step
    def dot_in_a_directory_is_no_extension(self) -> str:
        """curl -iL /release-1.2."""
        answer = self._get("release-1.2")
        page = self._get(answer.headers["location"].lstrip("/"))
        assert (page.status, self._title(page)) == (200, "A directory with a dot in its name"), self._said(page)
        return f"{answer.status} to {answer.headers['location']}; {self._said(page)}"

    @step
    def plus_in_a_name_is_no_space(self) -> str:
        """curl -i /c++/ and /c%2B%2B/."""
        for path in ("c++/", "c%2B%2B/"):
            answer = self._get(path)
            seen = answer.status, self._title(answer)
            assert seen == (200, "A directory with a plus in its name"), f"/{path}: {self._said(answer)}"
        return self._said(answer)

    @step
    def missing_page_is_a_true_404(self) -> str:
        """curl -i /no/such/page.html."""
        answer = self._get("no/such/page.html")
        assert (answer.status, self._title(answer)) == (404, "There is no such page"), self._said(answer)
        return self._said(answer)

    @step
    def bucket_refuses_everyone_else(self) -> str:
        """Ask the bucket itself, for a page and for its list."""
        s3 = self.target.session.client("s3", region_name="us-east-1", config=Config(signature_version=UNSIGNED))
        codes = []
        for call in (
            lambda: s3.get_object(Bucket=self.bucket, Key="index.html"),
            lambda: s3.list_objects_v2(Bucket=self.bucket),
        ):
            try:
                call()  # type: ignore[no-untyped-call]
            except ClientError as error:
                codes.append(error.response["Error"]["Code"])
        assert codes == ["AccessDenied", "AccessDenied"], f"the bucket answered: {codes}"
        return "AccessDenied to both"

    @step
    def http_becomes_https(self) -> str:
        """curl -i http://..."""
        answer = self.target.get(self.url.replace("https:", "http:") + "subdirectory/")
        assert answer.status == 301, self._said(answer)
        assert answer.headers["location"] == f"{self.url}subdirectory/", answer.headers["location"]
        return f"{answer.status} to https"

    @step
    def security_headers_are_there(self) -> str:
        """Look at the headers of a page, of a redirect and of a 404."""
        for path in ("", "subdirectory", "no/such/page.html"):
            answer = self._get(path)
            for name, start in HEADERS.items():
                assert answer.headers.get(name, "").startswith(start), f"/{path}: {name} is missing"
        return ", ".join(HEADERS)

    @step
    def cache_hits_until_it_is_cleared(self) -> str:
        """Request a page until it comes from the cache, clear the cache, request it again."""
        seen: list[str] = []

        def comes_from_the_cache() -> bool:  # on AWS several hosts answer, each with a cache
            seen.append(self._get("subdirectory/").headers["x-cache"].split()[0])
            return seen[-1] == "Hit"

        self.target.wait_until(comes_from_the_cache, "an answer from the cache", STALE_SECONDS)
        cleared = time.monotonic()
        self._invalidate()
        answer = self._get("subdirectory/")
        seen.append(answer.headers["x-cache"].split()[0])
        # `Age` leaves out fractions of seconds.
        fetched_since = int(answer.headers.get("age", 0)) + 1 <= time.monotonic() - cleared
        assert seen[-1] != "Hit" or fetched_since, f"an answer from before the invalidation: {seen}"
        return ", ".join(seen)

    @step
    def browser_follows_a_relative_link(self) -> str:
        """Open /subdirectory in a browser, and follow a relative link."""
        with browser(self.target) as driver:
            driver.get(f"{self.url}subdirectory")
            assert urlsplit(driver.current_url).path == "/subdirectory/", driver.current_url
            width = driver.find_element("tag name", "body").value_of_css_property("max-width")
            assert width == "672px", f"the page is not styled: its greatest width is {width}"
            if self.target.pictures:
                driver.save_screenshot(str(self.target.pictures / "static_site.png"))
            driver.find_element("link text", "A relative link").click()
            assert urlsplit(driver.current_url).path == "/subdirectory/details.html", driver.current_url
            return f'styled; the link leads to "{driver.title}"'

    def _get(self, path: str) -> urllib3.BaseHTTPResponse:
        return self.target.get(f"{self.url}{path}")

    def _wait_for(self, path: str, wanted: Callable[[urllib3.BaseHTTPResponse], bool]) -> urllib3.BaseHTTPResponse:
        """Request `path` until the answer is as `wanted`; hosts at the edge take up a change one by one."""

        def answer() -> urllib3.BaseHTTPResponse | None:
            got = self._get(path)
            return got if wanted(got) else None

        return self.target.wait_until(answer, f"another answer to /{path}", STALE_SECONDS)

    def _check_site(self) -> None:
        """Raise PreconditionError unless the bucket has the sample site."""
        s3 = self.target.client("s3", REGION)
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        deployed = {found["Key"]: found["ETag"].strip('"') for page in pages for found in page.get("Contents", [])}
        names = {path.relative_to(SAMPLE).as_posix(): path for path in SAMPLE.rglob("[!.]*") if path.is_file()}
        sample = {
            name: hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() for name, path in names.items()
        }
        other = sorted(name for name, digest in sample.items() if deployed.get(name) != digest)
        if other:
            raise PreconditionError(
                f"the deployed site is not the sample site (different or missing: {', '.join(other)}). The walkthrough "
                "detaches the function, so it is not for a site that people use; deploy the sample site, without "
                "static_site:site"
            )

    def _check_settings(self) -> None:
        """Raise PreconditionError when the stack has settings with which the steps see something else.

        What is looked at never comes from the cache: redirects and headers of the distribution.
        """
        config = self.cloudfront.get_distribution_config(Id=self.distribution_id)["DistributionConfig"]
        redirect, page = self._get("subdirectory"), self._get("")
        checks = {
            "without_slash": redirect.headers.get("location") == "/subdirectory/",
            "redirect_status": redirect.status in (200, 308),  # 200: no redirect, see above
            "caching": config["DefaultCacheBehavior"].get("CachePolicyId") != CACHING_DISABLED,
            "content_security_policy": page.headers.get("content-security-policy", "").startswith(
                HEADERS["content-security-policy"]
            ),
        }
        changed = [f"static_site:{name}" for name, default in checks.items() if not default]
        if changed:
            raise PreconditionError(f"deploy with the default value of {', '.join(changed)}, which the steps rely on")

    def _title(self, answer: urllib3.BaseHTTPResponse) -> str:
        found = re.search(r"<title>(.*?)</title>", answer.data.decode())
        return found[1] if found else ""

    def _said(self, answer: urllib3.BaseHTTPResponse) -> str:
        return f'{answer.status} "{self._title(answer)}"'

    def _attached(self) -> list[Any]:
        """The functions that the distribution calls."""
        config = self.cloudfront.get_distribution_config(Id=self.distribution_id)["DistributionConfig"]
        associations: list[Any] = config["DefaultCacheBehavior"].get("LambdaFunctionAssociations", {}).get("Items", [])
        return associations

    def _association(self) -> dict[str, Any]:
        """The association of the stack's function, as the template has it."""
        cloudformation = self.target.client("cloudformation", REGION)
        pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName="StaticSite")
        found = [resource for page in pages for resource in page["StackResourceSummaries"]]
        (version,) = (
            resource["PhysicalResourceId"]
            for resource in found
            if resource["ResourceType"] == "AWS::Lambda::Version"
            and not resource["ResourceStatus"].startswith("DELETE_")  # earlier versions, which updates retain
        )
        return {"EventType": "origin-request", "LambdaFunctionARN": version, "IncludeBody": False}

    def _attach(self, functions: list[Any]) -> None:
        """Have the distribution call `functions`, and no others."""
        answer = self.cloudfront.get_distribution_config(Id=self.distribution_id)
        config = answer["DistributionConfig"]
        associations = {"Quantity": len(functions)} | ({"Items": functions} if functions else {})
        config["DefaultCacheBehavior"]["LambdaFunctionAssociations"] = associations
        self.cloudfront.update_distribution(Id=self.distribution_id, DistributionConfig=config, IfMatch=answer["ETag"])
        self.cloudfront.get_waiter("distribution_deployed").wait(Id=self.distribution_id)
        self._invalidate()

    def _invalidate(self) -> None:
        batch = {"Paths": {"Quantity": 1, "Items": ["/*"]}, "CallerReference": str(time.time_ns())}
        made = self.cloudfront.create_invalidation(DistributionId=self.distribution_id, InvalidationBatch=batch)
        waiter = self.cloudfront.get_waiter("invalidation_completed")
        # Most take a minute or two, some more than the ten minutes that the waiter waits by default.
        timeout_seconds = {"Delay": 20, "MaxAttempts": 90}
        waiter.wait(DistributionId=self.distribution_id, Id=made["Invalidation"]["Id"], WaiterConfig=timeout_seconds)
