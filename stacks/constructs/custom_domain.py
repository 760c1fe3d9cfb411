"""A custom domain name: its existing hosted zone, and a certificate in the stack's Region."""

from aws_cdk import aws_certificatemanager as acm, aws_route53 as route53
from constructs import Construct

from settings.custom_domain import CustomDomainSettings


class CustomDomain(Construct):
    """The hosted zone of `settings`, and a DNS-validated certificate for the domain name."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: CustomDomainSettings,
        alternative_names: list[str] | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.zone = route53.HostedZone.from_hosted_zone_attributes(
            self, "Zone", hosted_zone_id=str(settings.hosted_zone_id), zone_name=str(settings.hosted_zone_name)
        )
        self.certificate = acm.Certificate(
            self,
            "Certificate",
            domain_name=str(settings.domain_name),
            subject_alternative_names=alternative_names,
            validation=acm.CertificateValidation.from_dns(self.zone),
        )
