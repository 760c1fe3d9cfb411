"""Dynamic references without a version are unsafe in create-only properties and where a value can lose data."""

from typing import Any

import pytest

from lambdas.deploy_pipeline.inspection import Lookups, Policy

from .changes import ALLOW, MARKER, bucket_policy, change, deny, detail, reasons, update

PARAMETER, VERSION = "{{resolve:ssm:/app/value}}", "{{resolve:ssm:/app/value:3}}"
BY_ARN = "{{resolve:secretsmanager:arn:aws:secretsmanager:us-east-1:111111111111:secret:"
VERSION_ID = "11111111-2222-3333-4444-555555555555"


@pytest.mark.parametrize(
    ("reference", "safe"),
    [
        ("{{resolve:ssm:/app/name}}", False),
        ("{{resolve:ssm:/app/name:3}}", True),
        ("{{resolve:ssm:arn:aws:ssm:us-east-1:111111111111:parameter/name}}", False),
        ("{{resolve:ssm-secure:/app/name}}", False),
        ("{{resolve:secretsmanager:app}}", False),
        ("{{resolve:secretsmanager:app:SecretString:name}}", False),
        ("{{resolve:secretsmanager:app:SecretString:name:AWSCURRENT}}", False),
        (f"{{{{resolve:secretsmanager:app:SecretString:name::{VERSION_ID}}}}}", True),
        (f"{BY_ARN}app-AbCdEf:SecretString:name:AWSCURRENT:}}}}", False),
        (f"{BY_ARN}app-AbCdEf:SecretString:name::{VERSION_ID}}}}}", True),
        # Names of secrets that look like the next field.
        (f"{BY_ARN}SecretStrings-AbCdEf:SecretString:name:AWSCURRENT}}}}", False),
        (f"{BY_ARN}SecretStrings-AbCdEf::name:AWSCURRENT:}}}}", False),
        (f"{BY_ARN}SecretString:SecretString:name:AWSCURRENT}}}}", False),
        (f"{BY_ARN}SecretStrings-AbCdEf:SecretString:name::{VERSION_ID}}}}}", True),
        ("{{resolve:secretsmanager:SecretString:SecretString:name:AWSCURRENT}}", False),
        (f"{{{{resolve:secretsmanager:{MARKER}:SecretString:name}}}}", False),
        ("a-{{resolve:ssm:/a:1}}-{{resolve:ssm:/b}}", False),
        ("{{resolve:ssm:/app/name", False),
    ],
)
@pytest.mark.reliability(
    "deploy_pipeline",
    "System-specific",
    fault="the value of a dynamic reference without a version changes",
    expected="rejected if the property is, or may be, create-only, or can lose data",
    observed="resources that depend on it are not treated as retained",
)
def test_unversioned_reference_in_create_only_is_unsafe(reference: str, safe: bool) -> None:
    lookups = Lookups(create_only={"AWS::SQS::Queue": ("/properties/QueueName",)}.get)
    name = {"QueueName": reference}
    changed = update("AWS::SQS::Queue", name, name | {"VisibilityTimeout": 45})
    result = reasons(changed, lookups=lookups)
    assert bool(result) is not safe
    assert safe or "it may be replaced because of QueueName: a dynamic reference without a version" in result
    assert "resolve" not in result
    assert not reasons(changed, lookups=lookups, policy=Policy(conditional=True))
    other_property = {"KmsMasterKeyId": reference}
    assert not reasons(update("AWS::SQS::Queue", other_property, other_property | {"DelaySeconds": 1}), lookups=lookups)


@pytest.mark.reliability(
    "deploy_pipeline",
    "System-specific",
    fault="the value of a dynamic reference without a version changes",
)
def test_unversioned_reference_in_unknown_type_is_unsafe() -> None:
    name = {"Name": [{"Key": "{{resolve:ssm:/app/name}}"}]}
    assert "replaced because of Name" in reasons(update("Their::Private::Type", name, name))


