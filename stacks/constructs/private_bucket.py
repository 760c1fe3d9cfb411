"""A private, encrypted bucket that requires TLS."""

from typing import Any, cast

from aws_cdk import CfnResource, RemovalPolicy, Stack, aws_logs as logs, aws_s3 as s3
from constructs import Construct

from .log_groups import deny_create_log_group


class PrivateBucket(s3.Bucket):
    """A bucket that is emptied and deleted with its stack.

    With `retain`, or in a stack with termination protection, the bucket is retained unless stack creation fails.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        retain: bool = False,
        encryption: s3.BucketEncryption = s3.BucketEncryption.S3_MANAGED,
        **options: Any,
    ) -> None:
        """Pass `options` to `s3.Bucket`."""
        retain = retain or Stack.of(scope).termination_protection
        super().__init__(
            scope,
            construct_id,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            encryption=encryption,
            enforce_ssl=True,
            removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE if retain else RemovalPolicy.DESTROY,
            auto_delete_objects=None if retain else True,
            **options,
        )
        if not retain:
            _add_auto_delete_log(Stack.of(scope))


def _add_auto_delete_log(stack: Stack) -> None:
    """Create a log group, deleted with the stack, for aws-cdk-lib's function that empties buckets."""
    if stack.node.try_find_child("AutoDeleteLog"):
        return
    log_group = logs.LogGroup(
        stack, "AutoDeleteLog", retention=logs.RetentionDays.ONE_MONTH, removal_policy=RemovalPolicy.DESTROY
    )
    provider = stack.node.find_child("Custom::S3AutoDeleteObjectsCustomResourceProvider")
    handler = cast(CfnResource, provider.node.find_child("Handler"))
    handler.add_property_override("LoggingConfig.LogGroup", log_group.log_group_name)
    deny_create_log_group(cast(CfnResource, provider.node.find_child("Role")))
