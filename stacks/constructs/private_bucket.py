"""A private, encrypted bucket that requires TLS."""

from typing import Any, cast

from aws_cdk import CfnResource, RemovalPolicy, Stack, aws_logs as logs, aws_s3 as s3
from constructs import Construct

from .log_groups import deny_create_log_group


class PrivateBucket(s3.Bucket):
    """A private, encrypted bucket that requires TLS and, by default, is emptied and deleted with its stack.

    With `retain`, or in a stack with termination protection, the bucket and its policy are retained unless
    stack creation fails.
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
        self.emptied = not retain  # before it is deleted
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
        if retain:
            policy = cast(s3.BucketPolicy, self.policy)  # enforce_ssl creates it
            policy.apply_removal_policy(RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE)
        else:
            _configure_auto_delete(Stack.of(scope))


def _configure_auto_delete(stack: Stack) -> None:
    """Add a log group and permissions to aws-cdk-lib's function that empties the buckets of a stack.

    When an update makes a bucket retained, it removes the function's statement from the bucket policy, and then calls
    the function, which leaves the bucket alone, because a tag is missing. Its role must be able to read the tags.
    """
    provider = stack.node.find_child("Custom::S3AutoDeleteObjectsCustomResourceProvider")
    if not stack.node.try_find_child("AutoDeleteLog"):
        log_group = logs.LogGroup(
            stack, "AutoDeleteLog", retention=logs.RetentionDays.ONE_MONTH, removal_policy=RemovalPolicy.DESTROY
        )
        handler = cast(CfnResource, provider.node.find_child("Handler"))
        handler.add_property_override("LoggingConfig.LogGroup", log_group.log_group_name)
    arns = [item.bucket_arn for item in stack.node.find_all() if isinstance(item, PrivateBucket) and item.emptied]
    read_tags = {"Effect": "Allow", "Action": "s3:GetBucketTagging", "Resource": arns}
    deny_create_log_group(cast(CfnResource, provider.node.find_child("Role")), read_tags)
