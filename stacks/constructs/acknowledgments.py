"""Acknowledgments of cdk-nag findings, each with its reason."""

from aws_cdk import Acknowledgment, Stack, Token, Validations, aws_s3 as s3
from constructs import Construct


def acknowledge(construct: Construct, reasons: dict[str, str]) -> None:
    """Acknowledge findings at and below `construct`: rule, such as ``AwsSolutions-L1``, to reason."""
    for finding, reason in reasons.items():
        Validations.of(construct).acknowledge(Acknowledgment(id=finding, reason=reason))


def acknowledge_wildcards(construct: Construct, reasons: dict[str, str]) -> None:
    """Acknowledge wildcards in policies that aws-cdk-lib writes: ``Resource::...`` or ``Action::...`` to reason.

    For the policies of this project, `grant` does it.
    """
    acknowledge(construct, {f"AwsSolutions-IAM5[{finding}]": reason for finding, reason in reasons.items()})


def acknowledge_bucket_deployment(stack: Stack, bucket: s3.Bucket) -> None:
    """Acknowledge the findings at aws-cdk-lib's function that uploads to `bucket`; it chooses the permissions."""
    (function,) = (c for c in stack.node.children if c.node.id.startswith("Custom::CDKBucketDeployment"))
    region, partition = (
        ("<AWS::Region>", "<AWS::Partition>") if Token.is_unresolved(stack.region) else (stack.region, "aws")
    )
    bucket_id = stack.get_logical_id(bucket.node.default_child)
    assets = f"cdk-hnb659fds-assets-<AWS::AccountId>-{region}"
    logs_policy = "arn:<AWS::Partition>:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
    reasons = {
        "AwsSolutions-L1": "aws-cdk-lib chooses its runtime.",
        f"AwsSolutions-IAM4[Policy::{logs_policy}]": "aws-cdk-lib attaches the managed policy for logs.",
    }
    wildcards = {
        f"Resource::arn:{partition}:s3:::{assets}/*": "It reads CDK's assets, whose names are hashes.",
        f"Resource::<{bucket_id}.Arn>/*": "The names of the files that it uploads are not known here.",
    }
    for action in ("s3:GetBucket", "s3:GetObject", "s3:List", "s3:Abort", "s3:DeleteObject"):
        wildcards[f"Action::{action}*"] = (
            "aws-cdk-lib grants families of actions, on CDK's assets and this one bucket only."
        )
    for action in ("kms:GenerateDataKey", "kms:ReEncrypt"):
        wildcards[f"Action::{action}*"] = "KMS names families of actions with a suffix; the resource is one key."
    acknowledge(function, reasons)
    acknowledge_wildcards(function, wildcards)
