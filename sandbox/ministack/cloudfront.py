"""CloudFront: distributions, policies and origin access controls."""

from .names import need

distributions = need("services.cloudfront._distributions", "distributions of templates, and their responses")
invalidations = need("services.cloudfront._invalidations", "the cache")
origin_access_controls = need("services.cloudfront._oacs", "access to origins")
cache_policies = need("services.cloudfront._cache_policies", "the cache")
origin_request_policies = need("services.cloudfront._origin_request_policies", "requests to origins")
response_headers_policies = need("services.cloudfront._response_headers_policies", "headers of responses")
apply_headers_policy = need(
    "services.cloudfront._apply_response_headers_policy",
    "headers of responses",
    "headers policy_cfg viewer_origin method",
)
functions = need("services.cloudfront._functions", "CloudFront Functions")
run_function = need("core.cloudfront_js.evaluate", "CloudFront Functions", "code event")
FunctionError = need("core.cloudfront_js.CloudFrontFunctionError", "CloudFront Functions")
create_distribution = need("services.cloudfront._create_distribution", "distributions of templates", "headers body")
update_distribution = need(
    "services.cloudfront._update_distribution", "distributions of templates", "dist_id headers body"
)
