"""The edge function: Lambda@Edge on origin requests, or a CloudFront Function on viewer requests."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from aws_cdk import (
    Duration,
    RemovalPolicy,
    Stack,
    aws_cloudfront as cloudfront,
    aws_iam as iam,
    aws_lambda as lambda_,
    aws_logs as logs,
)

from lambdas.static_site.rewrite import RewriteOptions
from settings.static_site import StaticSiteSettings

from ..constructs.assets import AssetError
from ..constructs.lambda_code import lambda_asset

VIEWER_REQUEST_CODE = Path(__file__).parents[2] / "assets" / "static_site" / "rewrite.js"
MAX_FUNCTION_BYTES = 10_000  # CloudFront's quota is 10 KB


class EdgeMetrics(NamedTuple):
    """Names of an edge function's metrics. dimensions: empty if they are those of the distribution."""

    execution_errors: str
    validation_errors: str
    throttles: str
    dimensions: dict[str, str]


class Rewriter(NamedTuple):
    """An edge function.

    behavior: the options of a cache behavior that uses it. cached_version: what has to invalidate the cache when it
    changes, because the cache contains the responses of the function; None if it runs before the cache.
    """

    name: str
    arn: str
    behavior: dict[str, Any]
    metrics: EdgeMetrics
    cached_version: str | None = None


def create_lambda_rewriter(stack: Stack, options: RewriteOptions, log_group: logs.ILogGroup) -> Rewriter:
    """Create a Lambda@Edge function.

    It is not a `StandardFunction`, because Lambda@Edge does not support arm64 and needs a second service principal,
    and because its role must not write logs: Lambda@Edge would create a log group in every Region where the function
    runs. Lambda can't delete the function until its replicas are removed, which takes hours, so the stack retains it.
    If stack creation fails, the function is deleted.
    """
    role = iam.Role(
        stack,
        "RewriterRole",
        description="No permissions: the edge function calls no AWS API and must not log requests",
        assumed_by=iam.CompositePrincipal(
            iam.ServicePrincipal("lambda.amazonaws.com"), iam.ServicePrincipal("edgelambda.amazonaws.com")
        ),
    )
    function = lambda_.Function(
        stack,
        "Rewriter",
        description=(
            "Rewrites directory URIs to index pages. Retained when the stack is deleted, because replicas at the "
            "edge block its deletion. Its log group stays empty."
        ),
        runtime=lambda_.Runtime.PYTHON_3_14,
        handler="static_site.handler.handler",
        code=lambda_asset("static_site", settings=json.dumps(options._asdict(), indent=1)),
        role=role,
        # Stays empty, but without it CDK would add a log group that is retained.
        log_group=log_group,
        memory_size=128,
        timeout=Duration.seconds(5),
        current_version_options=lambda_.VersionOptions(removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE),
    )
    function.apply_removal_policy(RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE)
    version = function.current_version
    association = cloudfront.EdgeLambda(
        event_type=cloudfront.LambdaEdgeEventType.ORIGIN_REQUEST, function_version=version
    )
    # The function keeps query strings in redirects, and otherwise removes them.
    query_strings = cloudfront.OriginRequestPolicy(
        stack,
        "QueryStrings",
        comment="Forwards query strings to the edge function",
        query_string_behavior=cloudfront.OriginRequestQueryStringBehavior.all(),
    )
    behavior = {"edge_lambdas": [association], "origin_request_policy": query_strings}
    # Those of Lambda itself are in each Region where the function runs.
    metrics = EdgeMetrics("LambdaExecutionError", "LambdaValidationError", "LambdaLimitExceededErrors", {})
    return Rewriter(function.function_name, version.function_arn, behavior, metrics, version.function_arn)


def create_function_rewriter(stack: Stack, options: RewriteOptions, settings: StaticSiteSettings) -> Rewriter:
    """Create a CloudFront Function. Query strings need no policy: they are not sent to the bucket."""
    function = _create_viewer_request_function(stack, viewer_request_code(options, settings))
    metrics = EdgeMetrics(
        "FunctionExecutionErrors",
        "FunctionValidationErrors",
        "FunctionThrottles",
        {"FunctionName": function.function_name},
    )
    return Rewriter(function.function_name, function.function_arn, _associate(function), metrics)


def redirect_alternate_names(stack: Stack, settings: StaticSiteSettings) -> dict[str, Any]:
    """Redirect them with a CloudFront Function, because origin requests lack the name that the viewer requested.

    Returns the options of a cache behavior that uses it.
    """
    return _associate(_create_viewer_request_function(stack, viewer_request_code(None, settings)))


def _create_viewer_request_function(stack: Stack, code: str) -> cloudfront.Function:
    return cloudfront.Function(
        stack,
        "ViewerRequest",
        comment="Rewrites directory URIs to index pages, or redirects alternate domain names",
        runtime=cloudfront.FunctionRuntime.JS_2_0,
        code=cloudfront.FunctionCode.from_inline(code),
    )


def _associate(function: cloudfront.Function) -> dict[str, Any]:
    event = cloudfront.FunctionEventType.VIEWER_REQUEST
    return {"function_associations": [cloudfront.FunctionAssociation(event_type=event, function=function)]}


def viewer_request_code(options: RewriteOptions | None, settings: StaticSiteSettings) -> str:
    """Return the code of the CloudFront Function, which rewrites URIs if there are `options`.

    Raises:
        AssetError: it exceeds CloudFront's quota, because the site has too many exceptions.
    """
    names = {"domain_name": settings.domain_name, "alternate_domain_names": settings.alternate_domain_names}
    constant = json.dumps((options._asdict() if options else {}) | names, separators=(",", ":"))
    code = f"const OPTIONS = {constant};\n{VIEWER_REQUEST_CODE.read_text()}"
    size = len(code.encode())
    if size > MAX_FUNCTION_BYTES:
        exceptions = len(options.exceptions) if options else 0
        raise AssetError(
            f"static_site:edge: with {exceptions:,} exceptions, the CloudFront Function has {size:,} bytes (valid: at "
            f"most {MAX_FUNCTION_BYTES:,}). Use static_site:edge=lambda, give files without an extension one, or name "
            "all pages either <name>.html or <name>/index.html."
        )
    return code
