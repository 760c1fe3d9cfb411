"""The sandbox's change sets say what CloudFormation's say."""

import json
from typing import Any

import pytest

from sandbox import Sandbox
from sandbox.__main__ import session, settings_for, target_of
from sandbox.cloudformation.property_values import add_values
from sandbox.cloudformation.replacement import differences, schema

from .conftest import deployable, stacks_of

QUEUE = "AWS::SQS::Queue"
TOPIC = "AWS::SNS::Topic"
SUBSCRIPTION = "AWS::SNS::Subscription"


def resource(kind: str, /, **properties: Any) -> dict[str, Any]:
    return {"Type": kind, "Properties": properties}


def found(old: dict[str, Any], new: dict[str, Any]) -> dict[str, tuple[str, str | None]]:
    """Action and replacement of each resource that an update would touch."""
    changes = differences(old, new, new)
    return {name: (change["Action"], change.get("Replacement")) for name, change in changes.items()}


def test_what_comes_and_goes_is_added_and_removed() -> None:
    assert found({"Old": resource(QUEUE)}, {"New": resource(QUEUE)}) == {
        "New": ("Add", None),
        "Old": ("Remove", None),
    }


def test_nothing_changed_is_no_change() -> None:
    assert not found({"Queue": resource(QUEUE, DelaySeconds=1)}, {"Queue": resource(QUEUE, DelaySeconds=1)})


@pytest.mark.parametrize(
    ("kind", "name", "replacement"),
    [
        (QUEUE, "QueueName", "True"),
        (QUEUE, "FifoQueue", "True"),
        (QUEUE, "DelaySeconds", "False"),
        (TOPIC, "TopicName", "True"),
        ("AWS::DynamoDB::Table", "KeySchema", "Conditional"),
        ("AWS::DynamoDB::Table", "BillingMode", "False"),
        ("AWS::CDK::Metadata", "Analytics", "Conditional"),
        ("Custom::Thing", "Name", "Conditional"),
    ],
)
def test_replacement_follows_the_schema(kind: str, name: str, replacement: str) -> None:
    old, new = {"It": resource(kind, **{name: "a"})}, {"It": resource(kind, **{name: "b"})}
    assert found(old, new) == {"It": ("Modify", replacement)}


def test_details_name_property_recreation_and_evaluation() -> None:
    old, new = {"It": resource(QUEUE, QueueName="a")}, {"It": resource(QUEUE, QueueName="b")}
    change = differences(old, new, new)["It"]
    assert change["PolicyAction"] == "ReplaceAndDelete"
    (detail,) = change["Details"]
    assert detail["Target"] == {"Attribute": "Properties", "Name": "QueueName", "RequiresRecreation": "Always"}
    assert (detail["Evaluation"], detail["ChangeSource"]) == ("Static", "DirectModification")


def test_policies_say_what_becomes_of_the_old_resource() -> None:
    kept = resource(QUEUE) | {"DeletionPolicy": "Retain"}
    assert differences({"It": kept}, {}, {})["It"]["PolicyAction"] == "Retain"
    assert differences({"It": resource(QUEUE)}, {}, {})["It"]["PolicyAction"] == "Delete"


def test_attribute_beside_the_properties_replaces_nothing() -> None:
    old, new = {"It": resource(QUEUE)}, {"It": resource(QUEUE) | {"Metadata": {"a": 1}}}
    assert found(old, new) == {"It": ("Modify", "False")}


def subscribed(**queue: Any) -> dict[str, Any]:
    return {
        "Queue": resource(QUEUE, **queue),
        "Subscription": resource(SUBSCRIPTION, Protocol="sqs", Endpoint={"Fn::GetAtt": ["Queue", "Arn"]}),
        "Policy": resource("AWS::SQS::QueuePolicy", Queues=[{"Ref": "Queue"}]),
    }


def test_attribute_of_a_changed_resource_may_change() -> None:
    changes = differences(subscribed(DelaySeconds=1), subscribed(DelaySeconds=2), subscribed(DelaySeconds=2))
    assert changes["Subscription"]["Replacement"] == "Conditional"
    (detail,) = changes["Subscription"]["Details"]
    assert (detail["Evaluation"], detail["ChangeSource"]) == ("Dynamic", "ResourceAttribute")
    assert detail["CausingEntity"] == "Queue.Arn"
    assert "Policy" not in changes, "the id of a resource that stays is the same"


