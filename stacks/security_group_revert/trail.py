"""A CloudTrail trail for management write events, with its bucket and key."""

from typing import Any

from aws_cdk import (
    ArnFormat,
    RemovalPolicy,
    Stack,
    aws_cloudtrail as cloudtrail,
    aws_iam as iam,
    aws_kms as kms,
    aws_s3 as s3,
)
from constructs import Construct

from ..constructs.acknowledgments import acknowledge
from ..constructs.private_bucket import PrivateBucket

CLOUDTRAIL = iam.ServicePrincipal("cloudtrail.amazonaws.com")


class Trail(Construct):
    """A single-Region trail; its bucket and key are retained when the stack is deleted.

    It is created last, because a rollback could not delete the bucket once it contains log files.
    """

    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(scope, construct_id)
        stack = Stack.of(self)
        others = [child for child in scope.node.children if child is not self]
        # A fixed name avoids a circular dependency: the key policy contains the trail's ARN, and the trail refers to
        # the key.
        name = stack.stack_name
        arn = stack.format_arn(
            service="cloudtrail", resource="trail", resource_name=name, arn_format=ArnFormat.SLASH_RESOURCE_NAME
        )
        bucket, key = self._create_bucket(arn), self._create_key(arn)
        trail = cloudtrail.CfnTrail(
            self,
            "Resource",
            trail_name=name,
            is_logging=True,
            s3_bucket_name=bucket.bucket_name,
            kms_key_id=key.key_arn,
            enable_log_file_validation=True,
            include_global_service_events=False,
            is_multi_region_trail=False,
            event_selectors=[
                cloudtrail.CfnTrail.EventSelectorProperty(include_management_events=True, read_write_type="WriteOnly")
            ],
        )
        for dependency in (bucket, *others):
            trail.node.add_dependency(dependency)

    def _create_bucket(self, trail_arn: str) -> s3.Bucket:
        bucket = PrivateBucket(self, "Bucket", retain=True, versioned=True)
        log_files = bucket.arn_for_objects(f"AWSLogs/{Stack.of(self).account}/*")
        owner_condition = {"aws:SourceArn": trail_arn, "s3:x-amz-acl": "bucket-owner-full-control"}
        bucket.add_to_resource_policy(_allow("s3:GetBucketAcl", bucket.bucket_arn, {"aws:SourceArn": trail_arn}))
        bucket.add_to_resource_policy(_allow("s3:PutObject", log_files, owner_condition))
        acknowledge(
            bucket, {"AwsSolutions-S1": "This is the audit log itself; a trail with data events records access to it."}
        )
        return bucket

    def _create_key(self, trail_arn: str) -> kms.Key:
        key = kms.Key(
            self,
            "Key",
            enable_key_rotation=True,
            description="CloudTrail log files",
            removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
        )
        encryption = {"aws:SourceArn": trail_arn, "kms:EncryptionContext:aws:cloudtrail:arn": trail_arn}
        key.add_to_resource_policy(_allow("kms:GenerateDataKey*", "*", encryption))
        key.add_to_resource_policy(_allow("kms:DescribeKey", "*", {"aws:SourceArn": trail_arn}))
        return key


def _allow(action: str, resource: str, equals: dict[str, Any]) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        principals=[CLOUDTRAIL], actions=[action], resources=[resource], conditions={"StringEquals": equals}
    )
