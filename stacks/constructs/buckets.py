"""Buckets: private, encrypted, and reached over TLS only."""

from typing import Any

from aws_cdk import RemovalPolicy, Stack, aws_logs as logs, aws_s3 as s3
from constructs import Construct

from .functions import deny_log_groups


def make_bucket(
    scope: Construct,
    name: str,
    *,
    keep: bool = False,
    encryption: s3.BucketEncryption = s3.BucketEncryption.S3_MANAGED,
    **options: Any,
) -> s3.Bucket:
    """Make a bucket that is emptied and removed with its stack.

    With `keep` it stays, as every bucket of a stack does that is protected from termination, unless the
    creation of the stack fails. `options` are further ones of `s3.Bucket`.
    """
    kept = keep or Stack.of(scope).termination_protection
    bucket = s3.Bucket(
        scope,
        name,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        encryption=encryption,
        enforce_ssl=True,
        removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE if kept else RemovalPolicy.DESTROY,
        auto_delete_objects=None if kept else True,
        **options,
    )
    if not kept:
        _log_emptying(Stack.of(scope))
    return bucket


def _log_emptying(stack: Stack) -> None:
    """Let aws-cdk-lib's function that empties buckets write to a log group of the stack, which goes with it."""
    if stack.node.try_find_child("EmptyingLog"):
        return
    log_group = logs.LogGroup(
        stack, "EmptyingLog", retention=logs.RetentionDays.ONE_MONTH, removal_policy=RemovalPolicy.DESTROY
    )
    provider = stack.node.find_child("Custom::S3AutoDeleteObjectsCustomResourceProvider")
    handler = provider.node.find_child("Handler")
    handler.add_property_override("LoggingConfig.LogGroup", log_group.log_group_name)
    deny_log_groups(provider.node.find_child("Role"))
