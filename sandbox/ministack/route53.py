"""Route 53: hosted zones, records and health checks."""

from .names import Replaceable, need

handle_request = Replaceable(
    "services.route53.handle_request", "the status of health checks", "method path headers body query_params"
)
xml_namespace = need("services.route53.NS", "the status of health checks")
hosted_zones = need("services.route53._zones", "the DNS server")
records = need("services.route53._records", "the DNS server")
health_checks = need("services.route53._health_checks", "health checks of templates")
health_check_references = need("services.route53._hc_caller_refs", "health checks of templates")
tags = need("services.route53._tags", "health checks of templates")
