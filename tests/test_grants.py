"""`grant` adds a statement and acknowledges its wildcards."""

from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam, aws_s3 as s3

from stacks.constructs.grants import grant

REASON = "Object names are not known in advance."


@pytest.fixture
def stack() -> cdk.Stack:
    return cdk.Stack(cdk.App(), "Stack")


@pytest.fixture
def role(stack: cdk.Stack) -> iam.Role:
    return iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))


def acknowledged(construct: Any) -> dict[str, str]:
    entries = [entry.data for entry in construct.node.metadata if entry.type == "aws:cdk:acknowledged-rules"]
    return {rule.removeprefix("Annotation::"): reason for entry in entries for rule, reason in entry.items()}


def test_grant_acknowledges_each_wildcard_by_cdk_nag_name(stack: cdk.Stack, role: iam.Role) -> None:
    bucket = s3.Bucket(stack, "Bucket")
    logs = stack.format_arn(service="logs", resource="log-group", resource_name="app-*")
    resources = [bucket.arn_for_objects("*"), bucket.bucket_arn, logs]
    grant(role, ["s3:Get*", "s3:PutObject"], *resources, wildcard_reason=REASON)
    wildcards = (
        "Action::s3:Get*",
        f"Resource::<{stack.get_logical_id(bucket.node.default_child)}.Arn>/*",
        "Resource::arn:<AWS::Partition>:logs:<AWS::Region>:<AWS::AccountId>:log-group/app-*",
    )
    assert acknowledged(role) == {f"AwsSolutions-IAM5[{wildcard}]": REASON for wildcard in wildcards}


def test_grant_with_wildcard_without_reason_raises(role: iam.Role) -> None:
    with pytest.raises(ValueError, match=r"wildcard_reason is required for Resource::\*"):
        grant(role, ["s3:ListAllMyBuckets"], "*")


def test_grant_without_wildcards_acknowledges_nothing(role: iam.Role) -> None:
    grant(role, ["s3:GetObject"], "arn:aws:s3:::songs/a.csv", wildcard_reason=REASON)
    assert acknowledged(role) == {}


def test_grant_to_managed_policy_acknowledges_on_the_policy(stack: cdk.Stack) -> None:
    policy = iam.ManagedPolicy(stack, "Policy")
    arn = "arn:aws:ssm:us-east-1:111111111111:session"
    conditions = {"Bool": {"aws:MultiFactorAuthPresent": "true"}}
    grant(policy, ["ssm:ResumeSession"], f"{arn}/${{aws:userid}}-*", conditions=conditions, wildcard_reason=REASON)
    assert acknowledged(policy) == {f"AwsSolutions-IAM5[Resource::{arn}/<aws:userid>-*]": REASON}
    statement = {
        "Effect": "Allow",
        "Action": "ssm:ResumeSession",
        "Resource": f"{arn}/${{aws:userid}}-*",
        "Condition": conditions,
    }
    assert stack.resolve(policy.document.to_json())["Statement"] == [statement]
