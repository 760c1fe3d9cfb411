"""The names of the API: one shared by all Regions, and one for each Region if there are several."""

from aws_cdk import Stack, aws_apigateway as apigateway, aws_route53 as route53
from constructs import Construct

from settings.multi_region_api import MultiRegionApiSettings

from ..constructs.cfn_resource import cfn_resource
from ..constructs.custom_domain import CustomDomain

BASE_PATH = "v1"
# Health checkers use TLS 1.2: with TLS 1.3 only, every Region would be unhealthy.
SECURITY_POLICY = apigateway.SecurityPolicy.TLS13_1_2_PFS_PQ_2025_09


def other_regions(settings: MultiRegionApiSettings, region: str) -> list[str]:
    """Return the Regions that share a domain name with `region`; none without a domain name."""
    return [other for other in settings.regions if other != region] if settings.domain_name else []


def regional_name(settings: MultiRegionApiSettings, region: str) -> str:
    """Return the name of one Region. All Regions derive it from the settings, so their stacks need no references."""
    return f"{region}.{settings.domain_name}"


class DomainNames(Construct):
    """The custom domain names of one Region with their certificate and records."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: MultiRegionApiSettings,
        api: apigateway.RestApi,
        health_check: route53.IHealthCheck,
    ) -> None:
        super().__init__(scope, construct_id)
        region = Stack.of(self).region
        self.api, self.health_check = api, health_check
        names = [regional_name(settings, region)] if other_regions(settings, region) else []
        self.custom_domain = CustomDomain(self, "CustomDomain", settings=settings, alternative_names=names or None)
        shared = self._create_domain_name("Shared", str(settings.domain_name))
        for record in self._create_records("Shared", shared):
            record.region = record.set_identifier = region
            record.health_check_id = health_check.health_check_id
        for name in names:
            self._create_records("Regional", self._create_domain_name("Regional", name))

    def _create_domain_name(self, kind: str, name: str) -> apigateway.DomainName:
        domain = apigateway.DomainName(
            self,
            f"{kind}Name",
            domain_name=name,
            certificate=self.custom_domain.certificate,
            endpoint_type=apigateway.EndpointType.REGIONAL,
            security_policy=SECURITY_POLICY,
            endpoint_access_mode=apigateway.EndpointAccessMode.STRICT,
            mapping=self.api,
            base_path=BASE_PATH,
        )
        # The L2 construct lacks the property; without it, AAAA queries would return no addresses.
        resource = cfn_resource(domain, apigateway.CfnDomainName)
        resource.add_property_override("EndpointConfiguration.IpAddressType", "dualstack")
        return domain

    def _create_records(self, kind: str, domain: apigateway.DomainName) -> list[route53.CfnRecordSet]:
        records = []
        for record_type in ("A", "AAAA"):
            record = route53.CfnRecordSet(
                self,
                f"{kind}{record_type}Record",
                hosted_zone_id=self.custom_domain.zone.hosted_zone_id,
                name=f"{cfn_resource(domain, apigateway.CfnDomainName).domain_name}.",
                type=record_type,
                alias_target=route53.CfnRecordSet.AliasTargetProperty(
                    dns_name=domain.domain_name_alias_domain_name,
                    hosted_zone_id=domain.domain_name_alias_hosted_zone_id,
                    evaluate_target_health=True,
                ),
            )
            # A new health check starts as healthy, so the records must not exist before the API is complete.
            record.node.add_dependency(domain, self.api, self.health_check)
            records.append(record)
        return records