@pytest.mark.reliability(
    "deploy_pipeline",
    "System-specific",
    fault="the value of a dynamic reference without a version changes",
)
def test_unversioned_reference_does_not_retain_dependents() -> None:
    name = {"QueueName": "{{resolve:ssm:/app/name}}"}
    source = detail("Always", "Dynamic", source="ResourceAttribute", entity="Queue.Arn")
    dependent = change("Modify", "Sub", "AWS::SNS::Subscription", Replacement="Conditional", Details=[source])
    assert reasons(update("AWS::SQS::Queue", name, name), dependent).count("may be replaced") == 2


def lifecycle(days: str, prefix: str = "logs/") -> dict[str, Any]:
    rule = {"Status": "Enabled", "ExpirationInDays": days, "Prefix": prefix}
    return {"LifecycleConfiguration": {"Rules": [rule]}}


@pytest.mark.parametrize(
    ("kind", "properties", "name"),
    [
        ("AWS::Logs::LogGroup", {"RetentionInDays": PARAMETER}, "RetentionInDays"),
        ("AWS::Logs::LogGroup", {"RetentionInDays": f"1{PARAMETER}"}, "RetentionInDays"),
        ("AWS::SQS::Queue",
         {"MessageRetentionPeriod": f"{BY_ARN}SecretStrings-AbCdEf:SecretString:seconds:AWSCURRENT}}}}"},
         "MessageRetentionPeriod"),
        ("AWS::RDS::DBInstance", {"DeletionProtection": PARAMETER}, "DeletionProtection"),
        ("AWS::S3::Bucket", lifecycle(PARAMETER), "LifecycleConfiguration.Rules"),
        ("AWS::S3::Bucket", lifecycle("30", PARAMETER), "LifecycleConfiguration.Rules"),
        ("AWS::ECR::Repository", {"RepositoryPolicyText": bucket_policy(*deny(PARAMETER))["PolicyDocument"]},
         "RepositoryPolicyText"),
        ("AWS::S3::BucketPolicy", bucket_policy(ALLOW, *deny(PARAMETER)), "PolicyDocument"),
        ("AWS::S3::BucketPolicy", bucket_policy(ALLOW | {"Effect": PARAMETER}), "PolicyDocument"),
        ("AWS::SecretsManager::Secret", {"GenerateSecretString": {"ExcludeCharacters": PARAMETER}},
         "GenerateSecretString"),
    ],
)  # fmt: skip
@pytest.mark.reliability(
    "deploy_pipeline",
    "System-specific",
    fault="the value of a dynamic reference without a version changes",
)
def test_unversioned_reference_in_lossy_property_is_unsafe(kind: str, properties: dict[str, Any], name: str) -> None:
    lookups = Lookups(create_only=lambda _: ())
    result = reasons(update(kind, properties, properties | {"Tags": []}), lookups=lookups)
    assert f"{name} has a dynamic reference without a version" in result
    assert "resolve" not in result


@pytest.mark.parametrize(
    ("kind", "properties"),
    [
        ("AWS::Logs::LogGroup", {"RetentionInDays": VERSION}),
        ("AWS::Logs::LogGroup", {"KmsKeyId": PARAMETER}),
        ("AWS::S3::Bucket", lifecycle("30", VERSION)),
        ("AWS::S3::BucketPolicy", bucket_policy(*deny("a"), ALLOW | {"Resource": PARAMETER})),
    ],
)
def test_reference_that_cannot_lose_data_is_safe(kind: str, properties: dict[str, Any]) -> None:
    lookups = Lookups(create_only=lambda _: ())
    assert not reasons(update(kind, properties, properties | {"Tags": []}), lookups=lookups)


@pytest.mark.parametrize(("queue", "safe"), [(PARAMETER, False), (VERSION, True), ("https://sqs/theirs", True)])
def test_unversioned_reference_to_target_of_policy_is_unsafe(queue: str, safe: bool) -> None:
    before, after = ({"Queues": [queue], "PolicyDocument": {"Statement": [ALLOW | {"Sid": sid}]}} for sid in "ab")
    result = reasons(update("AWS::SQS::QueuePolicy", before, after), lookups=Lookups(create_only=lambda _: ()))
    assert safe or "Queues has a dynamic reference without a version" in result
    assert bool(result) is not safe
