"""The post's curl session, request for request, and what makes it true."""

import re
import time
from typing import Any, Self
from urllib.parse import urlsplit

import boto3
import urllib3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from .browser import browser
from .story import Story, step

HEADERS = {
    "strict-transport-security": "max-age=",
    "content-security-policy": "default-src 'self'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "strict-origin",
}


class StaticSiteStory(Story):
    """A directory's address shows its index page, and the function at the edge is the reason."""

    stacks = ("StaticSite",)

    def __enter__(self) -> Self:
        outputs = self.world.outputs("StaticSite")
        self.url = outputs["Url"]
        self.distribution_id, self.bucket = outputs["DistributionId"], outputs["BucketName"]
        self.cloudfront = self.world.client("cloudfront")
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
        attached = self._attached()
        try:
            self._attach([])
            without = self._get("subdirectory/")
        finally:
            self._attach(attached)
        assert self._title(without) != "The index page of a subdirectory", "it works without the function"
        answer = self._get("subdirectory/")
        assert self._title(answer) == "The index page of a subdirectory", self._said(answer)
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
    def missing_page_is_a_true_404(self) -> str:
        """curl -i /no/such/page.html."""
        answer = self._get("no/such/page.html")
        assert (answer.status, self._title(answer)) == (404, "There is no such page"), self._said(answer)
        return self._said(answer)

    @step
    def bucket_refuses_everyone_else(self) -> str:
        """Ask the bucket itself, for a page and for its list."""
        s3 = boto3.client("s3", region_name="us-east-1", config=Config(signature_version=UNSIGNED))
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
        answer = self.world.get(self.url.replace("https:", "http:") + "subdirectory/")
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
        """Ask twice, invalidate, ask again."""
        self._invalidate()
        seen = [self._get("subdirectory/").headers["x-cache"] for _ in range(2)]
        self._invalidate()
        seen.append(self._get("subdirectory/").headers["x-cache"])
        assert [text.split()[0] for text in seen] == ["Miss", "Hit", "Miss"], seen
        return ", ".join(seen)

    @step
    def browser_follows_a_relative_link(self) -> str:
        """Open /subdirectory in a browser, and follow a relative link."""
        with browser(self.world) as driver:
            driver.get(f"{self.url}subdirectory")
            assert urlsplit(driver.current_url).path == "/subdirectory/", driver.current_url
            width = driver.find_element("tag name", "body").value_of_css_property("max-width")
            assert width == "672px", f"the page is not styled: its greatest width is {width}"
            if self.world.pictures:
                driver.save_screenshot(str(self.world.pictures / "static_site.png"))
            driver.find_element("link text", "A relative link").click()
            assert urlsplit(driver.current_url).path == "/subdirectory/details.html", driver.current_url
            return f'styled; the link leads to "{driver.title}"'

    def _get(self, path: str) -> urllib3.BaseHTTPResponse:
        return self.world.get(f"{self.url}{path}")

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
        waiter.wait(DistributionId=self.distribution_id, Id=made["Invalidation"]["Id"])
