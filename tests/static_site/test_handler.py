"""The edge function: event in, request or response out."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from lambdas.static_site.handler import handler, load_options
from lambdas.static_site.rewrite import RewriteOptions

VECTOR = Path(__file__).parents[3] / "shared" / "vectors" / "cloudfront-origin-request.json"
EVENT: dict[str, Any] = {
    "Records": [
        {
            "cf": {
                "config": {
                    "distributionDomainName": "d111111abcdef8.cloudfront.net",
                    "distributionId": "EDFDVBD6EXAMPLE",
                    "eventType": "origin-request",
                    "requestId": "4TyzHTaYWb1GX1qTfsHhEqV6HUDd_BzoBZnwfnvQc_1oF26ClkoUSEQ==",
                },
                "request": {
                    "clientIp": "203.0.113.178",
                    "headers": {"host": [{"key": "Host", "value": "site.s3.us-east-1.amazonaws.com"}]},
                    "method": "GET",
                    "origin": {
                        "s3": {
                            "authMethod": "none",
                            "customHeaders": {},
                            "domainName": "site.s3.us-east-1.amazonaws.com",
                            "path": "",
                            "region": "us-east-1",
                        }
                    },
                    "querystring": "a=b",
                    "uri": "/docs/",
                },
            }
        }
    ]
}


def event(**request: str) -> Any:
    event = copy.deepcopy(EVENT)
    event["Records"][0]["cf"]["request"] |= request
    return event


def handle(event: Any, *options: RewriteOptions) -> Any:
    return handler(event, None, *options)


def test_directory_uri_changes_nothing_but_uri_and_query() -> None:
    before = event()["Records"][0]["cf"]["request"]
    after = handle(event())
    assert after == before | {"uri": "/docs/index.html", "querystring": ""}


@pytest.mark.reliability("static_site", "Hostile input", fault="S3 query parameters")
def test_query_string_is_removed_before_the_bucket() -> None:
    for uri in ("/docs/", "/style.css", "/.well-known/x"):
        assert handle(event(uri=uri, querystring="versionId=null"))["querystring"] == ""


def test_missing_slash_returns_uncacheable_redirect() -> None:
    assert handle(event(uri="/docs", querystring="a=%2F")) == {
        "status": "308",
        "statusDescription": "Permanent Redirect",
        "headers": {
            "location": [{"key": "Location", "value": "/docs/?a=%2F"}],
            "cache-control": [{"key": "Cache-Control", "value": "no-store"}],
        },
    }


def test_redirect_status_follows_the_setting() -> None:
    response = handle(event(uri="/docs"), RewriteOptions(redirect_status=301))
    assert (response["status"], response["statusDescription"]) == ("301", "Moved Permanently")


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "POST", "PATCH", "DELETE"])
def test_other_methods_pass_unchanged(method: str) -> None:
    assert handle(event(method=method, uri="/docs"))["uri"] == "/docs"


def test_head_is_rewritten_like_get() -> None:
    assert handle(event(method="HEAD"))["uri"] == "/docs/index.html"


def test_nothing_is_logged(capfd: pytest.CaptureFixture[str]) -> None:
    handle(event())
    handle(event(uri="/docs"))
    assert capfd.readouterr() == ("", "")


def test_options_are_loaded_from_settings_file(tmp_path: Path) -> None:
    settings = {
        "trailing_slash": "rewrite",
        "redirect_status": 301,
        "redirect_index_html": True,
        "style": "page",
        "exceptions": {"/C%2B%2B": "file"},
    }
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    expected = RewriteOptions("rewrite", 301, True, "page", {"/C%2B%2B": "file"})
    assert load_options(str(tmp_path / "settings.json")) == expected


@pytest.mark.skipif(not VECTOR.exists(), reason="the public sample events are not available")
def test_public_sample_event_is_handled() -> None:
    sample = json.loads(VECTOR.read_text())
    uri = sample["Records"][0]["cf"]["request"]["uri"]
    result = handle(sample)
    assert result.get("uri", "").startswith(uri) or result["status"] == "308"
