"""The CDK application: settings in, stacks out."""

import sys
from collections.abc import Iterator

import aws_cdk as cdk

from settings import Settings, SettingsError
from stacks.analytics_host import AnalyticsHost
from stacks.deploy_pipeline import DeployPipeline
from stacks.multi_region_api import MultiRegionApi
from stacks.security_group_revert import SecurityGroupRevert
from stacks.static_site import StaticSite

PROJECT = "aws-reference-architectures"
HOLDS_DATA = [
    "AWS::CodeCommit::Repository",
    "AWS::KMS::Key",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::S3::BucketPolicy",  # a bucket that stays still refuses plain HTTP
    "AWS::SecretsManager::Secret",
    "AWS::SQS::Queue",
]


def build_app(app: cdk.App, settings: Settings) -> cdk.App:
    """Add every system's stacks to `app`, tagged with the project and the system."""
    for stack in _stacks(app, settings):
        system = type(stack).__module__.removeprefix("stacks.")
        for key, value in {"project": PROJECT, "system": system}.items():
            cdk.Tags.of(stack).add(key, value)
            stack.tags.set_tag(key, value)  # the stack's own, which CloudFormation hands on
    if settings.production:
        cdk.RemovalPolicies.of(app).retain_on_update_or_delete(apply_to_resource_types=HOLDS_DATA)
    return app


def _stacks(app: cdk.App, settings: Settings) -> Iterator[cdk.Stack]:
    protected = {"termination_protection": settings.production}
    yield DeployPipeline(app, "DeployPipeline", settings=settings.deploy_pipeline, **protected)
    yield SecurityGroupRevert(app, "SecurityGroupRevert", settings=settings.security_group_revert, **protected)
    yield StaticSite(app, "StaticSite", settings=settings.static_site, **protected)
    yield AnalyticsHost(app, "AnalyticsHost", settings=settings.analytics_host, **protected)
    for region in (api := settings.multi_region_api).regions:
        yield MultiRegionApi(app, f"MultiRegionApi-{region}", region=region, settings=api, **protected)


if __name__ == "__main__":
    app = cdk.App()
    try:
        settings = Settings.from_context(app.node.get_all_context())
    except SettingsError as error:
        sys.exit(str(error))
    build_app(app, settings).synth()
