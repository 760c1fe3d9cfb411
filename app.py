"""The CDK application: settings in, stacks out."""

import fnmatch
import re
import sys
from collections.abc import Collection
from functools import partial

import aws_cdk as cdk

from settings import Settings, SettingsError
from stacks.analytics_host import AnalyticsHost
from stacks.constructs.assets import AssetError
from stacks.deploy_pipeline import DeployPipeline
from stacks.multi_region_api import MultiRegionApi
from stacks.security_group_revert import SecurityGroupRevert
from stacks.static_site import StaticSite

PROJECT = "aws-reference-architectures"
HOLDS_DATA = [
    "AWS::CodeCommit::Repository",
    "AWS::DynamoDB::Table",
    "AWS::KMS::Key",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::S3::BucketPolicy",  # a bucket that stays still refuses plain HTTP
    "AWS::SecretsManager::Secret",
    "AWS::SQS::Queue",
]


class UnknownStackError(Exception):
    """The command line names a stack that the current settings do not have."""


def build_app(app: cdk.App, settings: Settings) -> cdk.App:
    """Add every system's stacks to `app`, tagged with the project and the system."""
    api = settings.multi_region_api
    stacks: dict[str, partial[cdk.Stack]] = {
        "DeployPipeline": partial(DeployPipeline, settings=settings.deploy_pipeline),
        "SecurityGroupRevert": partial(SecurityGroupRevert, settings=settings.security_group_revert),
        "StaticSite": partial(StaticSite, settings=settings.static_site),
        "AnalyticsHost": partial(AnalyticsHost, settings=settings.analytics_host),
        **{f"MultiRegionApi-{region}": partial(MultiRegionApi, region=region, settings=api) for region in api.regions},
    }
    for name in asked_for(app, stacks):
        stack = stacks[name](app, name, termination_protection=settings.production)
        system = type(stack).__module__.removeprefix("stacks.")
        for key, value in {"project": PROJECT, "system": system}.items():
            cdk.Tags.of(stack).add(key, value)
            stack.tags.set_tag(key, value)  # the stack's own, which CloudFormation hands on
    if settings.production:
        cdk.RemovalPolicies.of(app).retain_on_update_or_delete(apply_to_resource_types=HOLDS_DATA)
    return app


def asked_for(app: cdk.App, names: Collection[str]) -> list[str]:
    """The stacks that the CDK CLI names with ``--exclusively``: no stack needs another, so that no other is made.

    All without ``--exclusively``, and when a pattern matches none: the CLI then says so.

    Raises:
        UnknownStackError: a name without wildcards is not one of these.
    """
    patterns = app.node.try_get_context("aws:cdk:bundling-stacks") or ["**"]
    matches = [set(fnmatch.filter(names, pattern)) for pattern in patterns]
    for pattern in patterns:
        if pattern not in names and re.fullmatch(r"[\w-]+", pattern):
            raise UnknownStackError(f"{pattern}: unknown stack (valid: {', '.join(names)})")
    wanted = set().union(*matches) if all(matches) else names
    return [name for name in names if name in wanted]


if __name__ == "__main__":
    app = cdk.App(context={"aws:cdk:disable-stack-trace": True})  # they lead into jsii's temporary folder
    try:
        build_app(app, Settings.from_context(app.node.get_all_context())).synth()
    except (SettingsError, UnknownStackError, AssetError) as error:
        sys.exit(str(error))
