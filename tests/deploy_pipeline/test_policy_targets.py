"""Policies that are attached to resources outside the stack are unsafe."""

import json
from functools import partial
from typing import Any

import pytest

from lambdas.deploy_pipeline.inspection import Lookups

from .changes import ALLOW, MARKER, change, detail, reasons, update

POLICIES = [("AWS::SQS::QueuePolicy", "Queues", ["https://sqs/q"], "AWS::SQS::Queue"),
            ("AWS::SNS::TopicPolicy", "Topics", ["arn:t"], "AWS::SNS::Topic"),
            ("AWS::S3Tables::TablePolicy", "TableARN", "arn:t", "AWS::S3Tables::Table"),
            ("AWS::S3Outposts::BucketPolicy", "Bucket", "arn:b", "AWS::S3Outposts::Bucket"),
            ("AWS::SecretsManager::RotationSchedule", "SecretId", "arn:s", "AWS::SecretsManager::Secret"),
            ("AWS::SecretsManager::SecretTargetAttachment", "SecretId", "arn:s", "AWS::SecretsManager::Secret"),
            ("AWS::S3::BucketPolicy", "Bucket", "bucket", "AWS::S3::Bucket")]  # fmt: skip


@pytest.mark.parametrize(("kind", "name", "target", "target_type"), POLICIES)
@pytest.mark.reliability(
    "deploy_pipeline",
    "System-specific",
    fault="a policy is attached to a resource outside the stack",
    expected="rejected",
    observed='"names a resource outside the stack"',
)
def test_policy_of_resource_outside_stack_is_unsafe(kind: str, name: str, target: Any, target_type: str) -> None:
    added = change("Add", "Policy", kind, AfterContext=json.dumps({"Properties": {name: target}}))
    targets = [target] if isinstance(target, str) else target
    outside = Lookups(physical_ids=lambda: frozenset({(target_type, "another")}))
    inside = Lookups(physical_ids=lambda: frozenset((target_type, text) for text in targets))
    assert f"{name} names a resource outside the stack" in reasons(added, lookups=outside)
    assert not reasons(added, lookups=inside)
    known_later = [MARKER] if isinstance(target, list) else MARKER
    added["ResourceChange"]["AfterContext"] = json.dumps({"Properties": {name: known_later}})
    assert not reasons(change("Add", "Target", target_type), added, lookups=outside)
    del added["ResourceChange"]["AfterContext"]
    assert "is not visible" in reasons(added, lookups=inside)


def test_policy_target_with_id_of_another_type_is_unsafe() -> None:
    """A parameter's name, or the ID that a custom resource returns, can be the name of somebody else's bucket."""
    added = change("Add", "P", "AWS::S3::BucketPolicy", AfterContext='{"Properties": {"Bucket": "theirs"}}')
    for kind in ("AWS::SSM::Parameter", "Custom::Bucket", "AWS::DynamoDB::Table"):
        named = frozenset({(kind, "theirs")})
        assert "outside the stack" in reasons(added, lookups=Lookups(physical_ids=partial(frozenset, named)))


def test_imported_policy_overwrites_nothing() -> None:
    policy = change("Import", "P", "AWS::S3::BucketPolicy", AfterContext='{"Properties": {"Bucket": "theirs"}}')
    assert not reasons(policy, lookups=Lookups(physical_ids=frozenset))


@pytest.mark.parametrize(("kind", "name", "target", "target_type"), POLICIES)
@pytest.mark.reliability(
    "deploy_pipeline",
    "System-specific",
    fault="a policy's target is known only during the update, such as the value of an SSM parameter",
    expected="rejected, unless the change set adds or changes a resource of the target's type",
    observed='"is known only during the update"',
)
def test_target_known_only_during_update_is_unsafe_without_its_type(
    kind: str, name: str, target: Any, target_type: str
) -> None:
    known_later = [MARKER] if isinstance(target, list) else MARKER
    policy = change("Add", "Policy", kind, AfterContext=json.dumps({"Properties": {name: known_later}}))
    for others in ([], [change("Add", "Name", "AWS::SSM::Parameter")], [change("Remove", "Old", target_type)]):
        assert f"{name} is known only during the update" in reasons(policy, *others)
    for action in ("Add", "Modify"):
        assert not reasons(policy, change(action, "Target", target_type))


def test_target_known_later_is_that_of_its_cause() -> None:
    """A bucket in the same change set does not make the value of a parameter safe."""
    contexts = {
        when: json.dumps({"Properties": {"Bucket": bucket}})
        for when, bucket in (("BeforeContext", "ours"), ("AfterContext", MARKER))
    }
    bucket, parameter = change("Add", "Bucket", "AWS::S3::Bucket"), change("Add", "Name", "AWS::SSM::Parameter")
    for entity, expected in (("Name.Value", "known only during"), ("Missing", "known only during"), ("Bucket", "")):
        details = [detail("Never", name="Bucket", source="ResourceReference", entity=entity)]
        policy = change("Modify", "Policy", "AWS::S3::BucketPolicy", Details=details, **contexts)
        found = reasons(policy, bucket, parameter)
        assert expected in found if expected else not found


