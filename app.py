"""The CDK application: reads the settings and creates the stacks."""

import fnmatch
import re
import sys
from collections.abc import Callable, Collection
from functools import partial

import aws_cdk as cdk

from settings import Settings, SettingsError
from stacks.analytics_host import AnalyticsHost
from stacks.constructs.assets import AssetError
from stacks.cost_control import CostControl
from stacks.deploy_pipeline import DeployPipeline
from stacks.lambda_canary import LambdaCanary
from stacks.multi_region_api import MultiRegionApi
from stacks.security_group_revert import SecurityGroupRevert
from stacks.static_site import StaticSite

PROJECT = "aws-reference-architectures"
# Context key in which the CDK CLI passes the stacks selected with --exclusively (BUNDLING_STACKS in cx-api). CDK uses
# it to skip asset bundling for other stacks. Without the key, every stack is synthesized, which is slower.
SELECTED_STACKS_KEY = "aws:cdk:bundling-stacks"
STATEFUL_RESOURCE_TYPES = [
    "AWS::CodeCommit::Repository",
    "AWS::DynamoDB::Table",
    "AWS::EFS::FileSystem",
    "AWS::KMS::Key",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::S3::BucketPolicy",  # retained buckets and queues still reject plain HTTP
    "AWS::SecretsManager::Secret",
    "AWS::SQS::Queue",
    "AWS::SQS::QueuePolicy",
]


class UnknownStackError(Exception):
    """The command line names a stack that does not exist with the current settings."""


def build_app(app: cdk.App, settings: Settings) -> cdk.App:
    """Add every system's stacks to `app`, tagged with the project and the system.

    Raises:
        SettingsError: two stacks have the same name.
    """
    # Stack ID: system, and the stack's class with its settings.
    stacks: dict[str, tuple[str, Callable[..., cdk.Stack]]] = {
        "DeployPipeline": ("deploy_pipeline", partial(DeployPipeline, settings=settings.deploy_pipeline)),
        "SecurityGroupRevert": (
            "security_group_revert",
            partial(SecurityGroupRevert, settings=settings.security_group_revert),
        ),
        "AnalyticsHost": ("analytics_host", partial(AnalyticsHost, settings=settings.analytics_host)),
        "CostControl": ("cost_control", partial(CostControl, settings=settings.cost_control)),
        "LambdaCanary": ("lambda_canary", partial(LambdaCanary, settings=settings.lambda_canary)),
    }
    for region in settings.multi_region_api.regions:
        stacks[f"MultiRegionApi-{region}"] = (
            "multi_region_api",
            partial(MultiRegionApi, region=region, settings=settings.multi_region_api),
        )
    site = settings.static_site.stack_name
    if site in stacks:
        raise SettingsError(f'Invalid settings:\n  static_site:stack_name="{site}": another stack has this name')
    stacks[site] = ("static_site", partial(StaticSite, settings=settings.static_site))
    for stack_id in selected_stacks(app, stacks):
        system, stack_class = stacks[stack_id]
        stack = stack_class(app, stack_id, termination_protection=settings.production)
        for key, value in {"project": PROJECT, "system": system}.items():
            cdk.Tags.of(stack).add(key, value)
            stack.tags.set_tag(key, value)  # of the stack itself, which CloudFormation passes on to its resources
    if settings.production:
        cdk.RemovalPolicies.of(app).retain_on_update_or_delete(apply_to_resource_types=STATEFUL_RESOURCE_TYPES)
    return app


def selected_stacks(app: cdk.App, stack_ids: Collection[str]) -> list[str]:
    """Return the stacks that the CDK CLI selects with ``--exclusively``, or all.

    Other stacks are skipped, because no stack references another. If a wildcard pattern matches no stack, all stacks
    are synthesized so that the CLI can report the error.

    Raises:
        UnknownStackError: a name without wildcards is not in `stack_ids`.
    """
    patterns = app.node.try_get_context(SELECTED_STACKS_KEY) or ["**"]
    for pattern in patterns:
        if pattern not in stack_ids and re.fullmatch(r"[\w-]+", pattern):
            raise UnknownStackError(f"{pattern}: unknown stack (valid: {', '.join(stack_ids)})")
    matches = [set(fnmatch.filter(stack_ids, pattern)) for pattern in patterns]
    selected = set().union(*matches) if all(matches) else stack_ids
    return [stack_id for stack_id in stack_ids if stack_id in selected]


if __name__ == "__main__":
    app = cdk.App(context={"aws:cdk:disable-stack-trace": True})  # they only point into jsii's temporary folder
    try:
        build_app(app, Settings.from_context(app.node.get_all_context())).synth()
    except (SettingsError, UnknownStackError, AssetError) as error:
        sys.exit(str(error))
