"""Properties that lose data and refer to resources that the same change set updates in place.

AWS's responses, as LocalStack recorded them, list a property that refers to such an attribute with the evaluation
"Dynamic". With property values, they show the old value, or omit the resource; the update then sets the new value.
"""

import json
from typing import Any

import pytest

from lambdas.deploy_pipeline.inspection import Lookups

from .changes import ALLOW, MARKER, bucket_policy, change, deny, detail, reasons, update


def reference(name: str, entity: str, recreation: str = "Never") -> dict[str, Any]:
    source = "ResourceAttribute" if "." in entity else "ResourceReference"
    return detail(recreation, "Dynamic", name=name, source=source, entity=entity)


@pytest.mark.parametrize("entity", ["Days.Value", "Child.Outputs.Days", "Custom.Arn"])
@pytest.mark.reliability(
    "deploy_pipeline",
    "System-specific",
    fault="a lossy property refers to another resource that changes, so CloudFormation shows its old value",
    expected="rejected",
    observed='"its values are not visible"',
)
def test_attribute_of_changed_resource_is_not_visible(entity: str) -> None:
    """With property values, CloudFormation can assume that the attributes of an updated resource stay the same."""
    queue = update("AWS::SQS::Queue", {"DelaySeconds": 1}, {"DelaySeconds": 2})
    queue["ResourceChange"]["Details"].append(reference("MessageRetentionPeriod", entity))
    days = update("AWS::SSM::Parameter", {"Value": "1209600"}, {"Value": "60"}, "Days")
    custom = update("Custom::Days", {"Value": "1"}, {"Value": "2"}, "Custom")
    assert "MessageRetentionPeriod changes, but its values are not visible" in reasons(queue, days, custom)
    shown = update("AWS::SQS::Queue", {"DelaySeconds": 1}, {"DelaySeconds": 2, "MessageRetentionPeriod": 1209600})
    shown["ResourceChange"]["Details"].append(reference("MessageRetentionPeriod", entity))
    assert "MessageRetentionPeriod changes, but its values are not visible" in reasons(shown, days, custom)


@pytest.mark.parametrize("contexts", [{}, update("AWS::S3::BucketPolicy", {}, bucket_policy())["ResourceChange"]])
def test_identity_of_resource_updated_in_place_is_not_a_change(contexts: dict[str, Any]) -> None:
    """CloudFormation lists the policy of a bucket whose tags change, without its values."""
    bucket = update("AWS::S3::Bucket", {}, {"Tags": [{"Key": "a", "Value": "b"}]}, "Bucket")
    details = [reference("Bucket", "Bucket", "Always"), reference("PolicyDocument", "Bucket.Arn")]
    shown = dict.fromkeys(("BeforeContext", "AfterContext"), contexts["AfterContext"]) if contexts else {}
    policy = change("Modify", "P", "AWS::S3::BucketPolicy", Details=details, Replacement="Conditional", **shown)
    assert not reasons(bucket, policy)
    bucket["ResourceChange"]["Replacement"] = "True"
    assert "it may be replaced" in reasons(bucket, policy)


def test_policy_without_denial_has_none_to_lose() -> None:
    """Its values may depend on resources that change."""
    allowed, more = bucket_policy(ALLOW), bucket_policy(ALLOW, ALLOW | {"Action": "s3:PutObject"})
    policy = update("AWS::S3::BucketPolicy", allowed, more)
    policy["ResourceChange"]["Details"].append(reference("PolicyDocument", "Child.Outputs.Role"))
    assert not reasons(policy)
    policy = update("AWS::S3::BucketPolicy", bucket_policy(*deny("a")), bucket_policy(*deny("a"), ALLOW))
    policy["ResourceChange"]["Details"].append(reference("PolicyDocument", "Child.Outputs.Role"))
    assert "PolicyDocument changes, but its values are not visible" in reasons(policy)


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("AWS::SQS::Queue", "MessageRetentionPeriod", MARKER),
        ("AWS::Backup::BackupPlan", "BackupPlan", {"BackupPlanRule": [{"TargetBackupVault": MARKER}]}),
        ("AWS::S3::BucketPolicy", "PolicyDocument", {"Statement": [deny("a")[0] | {"Principal": MARKER}]}),
        ("AWS::SQS::QueuePolicy", "Queues", [MARKER]),
    ],
)
def test_reference_that_is_not_visible_before_and_after_is_a_change(kind: str, name: str, value: Any) -> None:
    """AWS's responses show a reference in a resource that is removed as known after the update, even the old value."""
    resource = update(kind, {name: value}, {name: value})
    resource["ResourceChange"]["Details"] = [
        detail("Never", "Dynamic", name=name),
        detail("Never", "Static", name=name, source="ResourceAttribute", entity="New.Value"),
    ]
    assert name in reasons(resource, change("Add", "New", "AWS::SSM::Parameter"))


WRITTEN = deny(f"arn:aws:s3:::orders/{MARKER}")
ESCAPED = json.dumps({"Statement": WRITTEN}).replace(MARKER, MARKER.replace("{", "\\u007b"))


