"""Health checks of endpoints over HTTPS."""

from aws_cdk import Duration, aws_route53 as route53
from constructs import Construct

from settings.multi_region_api import MultiRegionApiSettings


def create_endpoint_check(
    scope: Construct,
    construct_id: str,
    *,
    settings: MultiRegionApiSettings,
    fqdn: str,
    resource_path: str,
    token: str,
    failure_threshold: int,
    inverted: bool = False,
) -> route53.HealthCheck:
    """Create a health check that passes if the status is 2xx or 3xx and, with `string_matching`, the body has `token`.

    inverted: the health check is healthy unless it passes.
    """
    kinds = route53.HealthCheckType
    return route53.HealthCheck(
        scope,
        construct_id,
        type=kinds.HTTPS_STR_MATCH if settings.string_matching else kinds.HTTPS,
        fqdn=fqdn,
        port=443,
        enable_sni=True,
        resource_path=resource_path,
        search_string=token if settings.string_matching else None,
        inverted=inverted,
        regions=list(settings.health_check_regions),
        request_interval=Duration.seconds(settings.request_interval),
        failure_threshold=failure_threshold,
    )
