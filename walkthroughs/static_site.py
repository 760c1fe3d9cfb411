"""Run the original post's curl session against the deployed site, and check how the site produces each response."""

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
from .walkthrough import ROOT, PreconditionError, Step, Walkthrough

REGION = "us-east-1"  # of the stack; the session can have another
SAMPLE_SITE = ROOT / "assets" / "static_site" / "site"
CACHING_DISABLED = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"  # AWS's managed cache policy
STALE_SECONDS = 120  # after a change, while other edge hosts can still return old responses
HEADERS = {
    "strict-transport-security": "max-age=",
    "content-security-policy": "default-src 'self'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "strict-origin",
    "permissions-policy": "camera=()",
}


class StaticSiteWalkthrough(Walkthrough):
    """Check that the edge function serves the index page of each directory."""

    stacks = ("StaticSite",)

    def __enter__(self) -> Self:
        outputs = self.target.outputs("StaticSite", REGION)
        self.url = outputs["Url"]
        self.distribution_id, self.bucket = outputs["DistributionId"], outputs["BucketName"]
        self.association = _association(outputs["RewriterArn"])
        self.cloudfront = self.target.client("cloudfront", REGION)
        self._check_site()
        if not self._associations():  # an earlier run was killed after it detached the function
            self._associate([self.association])
        self._check_settings()
        self._invalidate()  # because the deployment does not wait for its own invalidation
        return self

    def root_returns_its_page(self) -> str:
        response = self._get("")
        assert (response.status, self._title(response)) == (200, "The root page"), self._summary(response)
        return self._summary(response)

    def subdirectory_returns_its_index_page(self) -> str:
        response = self._get("subdirectory/")
        assert response.status == 200, self._summary(response)
        assert self._title(response) == "The index page of a subdirectory", self._summary(response)
        return self._summary(response)

    def index_page_needs_the_function(self) -> str:
        associations, title = self._associations(), "The index page of a subdirectory"
        try:
            self._associate([])
            detached = self._wait_for("subdirectory/", lambda response: self._title(response) != title)
        finally:
            self._associate(associations)
        attached = self._wait_for("subdirectory/", lambda response: self._title(response) == title)
        return f"detached: {self._summary(detached)}; attached: {self._summary(attached)}"

    def missing_slash_is_redirected(self) -> str:
        response = self._get("subdirectory?a=b&c=%2F")
        location = response.headers["location"]
        assert (response.status, location) == (308, "/subdirectory/?a=b&c=%2F"), self._summary(response)
        return f"{response.status} to {location}"

    def directory_with_dot_is_redirected(self) -> str:
        response = self._get("release-1.2")
        page = self._get(response.headers["location"].lstrip("/"))
        assert (page.status, self._title(page)) == (200, "A directory with a dot in its name"), self._summary(page)
        return f"{response.status} to {response.headers['location']}; {self._summary(page)}"

    def directory_with_plus_is_found(self) -> str:
        for path in ("c++/", "c%2B%2B/"):
            response = self._get(path)
            status_and_title = response.status, self._title(response)
            expected = 200, "A directory with a plus in its name"
            assert status_and_title == expected, f"/{path}: {self._summary(response)}"
        return self._summary(response)

    def page_is_found_without_its_extension(self) -> str:
        response, redirect = self._get("subdirectory/details"), self._get("subdirectory/details/?a=b")
        assert response.status == 200, self._summary(response)
        assert response.data == self._get("subdirectory/details.html").data, self._summary(response)
        location = redirect.headers["location"]
        assert (redirect.status, location) == (308, "/subdirectory/details?a=b"), self._summary(redirect)
        return f"{self._summary(response)}; with a slash, {redirect.status} to {location}"

    def missing_page_returns_404(self) -> str:
        response = self._get("no/such/page.html")
        assert (response.status, self._title(response)) == (404, "Page not found"), self._summary(response)
        return self._summary(response)

    def bucket_denies_direct_access(self) -> str:
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
        assert codes == ["AccessDenied", "AccessDenied"], f"the bucket returned {codes}"
        return "AccessDenied to both"

    def http_redirects_to_https(self) -> str:
        response = self.target.get(self.url.replace("https:", "http:") + "subdirectory/")
        assert response.status == 301, self._summary(response)
        assert response.headers["location"] == f"{self.url}subdirectory/", response.headers["location"]
        return f"{response.status} to https"

    def responses_have_security_headers(self) -> str:
        for path in ("", "subdirectory", "no/such/page.html"):
            response = self._get(path)
            for name, start in HEADERS.items():
                assert response.headers.get(name, "").startswith(start), f"/{path}: {name} is missing"
        return ", ".join(HEADERS)

    def files_have_types_and_cache_lifetimes(self) -> str:
        page = "public, max-age=0, s-maxage=86400"
        for path, status, content_type, caching in (
            ("", 200, "text/html", page),
            ("assets/site.css", 200, "text/css", page),
            ("assets/mark.svg", 200, "image/svg+xml", page),
            ("no/such/page.html", 404, "text/html", "max-age=0"),
        ):
            response = self._get(path)
            actual = response.status, response.headers["content-type"].partition(";")[0]
            assert actual == (status, content_type), f"/{path}: {actual}"
            assert response.headers["cache-control"] == caching, f"/{path}: {response.headers['cache-control']}"
        return f"{page}; 404: max-age=0"

    def page_is_cached_until_invalidation(self) -> str:
        results: list[str] = []

        def is_hit() -> bool:  # on AWS, several edge hosts respond, each with its own cache
            results.append(self._get("subdirectory/").headers["x-cache"].split()[0])
            return results[-1] == "Hit"

        self.target.wait_until(is_hit, "a response from the cache", STALE_SECONDS)
        invalidated = time.monotonic()
        self._invalidate()
        response = self._get("subdirectory/")
        results.append(response.headers["x-cache"].split()[0])
        # `Age` is rounded down to whole seconds.
        is_newer = int(response.headers.get("age", 0)) + 1 <= time.monotonic() - invalidated
        assert results[-1] != "Hit" or is_newer, f"a cached response from before the invalidation: {results}"
        return ", ".join(results)

    def browser_follows_relative_link(self) -> str:
        with browser(self.target) as driver:
            driver.get(f"{self.url}subdirectory")
            assert urlsplit(driver.current_url).path == "/subdirectory/", driver.current_url
            width = driver.find_element("tag name", "body").value_of_css_property("max-width")
            assert width == "672px", f"the page is not styled: its max-width is {width}"
            if self.target.pictures_folder:
                driver.save_screenshot(str(self.target.pictures_folder / "static_site.png"))
            driver.find_element("link text", "A relative link").click()
            assert urlsplit(driver.current_url).path == "/subdirectory/details.html", driver.current_url
            return f'styled; the link opens "{driver.title}"'

    steps = (
        Step("curl -i / returns the root page", root_returns_its_page),
        Step("curl -i /subdirectory/ returns its index page", subdirectory_returns_its_index_page),
        Step(
            "Detach the function, request /subdirectory/, and attach the function again", index_page_needs_the_function
        ),
        Step("curl -i '/subdirectory?a=b&c=%2F' redirects to /subdirectory/", missing_slash_is_redirected),
        Step(
            "curl -iL /release-1.2 returns the index page of a directory with a dot", directory_with_dot_is_redirected
        ),
        Step("curl -i /c++/ and curl -i /c%2B%2B/ return the same page", directory_with_plus_is_found),
        Step("curl -i /subdirectory/details returns details.html", page_is_found_without_its_extension),
        Step("curl -i /no/such/page.html returns status 404 and the site's error page", missing_page_returns_404),
        Step("Request a page and a list of objects directly from the bucket", bucket_denies_direct_access),
        Step("curl -i http://.../subdirectory/ redirects to HTTPS", http_redirects_to_https),
        Step("Check the headers of a page, a redirect and a 404", responses_have_security_headers),
        Step("Check the types and caching of a page, files and a 404", files_have_types_and_cache_lifetimes),
        Step(
            "Request a page until it is a cache hit, invalidate the cache, and request it again",
            page_is_cached_until_invalidation,
        ),
        Step("Open /subdirectory in a browser and follow a relative link", browser_follows_relative_link),
    )

    def _get(self, path: str) -> urllib3.BaseHTTPResponse:
        return self.target.get(f"{self.url}{path}")

    def _wait_for(self, path: str, is_expected: Callable[[urllib3.BaseHTTPResponse], bool]) -> urllib3.BaseHTTPResponse:
        """Request `path` until the response is expected, because edge hosts apply a change one after another."""

        def expected_response() -> urllib3.BaseHTTPResponse | None:
            response = self._get(path)
            return response if is_expected(response) else None

        return self.target.wait_until(expected_response, f"a changed response to /{path}", STALE_SECONDS)

    def _check_site(self) -> None:
        """Raise PreconditionError unless the bucket contains the sample site."""
        s3 = self.target.client("s3", REGION)
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        objects = [summary for page in pages for summary in page.get("Contents", [])]
        deployed = {summary["Key"]: summary["ETag"].strip('"') for summary in objects}
        sample = {
            path.relative_to(SAMPLE_SITE).as_posix(): hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
            for path in SAMPLE_SITE.rglob("[!.]*")
            if path.is_file()
        }
        differing = sorted(name for name, digest in sample.items() if deployed.get(name) != digest)
        if differing:
            raise PreconditionError(
                f"the deployed site is not the sample site (different or missing: {', '.join(differing)}). The "
                "walkthrough detaches the function, so do not run it on a production site. Deploy the sample site, "
                "without setting static_site:site"
            )

    def _check_settings(self) -> None:
        """Raise PreconditionError if the stack has settings that change what the steps observe.

        The checks use redirects and headers that the distribution adds, because neither comes from the cache.
        """
        config = self.cloudfront.get_distribution_config(Id=self.distribution_id)["DistributionConfig"]
        redirect, page = self._get("subdirectory"), self._get("")
        checks = {
            "trailing_slash": redirect.headers.get("location") == "/subdirectory/",
            "redirect_status": redirect.status in (200, 308),  # 200: no redirect, reported above
            "caching": config["DefaultCacheBehavior"].get("CachePolicyId") != CACHING_DISABLED,
        } | {
            header.replace("-", "_"): page.headers.get(header, "").startswith(HEADERS[header])
            for header in ("content-security-policy", "permissions-policy")
        }
        changed = [f"static_site:{name}" for name, is_default in checks.items() if not is_default]
        if changed:
            raise PreconditionError(f"deploy with the default value of {', '.join(changed)}; the steps rely on it")

    def _title(self, response: urllib3.BaseHTTPResponse) -> str:
        match = re.search(r"<title>(.*?)</title>", response.data.decode())
        return match[1] if match else ""

    def _summary(self, response: urllib3.BaseHTTPResponse) -> str:
        return f'{response.status} "{self._title(response)}"'

    def _associations(self) -> list[Any]:
        """Return the distribution's associations with the stack's kind of edge function."""
        config = self.cloudfront.get_distribution_config(Id=self.distribution_id)["DistributionConfig"]
        associations: list[Any] = config["DefaultCacheBehavior"].get(self._kind, {}).get("Items", [])
        return associations

    def _associate(self, associations: list[Any]) -> None:
        """Replace these associations."""
        current = self.cloudfront.get_distribution_config(Id=self.distribution_id)
        config = current["DistributionConfig"]
        config["DefaultCacheBehavior"][self._kind] = {"Quantity": len(associations)} | (
            {"Items": associations} if associations else {}
        )
        self.cloudfront.update_distribution(Id=self.distribution_id, DistributionConfig=config, IfMatch=current["ETag"])
        self.cloudfront.get_waiter("distribution_deployed").wait(Id=self.distribution_id)
        self._invalidate()

    @property
    def _kind(self) -> str:
        return "LambdaFunctionAssociations" if "LambdaFunctionARN" in self.association else "FunctionAssociations"

    def _invalidate(self) -> None:
        batch = {"Paths": {"Quantity": 1, "Items": ["/*"]}, "CallerReference": str(time.time_ns())}
        response = self.cloudfront.create_invalidation(DistributionId=self.distribution_id, InvalidationBatch=batch)
        waiter = self.cloudfront.get_waiter("invalidation_completed")
        # Most invalidations take a minute or two, but some take longer than the waiter's default of ten minutes.
        waiter_config = {"Delay": 20, "MaxAttempts": 90}
        waiter.wait(DistributionId=self.distribution_id, Id=response["Invalidation"]["Id"], WaiterConfig=waiter_config)


def _association(arn: str) -> dict[str, Any]:
    """Return the template's association with the edge function."""
    if arn.startswith("arn:aws:lambda:"):
        return {"EventType": "origin-request", "LambdaFunctionARN": arn, "IncludeBody": False}
    return {"EventType": "viewer-request", "FunctionARN": arn}
