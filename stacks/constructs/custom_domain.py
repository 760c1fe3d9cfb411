"""A system's own name: the hosted zone, which exists, and a certificate in the stack's region."""

from aws_cdk import Stack, aws_certificatemanager as acm, aws_route53 as route53

from settings.domain import InHostedZone


def hosted_zone_and_certificate(
    stack: Stack, settings: InHostedZone
) -> tuple[route53.IHostedZone, acm.Certificate] | None:
    """Refer to the zone of `settings` and make a certificate, validated by DNS; None without a name."""
    if not settings.domain_name:
        return None
    zone = route53.HostedZone.from_hosted_zone_attributes(
        stack, "Zone", hosted_zone_id=settings.hosted_zone_id, zone_name=settings.hosted_zone_name
    )
    certificate = acm.Certificate(
        stack,
        "Certificate",
        domain_name=settings.domain_name,
        validation=acm.CertificateValidation.from_dns(zone),
    )
    return zone, certificate