def test_id_of_a_replaced_resource_changes() -> None:
    new = subscribed(QueueName="b")
    changes = differences(subscribed(QueueName="a"), new, new)
    (detail,) = changes["Policy"]["Details"]
    assert (detail["ChangeSource"], detail["CausingEntity"]) == ("ResourceReference", "Queue")


def test_references_in_texts_are_seen() -> None:
    def named(delay: int) -> dict[str, Any]:
        return {
            "Queue": resource(QUEUE, DelaySeconds=delay),
            "Topic": resource(TOPIC, DisplayName={"Fn::Sub": "of ${Queue.Arn} and ${!Queue.Url} in ${AWS::Region}"}),
        }

    assert found(named(1), named(2)) == {"Queue": ("Modify", "False"), "Topic": ("Modify", "False")}


def test_values_before_and_after_are_text() -> None:
    old, new = subscribed(DelaySeconds=1), subscribed(DelaySeconds=2, SqsManagedSseEnabled=True)
    changes = differences(old, new, new)
    for name, change in changes.items():
        add_values(change, old[name], new[name], {"Queue": "https://queue"})
    before, after = (json.loads(changes["Queue"][f"{when}Context"]) for when in ("Before", "After"))
    assert before == {"Properties": {"DelaySeconds": "1"}}
    assert after == {"Properties": {"DelaySeconds": "2", "SqsManagedSseEnabled": "true"}}
    targets = {detail["Target"]["Name"]: detail["Target"] for detail in changes["Queue"]["Details"]}
    delay, encrypted = targets["DelaySeconds"], targets["SqsManagedSseEnabled"]
    assert (delay["Path"], delay["AttributeChangeType"]) == ("/Properties/DelaySeconds", "Modify")
    assert (delay["BeforeValue"], delay["AfterValue"]) == ("1", "2")
    assert ("BeforeValue" in encrypted, encrypted["AttributeChangeType"]) == (False, "Add")
    subscription = json.loads(changes["Subscription"]["AfterContext"])["Properties"]
    assert subscription["Endpoint"] == "{{changeSet:KNOWN_AFTER_APPLY}}"


def test_reference_to_an_existing_resource_is_its_id() -> None:
    change, policy = {"Action": "Add"}, subscribed()["Policy"]
    add_values(change, None, policy, {"Queue": "https://queue"})
    assert json.loads(change["AfterContext"]) == {"Properties": {"Queues": ["https://queue"]}}
    assert "BeforeContext" not in change


def test_types_without_a_schema_are_known_as_such() -> None:
    assert not schema("Custom::Thing")
    assert schema(QUEUE)["typeName"] == QUEUE


@pytest.mark.enable_socket
def test_cdk_diff_of_what_is_deployed_is_quiet(deployed: Sandbox) -> None:
    context = [f"--context={key}={value}" for key, value in settings_for(deployed, deployable()).items()]
    said = deployed.cdk("diff", "--fail", *stacks_of(deployable()), *context)
    assert "Could not create a change set" not in said, said
    assert "Number of stacks with differences: 0" in said, said


@pytest.mark.enable_socket
@pytest.mark.reliability(
    "static_site",
    "Partial failure",
    fault="stack creation fails because the account cannot create distributions yet",
)
def test_failed_creation_leaves_only_what_is_always_retained(deployed: Sandbox) -> None:
    names = ("Retain", "RetainExceptOnCreate", "Delete")
    queues = {n: resource(QUEUE, QueueName=f"failed-{n}") | {"DeletionPolicy": n} for n in names}
    function = "arn:aws:lambda:us-east-1:000000000000:function:missing"  # no numbered version
    association = {"EventType": "origin-request", "LambdaFunctionARN": function}
    config = {"DefaultCacheBehavior": {"LambdaFunctionAssociations": [association]}}
    failing = resource("AWS::CloudFront::Distribution", DistributionConfig=config) | {"DependsOn": [*names]}
    clients = session(deployed)
    cloudformation, sqs = clients.client("cloudformation"), clients.client("sqs")
    template = json.dumps({"Resources": queues | {"Distribution": failing}})
    cloudformation.create_stack(StackName="Failed", TemplateBody=template)
    target_of(deployed).wait_until(
        lambda: cloudformation.describe_stacks(StackName="Failed")["Stacks"][0]["StackStatus"] == "ROLLBACK_COMPLETE",
        "the creation is rolled back",
    )
    left = sqs.list_queues(QueueNamePrefix="failed-").get("QueueUrls", [])
    cloudformation.delete_stack(StackName="Failed")
    for url in left:
        sqs.delete_queue(QueueUrl=url)
    assert [url.rpartition("/")[2] for url in left] == ["failed-Retain"]
