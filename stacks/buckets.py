"""Buckets: private, encrypted, and reached over TLS only."""

from typing import Any

from aws_cdk import RemovalPolicy, Stack, aws_s3 as s3
from constructs import Construct


def make_bucket(
    scope: Construct,
    name: str,
    *,
    keep: bool = False,
    encryption: s3.BucketEncryption = s3.BucketEncryption.S3_MANAGED,
    **options: Any,
) -> s3.Bucket:
    """Make a bucket that is emptied and removed with its stack.

    With `keep` it stays, as every bucket of a stack does that is protected from termination. `options`
    are further ones of `s3.Bucket`.
    """
    kept = keep or Stack.of(scope).termination_protection
    return s3.Bucket(
        scope,
        name,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        encryption=encryption,
        enforce_ssl=True,
        removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE if kept else RemovalPolicy.DESTROY,
        auto_delete_objects=None if kept else True,
        **options,
    )