@pytest.mark.parametrize("target", ["victim", f"{MARKER}rders", "{{resolve:ssm:queue}}", "****"])
def test_reference_to_new_queue_does_not_hide_other_targets(target: str) -> None:
    inside = Lookups(physical_ids=lambda: frozenset({("AWS::SQS::Queue", "ours")}))
    new = change("Add", "New", "AWS::SQS::Queue")
    for targets, is_safe in ((["ours", MARKER], True), (["ours", target, MARKER], False)):
        policy = update("AWS::SQS::QueuePolicy", {"Queues": ["ours"]}, {"Queues": targets}, "Policy")
        source = detail("Never", "Dynamic", name="Queues", source="ResourceReference", entity="New")
        policy["ResourceChange"]["Details"].append(source)
        assert (not reasons(new, policy, lookups=inside)) is is_safe


def test_rotation_of_secret_known_by_its_attachment_is_safe() -> None:
    """CDK's rotation refers to the attachment, whose reference is the secret's ARN, and whose target is inspected."""
    after = json.dumps({"Properties": {"SecretId": MARKER}})
    rotation = change("Add", "Rotation", "AWS::SecretsManager::RotationSchedule", AfterContext=after)
    known = json.dumps({"Properties": {"SecretId": "arn:s"}})
    attachment = change("Add", "Attachment", "AWS::SecretsManager::SecretTargetAttachment", AfterContext=known)
    inside = Lookups(physical_ids=lambda: frozenset({("AWS::SecretsManager::Secret", "arn:s")}))
    assert not reasons(rotation, attachment, lookups=inside)
    assert "outside the stack" in reasons(rotation, attachment, lookups=Lookups())
    attachment["ResourceChange"]["AfterContext"] = after
    assert "SecretId is known only" in reasons(rotation, attachment), "the attachment is not its own secret"


def test_existing_policy_can_be_updated() -> None:
    queues = {"Queues": ["https://sqs/theirs"]}
    document = {"PolicyDocument": {"Statement": [ALLOW]}}
    assert not reasons(update("AWS::SQS::QueuePolicy", queues, queues | document))
    more = {"Queues": ["https://sqs/theirs", "https://sqs/another"]}
    assert "outside the stack" in reasons(update("AWS::SQS::QueuePolicy", queues, more))


def test_changed_target_that_is_masked_is_unsafe() -> None:
    """Both values of a NoEcho parameter are masked in the same way; only a detail shows that it changes."""
    contexts = {f"{when}Context": json.dumps({"Properties": {"Queues": ["****"]}}) for when in ("Before", "After")}
    for name, expected in (("Queues", "Queues is not visible"), ("PolicyDocument", "")):
        details = [detail("Never", name=name, source="ParameterReference", entity="Url")]
        found = reasons(change("Modify", "Policy", "AWS::SQS::QueuePolicy", Details=details, **contexts))
        assert expected in found if expected else "Queues" not in found


def test_target_that_is_attribute_of_changed_resource_is_unsafe() -> None:
    """With property values, CloudFormation can assume that the attribute stays the same."""
    policy = update("AWS::SQS::QueuePolicy", {"Queues": ["https://sqs/q"]}, {"Queues": ["https://sqs/q"]}, "Policy")
    url = update("AWS::SSM::Parameter", {"Value": "https://sqs/q"}, {"Value": "https://sqs/theirs"}, "Url")
    queue = update("AWS::SQS::Queue", {}, {"DelaySeconds": 1})
    for entity, source, expected in (
        ("Url.Value", "ResourceAttribute", "Queues is known only during the update"),
        ("Queue", "ResourceReference", ""),
    ):
        policy["ResourceChange"]["Details"] = [detail("Never", "Dynamic", name="Queues", source=source, entity=entity)]
        found = reasons(policy, url, queue)
        assert expected in found if expected else not found


def test_target_that_is_output_of_other_stack_is_unsafe() -> None:
    """No detail lists it, and CloudFormation shows it as known after the update."""
    before, after = ({"PolicyDocument": {"Statement": [ALLOW | {"Sid": sid}]}, "Queues": [MARKER]} for sid in "ab")
    queue = update("AWS::SQS::Queue", {}, {"DelaySeconds": 1})
    found = reasons(update("AWS::SQS::QueuePolicy", before, after, "Policy"), queue)
    assert "or the output of another stack, so it may name a resource outside the stack" in found
