"""A static site: CloudFront in front of a private bucket, with directory indexes at the edge.

    viewer --> CloudFront (cache) --> Lambda@Edge (origin request) --> private S3 bucket
    viewer --> CloudFront Function (viewer request) --> CloudFront (cache) --> private S3 bucket

The function rewrites `/docs/` to its index page and redirects `/docs` to `/docs/`. The stack is in us-east-1, where
Lambda@Edge functions and CloudFront's certificates, web ACLs and metrics must be. Based on "Implementing Default
Directory Indexes in Amazon S3-backed Amazon CloudFront Origins Using Lambda@Edge", AWS Compute Blog, 2017.
"""

from typing import Any

from aws_cdk import (
    Annotations,
    CfnResource,
    CustomResource,
    Duration,
    Environment,
    RemovalPolicy,
    Size,
    Stack,
    aws_cloudfront as cloudfront,
    aws_cloudfront_origins as origins,
    aws_iam as iam,
    aws_logs as logs,
    aws_route53 as route53,
    aws_route53_targets as route53_targets,
    aws_s3 as s3,
    aws_s3_deployment as deployment,
)
from constructs import Construct

from settings.static_site import StaticSiteSettings

from ..constructs.acknowledgments import acknowledge, acknowledge_bucket_deployment, acknowledge_wildcards
from ..constructs.cfn_resource import cfn_resource
from ..constructs.custom_domain import CustomDomain
from ..constructs.log_groups import deny_create_log_group
from ..constructs.outputs import add_outputs
from ..constructs.private_bucket import PrivateBucket
from ..constructs.web_acl import ManagedRulesWebAcl
from .access_logs import deliver_access_logs
from .alarms import add_alarms
from .folder import NOT_FOUND, files_of, stage_site
from .header_overrides import HeaderOverride, header_overrides, kept_patterns
from .rewriter import Rewriter, create_function_rewriter, create_lambda_rewriter, redirect_alternate_names
from .security_policy import SitePolicy, site_policy
from .upload_storage import SIZES_MIB, required_mib
from .url_rules import url_rules


