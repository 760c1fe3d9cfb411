"""The sandbox's CloudFormation: change sets, and rollback of a failed creation."""

import json
from typing import Any

import pytest

from sandbox import Sandbox
from sandbox.cloudformation.diff import diff_resources
from sandbox.cloudformation.property_values import add_values
from sandbox.cloudformation.schemas import schema
from sandbox.target import session, settings_for, target_of

from .conftest import deployable, stacks_of

QUEUE = "AWS::SQS::Queue"
TOPIC = "AWS::SNS::Topic"
SUBSCRIPTION = "AWS::SNS::Subscription"


def resource(kind: str, /, **properties: Any) -> dict[str, Any]:
    return {"Type": kind, "Properties": properties}


def actions(old: dict[str, Any], new: dict[str, Any]) -> dict[str, tuple[str, str | None]]:
    """Return action and replacement of each resource that an update changes."""
    changes = diff_resources(old, new, new)
    return {name: (change["Action"], change.get("Replacement")) for name, change in changes.items()}


def test_new_and_missing_resources_are_added_and_removed() -> None:
    assert actions({"Old": resource(QUEUE)}, {"New": resource(QUEUE)}) == {
        "New": ("Add", None),
        "Old": ("Remove", None),
    }


def test_same_template_is_no_change() -> None:
    assert not actions({"Queue": resource(QUEUE, DelaySeconds=1)}, {"Queue": resource(QUEUE, DelaySeconds=1)})


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
def test_replacement_follows_schema(kind: str, name: str, replacement: str) -> None:
    old, new = {"It": resource(kind, **{name: "a"})}, {"It": resource(kind, **{name: "b"})}
    assert actions(old, new) == {"It": ("Modify", replacement)}


def test_details_name_property_recreation_and_evaluation() -> None:
    old, new = {"It": resource(QUEUE, QueueName="a")}, {"It": resource(QUEUE, QueueName="b")}
    change = diff_resources(old, new, new)["It"]
    assert change["PolicyAction"] == "ReplaceAndDelete"
    (detail,) = change["Details"]
    assert detail["Target"] == {"Attribute": "Properties", "Name": "QueueName", "RequiresRecreation": "Always"}
    assert (detail["Evaluation"], detail["ChangeSource"]) == ("Static", "DirectModification")


def test_policy_action_follows_deletion_policy() -> None:
    retained = resource(QUEUE) | {"DeletionPolicy": "Retain"}
    assert diff_resources({"It": retained}, {}, {})["It"]["PolicyAction"] == "Retain"
    assert diff_resources({"It": resource(QUEUE)}, {}, {})["It"]["PolicyAction"] == "Delete"


def test_metadata_change_replaces_nothing() -> None:
    old, new = {"It": resource(QUEUE)}, {"It": resource(QUEUE) | {"Metadata": {"a": 1}}}
    assert actions(old, new) == {"It": ("Modify", "False")}


def subscription_template(**queue: Any) -> dict[str, Any]:
    return {
        "Queue": resource(QUEUE, **queue),
        "Subscription": resource(SUBSCRIPTION, Protocol="sqs", Endpoint={"Fn::GetAtt": ["Queue", "Arn"]}),
        "Policy": resource("AWS::SQS::QueuePolicy", Queues=[{"Ref": "Queue"}]),
    }


def test_attribute_of_changed_resource_is_dynamic_change() -> None:
    changes = diff_resources(
        subscription_template(DelaySeconds=1),
        subscription_template(DelaySeconds=2),
        subscription_template(DelaySeconds=2),
    )
    assert changes["Subscription"]["Replacement"] == "Conditional"
    (detail,) = changes["Subscription"]["Details"]
    assert (detail["Evaluation"], detail["ChangeSource"]) == ("Dynamic", "ResourceAttribute")
    assert detail["CausingEntity"] == "Queue.Arn"
    assert "Policy" not in changes, "the id of a resource that is not replaced does not change"


def test_reference_to_replaced_resource_is_a_change() -> None:
    new = subscription_template(QueueName="b")
    changes = diff_resources(subscription_template(QueueName="a"), new, new)
    (detail,) = changes["Policy"]["Details"]
    assert (detail["ChangeSource"], detail["CausingEntity"]) == ("ResourceReference", "Queue")


def test_reference_in_fn_sub_is_a_change() -> None:
    def template(delay: int) -> dict[str, Any]:
        return {
            "Queue": resource(QUEUE, DelaySeconds=delay),
            "Topic": resource(TOPIC, DisplayName={"Fn::Sub": "${Queue.Arn} and ${!Queue.Url} in ${AWS::Region}"}),
        }

    assert actions(template(1), template(2)) == {"Queue": ("Modify", "False"), "Topic": ("Modify", "False")}


def test_values_before_and_after_are_text() -> None:
    old, new = subscription_template(DelaySeconds=1), subscription_template(DelaySeconds=2, SqsManagedSseEnabled=True)
    changes = diff_resources(old, new, new)
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


def test_reference_to_existing_resource_is_resolved() -> None:
    change, policy = {"Action": "Add"}, subscription_template()["Policy"]
    add_values(change, None, policy, {"Queue": "https://queue"})
    assert json.loads(change["AfterContext"]) == {"Properties": {"Queues": ["https://queue"]}}
    assert "BeforeContext" not in change


def test_schema_of_unknown_type_is_empty() -> None:
    assert not schema("Custom::Thing")
    assert schema(QUEUE)["typeName"] == QUEUE


@pytest.mark.enable_socket
def test_cdk_diff_of_deployed_stacks_is_empty(deployed: Sandbox) -> None:
    context = [f"--context={key}={value}" for key, value in settings_for(deployed, deployable()).items()]
    output = deployed.cdk("diff", "--fail", *stacks_of(deployable()), *context)
    assert "Could not create a change set" not in output, output
    assert "Number of stacks with differences: 0" in output, output


@pytest.mark.enable_socket
@pytest.mark.reliability(
    "static_site",
    "Partial failure",
    fault="stack creation fails because the account cannot create distributions yet",
)
def test_failed_creation_retains_only_policy_retain(deployed: Sandbox) -> None:
    names = ("Retain", "RetainExceptOnCreate", "Delete")
    queues = {n: resource(QUEUE, QueueName=f"failed-{n}") | {"DeletionPolicy": n} for n in names}
    function = "arn:aws:lambda:us-east-1:000000000000:function:missing"  # not a numbered version
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
    remaining = sqs.list_queues(QueueNamePrefix="failed-").get("QueueUrls", [])
    cloudformation.delete_stack(StackName="Failed")
    for url in remaining:
        sqs.delete_queue(QueueUrl=url)
    assert [url.rpartition("/")[2] for url in remaining] == ["failed-Retain"]
