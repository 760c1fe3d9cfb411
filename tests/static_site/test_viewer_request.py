"""The CloudFront Function: the same results as the Lambda@Edge function, and its size.

Node.js runs it. CloudFront's runtime has fewer features; the code uses those of its documentation.
"""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, strategies as st

from lambdas.static_site.handler import handler
from lambdas.static_site.rewrite import RewriteOptions
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

        def call(uri: str, query: str | None, options: RewriteOptions, method: str = "GET") -> Any:
            request = {"method": method, "uri": uri, "querystring": {}, "headers": {}, "cookies": {}}
            line = {"code": viewer_request_code(options), "request": request, "query": query}
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
    assert len(viewer_request_code(url_rules([f"LICENSE-{number}" for number in range(200)]))) <= MAX_FUNCTION_BYTES
    with pytest.raises(
        AssetError, match=r"static_site:edge: with 1,000 exceptions, .*10,000\). Use static_site:edge=l"
    ):
        viewer_request_code(url_rules([f"LICENSE-{number}" for number in range(1000)]))
