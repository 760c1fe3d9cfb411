"""The CloudFront Function: the same results as the Lambda@Edge function, and its size.

Node.js runs it. CloudFront's runtime has fewer features; the code uses those of its documentation.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, strategies as st

from lambdas.static_site.handler import handler
from lambdas.static_site.rewrite import RewriteOptions
from settings.static_site import StaticSiteSettings
from stacks.constructs.assets import AssetError
from stacks.static_site.rewriter import MAX_FUNCTION_BYTES, VIEWER_REQUEST_CODE, viewer_request_code
from stacks.static_site.url_rules import url_rules

from .test_handler import event
from .test_rewrite import (
    CASES,
    DEFAULT,
    INVALID_QUERIES,
    PAGE_CASES,
    PAGE_STYLE,
    VALID_QUERIES,
    any_options,
    queries,
    uris,
)

# Runs the function for each line of standard input, without globals, like CloudFront in strict mode.
RUNNER = """
const vm = require('vm');
require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const { code, request, query } = JSON.parse(line);
  request.rawQueryString = () => query;
  const result = vm.runInContext(`'use strict';${code};handler(event)`, vm.createContext({ event: { request } }));
  console.log(JSON.stringify(result));
});
"""
Run = Callable[..., Any]
NAMES = StaticSiteSettings(
    domain_name="www.example.com",
    alternate_domain_names=("example.com", "docs.example.com"),
    hosted_zone_id="Z0123456789ABCDEFGHIJ",
    hosted_zone_name="example.com",
)


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Call the function in Node.js with a request."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs Node.js: pip install -r requirements.txt")
    pipe = subprocess.PIPE
    with subprocess.Popen([node, "-e", RUNNER], stdin=pipe, stdout=pipe, text=True) as process:
        stdin, stdout = process.stdin, process.stdout
        assert stdin
        assert stdout

        def call(
            uri: str,
            query: str | None,
            options: RewriteOptions | None,
            method: str = "GET",
            host: str = "d111111abcdef8.cloudfront.net",
        ) -> Any:
            headers = {"host": {"value": host}}
            request = {"method": method, "uri": uri, "querystring": {}, "headers": headers, "cookies": {}}
            line = {"code": viewer_request_code(options, NAMES), "request": request, "query": query}
            print(json.dumps(line), file=stdin, flush=True)
            return json.loads(stdout.readline())

        yield call
        stdin.close()  # ends Node.js


def function_result(run: Run, uri: str, query: str | None, options: RewriteOptions) -> dict[str, Any]:
    result = run(uri, query, options)
    if "statusCode" not in result:
        return {"uri": result["uri"]}
    headers = {name: value["value"] for name, value in result["headers"].items()}
    return {"status": result["statusCode"], "description": result["statusDescription"], "headers": headers}


def lambda_result(uri: str, query: str, options: RewriteOptions) -> dict[str, Any]:
    result: Any = handler(event(uri=uri, querystring=query), None, options)
    if "status" not in result:
        return {"uri": result["uri"]}
    headers = {name: values[0]["value"] for name, values in result["headers"].items()}
    return {"status": int(result["status"]), "description": result["statusDescription"], "headers": headers}


@pytest.mark.parametrize(
    ("uri", "expected", "options"),
    [*((*case, DEFAULT) for case in CASES), *((*case, PAGE_STYLE) for case in PAGE_CASES)],
)
def test_function_returns_expected_result(run: Run, uri: str, expected: str, options: RewriteOptions) -> None:
    result = function_result(run, uri, "", options)
    assert (f"-> {result['headers']['location']}" if "headers" in result else result["uri"]) == expected


@given(uris, queries, any_options, st.sampled_from([301, 308]))
@pytest.mark.reliability(
    "static_site",
    "System-specific",
    fault="`edge=function` treats a URI differently from `edge=lambda`",
    expected="the same path or redirect, and the same headers",
    observed="with any URI, query string, style and exceptions, in Node.js",
)
def test_function_and_lambda_return_the_same(
    run: Run, uri: str, query: str, options: RewriteOptions, status: int
) -> None:
    options = options._replace(redirect_status=status)
    assert function_result(run, uri, query, options) == lambda_result(uri, query, options)


@pytest.mark.parametrize("query", [*VALID_QUERIES, *INVALID_QUERIES])
def test_redirect_has_the_query_string_of_the_lambda_redirect(run: Run, query: str) -> None:
    assert function_result(run, "/docs", query, DEFAULT) == lambda_result("/docs", query, DEFAULT)


@pytest.mark.parametrize("uri", ["/docs/index.html", "/index.html", "/docs/page.html", "//evil.com/index.html"])
def test_redirect_index_html_redirects_the_same_pages(run: Run, uri: str) -> None:
    options = RewriteOptions(redirect_index_html=True)
    assert function_result(run, uri, "", options) == lambda_result(uri, "", options)


@pytest.mark.parametrize(("character", "size"), [("a", 1), ("+", 1), ("%2B", 1), ("é", 2), ("😀", 4)])
def test_path_longer_than_a_key_passes_unchanged(run: Run, character: str, size: int) -> None:
    longest_path = "/" + character * (1024 // size)
    for uri in (longest_path, longest_path + character, "/" + character * 8192):
        assert function_result(run, uri, "", DEFAULT) == lambda_result(uri, "", DEFAULT)


def test_url_without_query_string_is_redirected_without_one(run: Run) -> None:
    """Then `rawQueryString` returns undefined, which the runner receives as null."""
    assert function_result(run, "/docs", None, DEFAULT)["headers"]["location"] == "/docs/"


@pytest.mark.parametrize("method", ["OPTIONS", "POST", "DELETE"])
def test_other_methods_pass_unchanged(run: Run, method: str) -> None:
    assert run("/docs", "", DEFAULT, method)["uri"] == "/docs"


def test_head_is_rewritten_like_get(run: Run) -> None:
    assert run("/docs/", "", DEFAULT, "HEAD")["uri"] == "/docs/index.html"


@pytest.mark.parametrize("host", ["example.com", "docs.example.com", "EXAMPLE.com"])
@pytest.mark.parametrize("options", [None, DEFAULT], ids=["lambda", "function"])
def test_alternate_name_redirects_to_the_domain_name(run: Run, host: str, options: RewriteOptions | None) -> None:
    result = run("/docs", "a=b&a=%2F", options, host=host)
    assert (result["statusCode"], result["statusDescription"]) == (301, "Moved Permanently")
    assert result["headers"]["location"]["value"] == "https://www.example.com/docs?a=b&a=%2F"


@pytest.mark.parametrize(
    ("uri", "query", "location"),
    [
        ("/", None, "https://www.example.com/"),
        ("//evil.com/x", "", "https://www.example.com//evil.com/x"),
        (".evil.com", "", "https://www.example.com/.evil.com"),
        ("@evil.com", "", "https://www.example.com/@evil.com"),
        ("/caf\u00e9 x", "", "https://www.example.com/caf%C3%A9%20x"),
        ("/x\r\nSet-Cookie: a", "b\r\nc", "https://www.example.com/x%0D%0ASet-Cookie:%20a"),
    ],
)
@pytest.mark.reliability(
    "static_site",
    "Hostile input",
    fault="a URI at an alternate domain name that a browser reads as another host or as a header",
    expected="a redirect to the domain name",
    observed="for each known attack, in Node.js",
)
def test_redirect_of_alternate_name_stays_on_the_domain_name(
    run: Run, uri: str, query: str | None, location: str
) -> None:
    assert run(uri, query, None, host="example.com")["headers"]["location"]["value"] == location


@pytest.mark.parametrize("host", ["www.example.com", "d111111abcdef8.cloudfront.net", "example.com.evil.com"])
def test_other_names_are_not_redirected(run: Run, host: str) -> None:
    assert run("/docs", "", None, host=host)["uri"] == "/docs", "a Lambda@Edge function rewrites it"


# Of strings, arrays and regular expressions: CloudFront Developer Guide, "JavaScript runtime features".
METHODS = {"codePointAt", "endsWith", "fromCharCode", "includes", "lastIndexOf", "replace", "slice", "split"}
METHODS |= {"startsWith", "test", "toLowerCase", "toString", "toUpperCase", "rawQueryString"}


def test_function_calls_only_documented_methods() -> None:
    assert set(re.findall(r"\.(\w+)\(", VIEWER_REQUEST_CODE.read_text())) <= METHODS


@pytest.mark.parametrize("name", ["eval", "Function(", "require", "import", "setTimeout", "console", "fetch", "await"])
def test_function_uses_nothing_that_the_runtime_restricts(name: str) -> None:
    """CloudFront Developer Guide, "JavaScript runtime 2.0 features". console.log would write a log of each request."""
    assert name not in VIEWER_REQUEST_CODE.read_text()


@pytest.mark.reliability(
    "static_site",
    "Partial failure",
    fault="a site with more exceptions than a CloudFront Function can contain",
    expected="synthesis fails, and names `edge=lambda`",
    observed="at 10,000 bytes; about 200 exceptions fit",
)
def test_function_above_the_quota_is_rejected_with_the_remedy() -> None:
    sites = [url_rules([f"LICENSE-{number}" for number in range(count)]) for count in (200, 1000)]
    assert len(viewer_request_code(sites[0], NAMES)) <= MAX_FUNCTION_BYTES
    with pytest.raises(
        AssetError, match=r"static_site:edge: with 1,000 exceptions, .*10,000\). Use static_site:edge=l"
    ):
        viewer_request_code(sites[1], NAMES)
