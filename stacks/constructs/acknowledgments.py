"""Acknowledge cdk-nag findings, each with a reason."""

from aws_cdk import Acknowledgment, Stack, Token, Validations, aws_s3 as s3
from constructs import IConstruct

from .cfn_resource import cfn_resource

ONE_KEY = "The wildcard covers variants of one action on one key."


def acknowledge(construct: IConstruct, reasons: dict[str, str]) -> None:
    """Acknowledge findings on `construct` and its children. `reasons` maps a rule (``AwsSolutions-L1``) to a reason."""
    findings = [Acknowledgment(id=finding, reason=reason) for finding, reason in reasons.items()]
    Validations.of(construct).acknowledge(*findings)


def acknowledge_wildcards(construct: IConstruct, reasons: dict[str, str]) -> None:
    """Acknowledge wildcards in policies that aws-cdk-lib creates.

    `reasons` maps a wildcard (``Resource::...`` or ``Action::...``) to a reason. `grant` does this for the project's
    own policies.
    """
    acknowledge(construct, {f"AwsSolutions-IAM5[{finding}]": reason for finding, reason in reasons.items()})


def acknowledge_bucket_deployment(stack: Stack, bucket: s3.Bucket) -> None:
    """Acknowledge findings on aws-cdk-lib's upload function for `bucket`, whose permissions aws-cdk-lib chooses."""
    (function,) = (c for c in stack.node.children if c.node.id.startswith("Custom::CDKBucketDeployment"))
    region, partition = (
        ("<AWS::Region>", "<AWS::Partition>") if Token.is_unresolved(stack.region) else (stack.region, "aws")
    )
    bucket_id = stack.get_logical_id(cfn_resource(bucket, s3.CfnBucket))
    assets = f"cdk-hnb659fds-assets-<AWS::AccountId>-{region}"
    logs_policy = "arn:<AWS::Partition>:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
    reasons = {
        "AwsSolutions-L1": "aws-cdk-lib chooses its runtime.",
        f"AwsSolutions-IAM4[Policy::{logs_policy}]": "aws-cdk-lib attaches the managed policy for logs.",
    }
    wildcards = {
        f"Resource::arn:{partition}:s3:::{assets}/*": "Asset names are hashes.",
        f"Resource::<{bucket_id}.Arn>/*": "File names are not known in advance.",
    }
    for action in ("s3:GetBucket", "s3:GetObject", "s3:List", "s3:Abort", "s3:DeleteObject"):
        wildcards[f"Action::{action}*"] = "aws-cdk-lib grants groups of actions on CDK's assets and this bucket."
    for action in ("kms:GenerateDataKey", "kms:ReEncrypt"):
        wildcards[f"Action::{action}*"] = ONE_KEY
    acknowledge(function, reasons)
    acknowledge_wildcards(function, wildcards)