class StaticSite(Stack):
    """The bucket, the distribution and the edge function of a site."""

    def __init__(self, scope: Construct, construct_id: str, *, settings: StaticSiteSettings, **kwargs: Any) -> None:
        super().__init__(
            scope,
            construct_id,
            description="Static site with directory indexes at the edge",
            env=Environment(region="us-east-1"),
            **kwargs,
        )
        self.settings = settings
        self.folder = stage_site(settings)
        log_bucket = self._create_log_bucket()
        bucket = self._create_bucket(log_bucket)
        rewriter = self._create_rewriter()
        distribution = self._create_distribution(bucket, rewriter)
        deliver_access_logs(self, distribution, log_bucket)
        self._deploy(bucket, distribution, rewriter)
        if settings.email:
            add_alarms(self, distribution, rewriter, settings.email)
        self._add_outputs(bucket, distribution, rewriter)

    def _create_log_bucket(self) -> s3.Bucket:
        """Create the bucket for access logs."""
        bucket = PrivateBucket(
            self,
            "Logs",
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            lifecycle_rules=[s3.LifecycleRule(expiration=Duration.days(90))],
        )
        acknowledge(bucket, {"AwsSolutions-S1": "This bucket stores the access logs."})
        return bucket

    def _create_bucket(self, log_bucket: s3.Bucket) -> s3.Bucket:
        return PrivateBucket(
            self,
            "Site",
            versioned=True,
            lifecycle_rules=[s3.LifecycleRule(noncurrent_version_expiration=Duration.days(30))],
            server_access_logs_bucket=log_bucket,
            server_access_logs_prefix="bucket/",
        )

    def _create_rewriter(self) -> Rewriter:
        rules = url_rules([file.relative_to(self.folder).as_posix() for file in files_of(self.folder)])
        options = rules._replace(
            trailing_slash=self.settings.trailing_slash,
            redirect_status=self.settings.redirect_status,
            redirect_index_html=self.settings.redirect_index_html,
        )
        if self.settings.edge == "function":
            return create_function_rewriter(self, options, self.settings)
        rewriter = create_lambda_rewriter(self, options, self._create_log_group("RewriterLog"))
        if self.settings.alternate_domain_names:
            rewriter.behavior.update(redirect_alternate_names(self, self.settings))
        return rewriter

    def _create_log_group(self, name: str) -> logs.LogGroup:
        return logs.LogGroup(self, name, retention=logs.RetentionDays.ONE_MONTH, removal_policy=RemovalPolicy.DESTROY)

    def _create_distribution(self, bucket: s3.Bucket, rewriter: Rewriter) -> cloudfront.Distribution:
        alternates = list(self.settings.alternate_domain_names)
        names = [self.settings.domain_name, *alternates] if self.settings.domain_name else []
        domain = (
            CustomDomain(self, "CustomDomain", settings=self.settings, alternative_names=alternates or None)
            if names
            else None
        )
        distribution = cloudfront.Distribution(
            self,
            "Distribution",
            default_root_object="index.html",
            default_behavior=cloudfront.BehaviorOptions(
                origin=origins.S3BucketOrigin.with_origin_access_control(bucket),
                viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.REDIRECT_TO_HTTPS,
                compress=True,
                cache_policy=self._create_cache_policy(),
                response_headers_policy=self._create_response_headers_policy(),
                **rewriter.behavior,
            ),
            error_responses=self._error_responses(),
            http_version=cloudfront.HttpVersion.HTTP2_AND_3,
            minimum_protocol_version=cloudfront.SecurityPolicyProtocol.TLS_V1_2_2021 if domain else None,
            enable_ipv6=True,
            certificate=domain.certificate if domain else None,
            domain_names=names or None,
            web_acl_id=self._create_web_acl(),
        )
        if domain:
            self._create_records(distribution, domain.zone, names)
        self._acknowledge_distribution(distribution)
        return distribution

    def _create_records(
        self, distribution: cloudfront.Distribution, zone: route53.IHostedZone, names: list[str]
    ) -> None:
        target = route53.RecordTarget.from_alias(route53_targets.CloudFrontTarget(distribution))
        for name in names:
            suffix = "" if name == self.settings.domain_name else f"-{name}"
            for record_type in (route53.ARecord, route53.AaaaRecord):
                record_type(self, f"{record_type.__name__}{suffix}", zone=zone, record_name=name, target=target)

    def _create_web_acl(self) -> str | None:
        return ManagedRulesWebAcl(self, "WebAcl", waf_scope="CLOUDFRONT").attr_arn if self.settings.waf else None

    def _acknowledge_distribution(self, distribution: cloudfront.Distribution) -> None:
        reasons = {
            "AwsSolutions-CFR1": "The site is public.",
            "AwsSolutions-CFR3": "Access logs are delivered with standard logging (v2), which the rule ignores.",
        }
        if not self.settings.domain_name:
            reasons["AwsSolutions-CFR4"] = "CloudFront determines the TLS version of its default domain name."
        if not self.settings.waf:
            reasons["AwsSolutions-CFR2"] = "The web ACL is optional, because static files offer little to attack."
        acknowledge(distribution, reasons)

    def _error_responses(self) -> list[cloudfront.ErrorResponse]:
        """Convert S3's 403 and 400 to 404.

        S3 returns 403 for missing objects, because CloudFront cannot list the bucket, and 400 for invalid keys.
        """
        return [
            cloudfront.ErrorResponse(
                http_status=status,
                response_http_status=404,
                response_page_path=f"/{NOT_FOUND}",
                ttl=Duration.seconds(10),
            )
            for status in (400, 403, 404)
        ]

    def _create_cache_policy(self) -> cloudfront.ICachePolicy:
        if not self.settings.caching:
            return cloudfront.CachePolicy.CACHING_DISABLED
        return cloudfront.CachePolicy(
            self,
            "CachePolicy",
            comment="Cache key is the path only; default TTL is one day",
            min_ttl=Duration.seconds(0),  # a higher minimum would override the no-store of redirects
            default_ttl=Duration.days(1),
            enable_accept_encoding_gzip=True,
            enable_accept_encoding_brotli=True,
        )

    def _create_response_headers_policy(self) -> cloudfront.ResponseHeadersPolicy:
        policy = self._security_policy()
        frame_option = (
            cloudfront.HeadersFrameOption.SAMEORIGIN if policy.embeds_itself else cloudfront.HeadersFrameOption.DENY
        )
        return cloudfront.ResponseHeadersPolicy(
            self,
            "SecurityHeaders",
            security_headers_behavior=cloudfront.ResponseSecurityHeadersBehavior(
                strict_transport_security=cloudfront.ResponseHeadersStrictTransportSecurity(
                    access_control_max_age=Duration.days(365), override=True
                ),
                content_security_policy=cloudfront.ResponseHeadersContentSecurityPolicy(
                    content_security_policy=policy.header, override=True
                ),
                content_type_options=cloudfront.ResponseHeadersContentTypeOptions(override=True),
                frame_options=cloudfront.ResponseHeadersFrameOptions(frame_option=frame_option, override=True),
                referrer_policy=cloudfront.ResponseHeadersReferrerPolicy(
                    referrer_policy=cloudfront.HeadersReferrerPolicy.STRICT_ORIGIN_WHEN_CROSS_ORIGIN, override=True
                ),
            ),
            custom_headers_behavior=cloudfront.ResponseCustomHeadersBehavior(
                custom_headers=[
                    cloudfront.ResponseCustomHeader(
                        header="Permissions-Policy", value=self.settings.permissions_policy, override=True
                    )
                ]
            ),
        )

    def _security_policy(self) -> SitePolicy:
        """Return the configured policy, or the default one with what the site's files need."""
        configured = self.settings.content_security_policy
        if "content_security_policy" in self.settings.model_fields_set:
            return SitePolicy(configured, [])
        policy = site_policy(
            self.folder,
            configured,
            additional_sources=self.settings.additional_sources or "",
            domain_name=self.settings.domain_name,
        )
        if policy.blocked:
            message = (
                f"static_site:site: with the site's Content-Security-Policy, browsers will block "
                f"{'; '.join(policy.blocked)}. To allow it, use "
                f'-c "static_site:additional_sources={policy.additional_sources}"'
            )
            Annotations.of(self).add_warning_v2("static_site:content_security_policy", message)
        return policy

    def _deploy(self, bucket: s3.Bucket, distribution: cloudfront.Distribution, rewriter: Rewriter) -> None:
        """Upload the site, delete files that were removed from it, and invalidate the cache."""
        folder = str(self.folder)
        storage = required_mib(file.stat().st_size for file in files_of(self.folder))
        options: dict[str, Any] = {
            "destination_bucket": bucket,
            "memory_limit": 512,
            # None for the default size, because the size becomes part of a construct's ID.
            "ephemeral_storage_size": Size.mebibytes(storage) if storage > SIZES_MIB[0] else None,
            "log_group": self._create_log_group("DeploymentLog"),
        }
        overrides = header_overrides(self.folder, self.settings.content_types)
        override_deployments = [self._create_override_deployment(override, folder, options) for override in overrides]
        not_found, *others = override_deployments
        # So its headers are the last ones. Not the whole construct, which contains the layer that all of them use.
        _custom_resource(not_found).node.add_dependency(*others)
        site_deployment = deployment.BucketDeployment(
            self,
            "Deployment",
            sources=[deployment.Source.asset(folder)],
            # Open pages still load hashed files of earlier deployments, so they are not deleted.
            exclude=[
                *(pattern for override in overrides for pattern in override.patterns),
                *kept_patterns(self.folder),
            ],
            distribution=distribution,
            distribution_paths=["/*"],
            cache_control=[deployment.CacheControl.from_string(self._cache_control)],
            **options,
        )
        site_deployment.node.add_dependency(*override_deployments)  # so it invalidates the cache after all uploads
        properties = cfn_resource(_custom_resource(site_deployment), CfnResource)
        if rewriter.cached_version:  # a new version changes responses, so it must also invalidate the cache
            properties.add_property_override("Rewriter", rewriter.cached_version)
        # Waiting for an invalidation of more than 13 minutes would fail the deployment. CloudFormation passes
        # `false` as text, which aws-cdk-lib's function treats as true, so only an empty string disables waiting.
        properties.add_property_override("WaitForDistributionInvalidation", "")
        self._restrict_deployment_role(bucket, site_deployment, distribution)

    @property
    def _cache_control(self) -> str:
        return "public, max-age=0, s-maxage=86400" if self.settings.caching else "no-cache"

    def _create_override_deployment(
        self, override: HeaderOverride, folder: str, options: dict[str, Any]
    ) -> deployment.BucketDeployment:
        """Upload the files in `override` with specific headers."""
        cached = override.cache_control if self.settings.caching or not override.is_immutable else None
        return deployment.BucketDeployment(
            self,
            f"{override.name}Deployment",
            sources=[deployment.Source.asset(folder)],
            exclude=["*"],
            include=override.patterns,  # also limits what is deleted
            content_type=override.content_type,
            prune=not override.is_kept,
            cache_control=[deployment.CacheControl.from_string(cached or self._cache_control)],
            **options,
        )

    def _restrict_deployment_role(
        self, bucket: s3.Bucket, site_deployment: deployment.BucketDeployment, distribution: cloudfront.Distribution
    ) -> None:
        acknowledge_bucket_deployment(self, bucket)
        deny_create_log_group(cfn_resource(site_deployment.handler_role, iam.CfnRole))
        site_deployment.handler_role.add_to_principal_policy(
            iam.PolicyStatement(
                effect=iam.Effect.DENY,
                actions=["cloudfront:CreateInvalidation", "cloudfront:GetInvalidation"],
                not_resources=[distribution.distribution_arn],
            )
        )
        reason = "aws-cdk-lib allows invalidations of all distributions; a Deny statement restricts them to this one."
        acknowledge_wildcards(site_deployment.handler_role, {"Resource::*": reason})

    def _add_outputs(self, bucket: s3.Bucket, distribution: cloudfront.Distribution, rewriter: Rewriter) -> None:
        name = self.settings.domain_name or distribution.distribution_domain_name
        outputs = {
            "Url": (f"https://{name}/", "URL of the site"),
            "DistributionId": (distribution.distribution_id, "ID of the CloudFront distribution"),
            "BucketName": (bucket.bucket_name, "Private bucket that stores the site"),
            "RewriterName": (rewriter.name, "Edge function; if it is a Lambda function, the stack retains it"),
            "RewriterArn": (
                rewriter.arn,
                "Version of the Lambda function, or CloudFront Function, that the distribution runs",
            ),
        }
        add_outputs(self, outputs)


def _custom_resource(bucket_deployment: deployment.BucketDeployment) -> CustomResource:
    (resource,) = (child for child in bucket_deployment.node.children if isinstance(child, CustomResource))
    return resource
