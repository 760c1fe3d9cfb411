"""The CDK application: reads the settings and creates the stacks."""

import fnmatch
import gc
import re
import sys
from collections.abc import Collection
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import aws_cdk as cdk

from settings import Settings, SettingsError
from stacks.constructs.assets import AssetError

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


@dataclass(frozen=True)
class StackClass:
    """The class `name` in the package `stacks.<system>`, which is imported only if a stack of it is synthesized."""

    system: str
    name: str
    options: dict[str, Any] = field(default_factory=dict)

    def create(self, app: cdk.App, stack_id: str, settings: Settings) -> cdk.Stack:
        """Create a stack with the system's settings."""
        stack_class = getattr(import_module(f"stacks.{self.system}"), self.name)
        system_settings = getattr(settings, self.system)
        protection = settings.production
        return stack_class(app, stack_id, settings=system_settings, termination_protection=protection, **self.options)


def build_app(app: cdk.App, settings: Settings) -> cdk.App:
    """Add every system's stacks to `app`, tagged with the project and the system.

    Raises:
        SettingsError: two stacks have the same name.
    """
    stacks = {
        "DeployPipeline": StackClass("deploy_pipeline", "DeployPipeline"),
        "SecurityGroupRevert": StackClass("security_group_revert", "SecurityGroupRevert"),
        "AnalyticsHost": StackClass("analytics_host", "AnalyticsHost"),
        "CostControl": StackClass("cost_control", "CostControl"),
        "LambdaCanary": StackClass("lambda_canary", "LambdaCanary"),
    }
    for region in settings.multi_region_api.regions:
        stacks[f"MultiRegionApi-{region}"] = StackClass("multi_region_api", "MultiRegionApi", {"region": region})
    site = settings.static_site.stack_name
    if site in stacks:
        raise SettingsError(f'Invalid settings:\n  static_site:stack_name="{site}": another stack has this name')
    stacks[site] = StackClass("static_site", "StaticSite")
    for stack_id in selected_stacks(app, stacks):
        stack = stacks[stack_id].create(app, stack_id, settings)
        inherited, own = cdk.Tags.of(stack), stack.tags  # CloudFormation passes the stack's own on to its resources
        for key, value in {"project": PROJECT, "system": stacks[stack_id].system}.items():
            inherited.add(key, value)
            own.set_tag(key, value)
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
    gc.disable()  # the process is short; collections while aws_cdk's large modules are imported take 0.2 s
    app = cdk.App(context={"aws:cdk:disable-stack-trace": True})  # they only point into jsii's temporary folder
    try:
        build_app(app, Settings.from_context(app.node.get_all_context())).synth()
    except (SettingsError, UnknownStackError, AssetError) as error:
        sys.exit(str(error))