@pytest.mark.parametrize("policy", [{"Statement": WRITTEN}, ESCAPED])
@pytest.mark.parametrize("source", ["DirectModification", "ParameterReference"])
def test_marker_that_template_contains_is_no_unknown_value(policy: Any, source: str) -> None:
    """CloudFormation shows the text as it is, because it resolves only references that begin with ``{{resolve:``."""
    before = {"PolicyDocument": {"Statement": deny("arn:aws:s3:::orders/*")}}
    changed = update("AWS::S3::BucketPolicy", before, {"PolicyDocument": policy})
    changed["ResourceChange"]["Details"] = [detail("Never", name="PolicyDocument", source=source)]
    assert "PolicyDocument" in reasons(changed)


def test_unknown_value_is_not_the_text_that_replaces_it() -> None:
    """A template can contain that text too."""
    before, after = bucket_policy(*deny(MARKER)), bucket_policy(*deny("{{changeSet:UNKNOWN}}"))
    changed = update("AWS::S3::BucketPolicy", before, after)
    assert "PolicyDocument changes, but its values are not visible" in reasons(changed)


@pytest.mark.parametrize("source", [reference("PolicyDocument", "Bucket.Arn"),
                                    detail("Never", name="PolicyDocument", source="ResourceAttribute")])  # fmt: skip
def test_unknown_value_in_changed_denial_is_unsafe(source: dict[str, Any]) -> None:
    """The statement may deny less, or move to another resource."""
    changed = update("AWS::S3::BucketPolicy", bucket_policy(*deny("a", "b")), bucket_policy(*deny("b", MARKER)))
    changed["ResourceChange"]["Details"].append(source)
    bucket = update("AWS::S3::Bucket", {}, {"Tags": [{"Key": "a", "Value": "b"}]}, "Bucket")
    assert "loses or changes a `Deny` statement" in reasons(changed, bucket)


@pytest.mark.parametrize("details", [[detail("Never", name="Tags")], [reference("PolicyDocument", "Bucket.Arn")]])
@pytest.mark.parametrize("before", [deny(MARKER), deny("arn:aws:s3:::orders/*")])
def test_unknown_value_that_no_change_explains_is_not_visible(details: Any, before: Any) -> None:
    """It is the output of another stack. In AWS's responses, the identity of a resource updated in place is visible."""
    policy = update("AWS::S3::BucketPolicy", bucket_policy(*before), bucket_policy(*deny(MARKER)))
    policy["ResourceChange"]["Details"] = details
    bucket = update("AWS::S3::Bucket", {}, {"Tags": [{"Key": "a", "Value": "b"}]}, "Bucket")
    assert "PolicyDocument" in reasons(policy, bucket, lookups=Lookups(create_only=lambda _: ()))


def test_dynamic_reference_beside_identity_is_not_visible() -> None:
    dynamic = bucket_policy(*deny("arn:aws:s3:::orders/*", "{{resolve:ssm:bucket}}"))
    policy = update("AWS::S3::BucketPolicy", dynamic, dynamic)
    policy["ResourceChange"]["Details"] = [reference("PolicyDocument", "Bucket.Arn")]
    bucket = update("AWS::S3::Bucket", {}, {"Tags": [{"Key": "a", "Value": "b"}]}, "Bucket")
    assert "dynamic reference without a version" in reasons(policy, bucket)


@pytest.mark.parametrize("before", ["arn:aws:sqs:::a", MARKER])
def test_output_of_other_stack_in_create_only_property_is_not_visible(before: str) -> None:
    """CloudFormation reads the output during the update."""
    mapping = update("AWS::Lambda::EventSourceMapping", {"EventSourceArn": before}, {"EventSourceArn": MARKER})
    mapping["ResourceChange"]["Details"] = [detail("Never", name="Tags")]
    lookups = Lookups(create_only=lambda _: ("/properties/EventSourceArn",))
    assert "may be replaced because of EventSourceArn: a dynamic ref" in reasons(mapping, lookups=lookups)
    assert not reasons(mapping, lookups=Lookups(create_only=lambda _: ("/properties/FunctionName",)))


@pytest.mark.parametrize("before", ["svm-1", MARKER])
def test_output_of_other_stack_beside_changed_field_is_not_visible(before: str) -> None:
    """A detail of another field lists the property, but says that nothing is replaced."""
    old, new = {"StorageVirtualMachineId": before, "Size": 1}, {"StorageVirtualMachineId": MARKER, "Size": 2}
    volume = update("AWS::FSx::Volume", {"OntapConfiguration": old}, {"OntapConfiguration": new})
    lookups = Lookups(create_only=lambda _: ("/properties/OntapConfiguration/StorageVirtualMachineId",))
    assert "may be replaced because of OntapConfiguration" in reasons(volume, lookups=lookups)
    assert not reasons(volume, lookups=Lookups(create_only=lambda _: ("/properties/Name",)))


@pytest.mark.parametrize("status", [None, "MODIFIED"])
def test_output_of_other_stack_in_drifted_resource_is_not_visible(status: str | None) -> None:
    retention = {"MessageRetentionPeriod": MARKER}
    queue = update("AWS::SQS::Queue", retention | {"DelaySeconds": 1}, retention | {"DelaySeconds": 2})
    queue["ResourceChange"] |= {"ResourceDriftStatus": status} if status else {}
    assert "MessageRetentionPeriod has a dynamic ref" in reasons(queue, lookups=Lookups(create_only=lambda _: ()))
