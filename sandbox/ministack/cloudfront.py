"""CloudFront: distributions, policies and origin access controls, and viewer requests."""

from .names import Replaceable, need

distributions = need("services.cloudfront._distributions", "responses of distributions")
distribution_config_xml = Replaceable(
    "services.cloudfront._distribution_config_xml", "distributions of templates", "config"
)
aliases_of = need("services.cloudfront._get_distribution_aliases", "alternate domain names", "dist")
parse_config = need("services.cloudfront.parse_distribution_dataplane_config", "behaviors of requests", "dist")
match_behavior = need("services.cloudfront._match_behavior", "behaviors of requests", "parsed path")
parse_behavior = Replaceable(
    "services.cloudfront._dataplane_behavior", "Lambda@Edge and compression", "behavior_el path_pattern"
)
handle_viewer_request = need(
    "services.cloudfront.handle_viewer_request",
    "responses of distributions",
    "dist method path raw_uri raw_query_string headers body query_params client_ip",
)
fetch_from_origin = Replaceable(
    "services.cloudfront._fetch_from_origin",
    "the cache, Lambda@Edge and S3 origins",
    "origin method uri query_string headers body viewer_is_https client_ip viewer_xff dist_arn",
)
run_function = Replaceable("core.cloudfront_js.evaluate", "query strings of CloudFront Functions", "code event")
live_function_code = need("services.cloudfront.live_function_code", "CloudFront Functions", "function_arn")
invalidations = need("services.cloudfront._invalidations", "the cache")
origin_access_controls = need("services.cloudfront._oacs", "access to origins")
cache_policies = need("services.cloudfront._cache_policies", "the cache")
origin_request_policies = need("services.cloudfront._origin_request_policies", "names in use")
response_headers_policies = need("services.cloudfront._response_headers_policies", "names in use")
headers_policy = need("services.cloudfront.response_headers_policy_config", "responses of functions", "policy_id")
apply_headers_policy = need(
    "services.cloudfront._apply_response_headers_policy",
    "responses of functions",
    "headers policy_cfg viewer_origin method",
)
