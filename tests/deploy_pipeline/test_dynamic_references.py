"""Dynamic references without a version in create-only properties are unsafe."""

import pytest

from lambdas.deploy_pipeline.inspection import Lookups, Policy

from .changes import MARKER, change, detail, reasons, update


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
        ("{{resolve:secretsmanager:app:SecretString:name::11111111-2222-3333-4444-555555555555}}", True),
        (f"{{{{resolve:secretsmanager:{MARKER}:SecretString:name}}}}", False),
        ("a-{{resolve:ssm:/a:1}}-{{resolve:ssm:/b}}", False),
        ("{{resolve:ssm:/app/name", False),
    ],
)
@pytest.mark.reliability(
    "deploy_pipeline",
    "System-specific",
    fault="the value of a dynamic reference without a version changes",
    expected="rejected if the property is, or may be, create-only",
    observed="resources that depend on it are not treated as retained",
)
def test_unversioned_reference_in_create_only_is_unsafe(reference: str, safe: bool) -> None:
    lookups = Lookups(create_only={"AWS::SQS::Queue": ("/properties/QueueName",)}.get)
    name = {"QueueName": reference}
    changed = update("AWS::SQS::Queue", name, name | {"VisibilityTimeout": 45})
    result = reasons(changed, lookups=lookups)
    assert bool(result) is not safe
    assert safe or "it may be replaced because of QueueName: dynamic references without a version" in result
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
