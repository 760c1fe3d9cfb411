"""The sandbox's CloudFormation: change sets, and rollback of a failed creation."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox import Sandbox
from sandbox.cloudformation.diff import (
    add_values,
    as_text,
    effective_values,
    is_unchanged,
    property_recreation,
    requires_replacement,
)
from sandbox.cloudformation.schemas import schema
from sandbox.ministack import cloudformation
from sandbox.target import session, settings_for, target_of

from .conftest import deployable, stacks_of

QUEUE = "AWS::SQS::Queue"
TOPIC = "AWS::SNS::Topic"
SUBSCRIPTION = "AWS::SNS::Subscription"


def resource(kind: str, /, **properties: Any) -> dict[str, Any]:
    return {"Type": kind, "Properties": properties}


@pytest.fixture(autouse=True, scope="module")
def replacements_follow_schemas() -> Iterator[None]:
    yield from replaced(cloudformation.property_recreation, property_recreation)


def replaced(function: Any, value: Any) -> Iterator[None]:
    before = function.current
    function.replace(value)
    yield
    function.replace(before)


def diff(old: dict[str, Any], new: dict[str, Any], *changed_parameters: str) -> dict[str, dict[str, Any]]:
    """Return the ``ResourceChange`` of each resource that an update changes."""
    changes = cloudformation.diff_resources(
        {"Resources": old}, {"Resources": new}, {}, {"Resources": new}, changed_parameters
    )
    return {change["ResourceChange"]["LogicalResourceId"]: change["ResourceChange"] for change in changes}


def actions(old: dict[str, Any], new: dict[str, Any]) -> dict[str, tuple[str, str | None]]:
    """Return action and replacement of each resource that an update changes."""
    return {name: (change["Action"], change.get("Replacement")) for name, change in diff(old, new).items()}


def details(change: dict[str, Any]) -> list[tuple[str, str, str, str | None]]:
    """Return property, source, evaluation and cause of each detail of a change."""
    return [
        (d["Target"]["Name"], d["ChangeSource"], d["Evaluation"], d.get("CausingEntity")) for d in change["Details"]
    ]


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
        ("AWS::EC2::FlowLog", "TrafficType", "True"),
        ("AWS::CDK::Metadata", "Analytics", "Conditional"),
        ("Custom::Thing", "Name", "Conditional"),
    ],
)
def test_replacement_follows_schema(kind: str, name: str, replacement: str) -> None:
    old, new = {"It": resource(kind, **{name: "a"})}, {"It": resource(kind, **{name: "b"})}
    assert actions(old, new) == {"It": ("Modify", replacement)}


@pytest.mark.parametrize(
    ("kind", "old", "new", "is_replaced"),
    [
        (QUEUE, {"QueueName": "a"}, {"QueueName": "b"}, True),
        (QUEUE, {"DelaySeconds": 1}, {"DelaySeconds": 2}, False),
        ("AWS::EC2::FlowLog", {"TrafficType": "ALL"}, {"TrafficType": "REJECT"}, True),
        ("Custom::Thing", {"Name": "a"}, {"Name": "b"}, False),
    ],
)
def test_update_of_create_only_property_replaces_resource(kind: str, old: Any, new: Any, is_replaced: bool) -> None:
    assert requires_replacement(kind, old, new) is is_replaced


def test_policy_action_follows_deletion_policy() -> None:
    retained = resource(QUEUE) | {"DeletionPolicy": "Retain"}
    assert diff({"It": retained}, {})["It"]["PolicyAction"] == "Retain"
    assert diff({"It": resource(QUEUE)}, {})["It"]["PolicyAction"] == "Delete"
    replacement = diff({"It": resource(QUEUE, QueueName="a")}, {"It": resource(QUEUE, QueueName="b")})["It"]
    assert replacement["PolicyAction"] == "ReplaceAndDelete"


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
    changes = diff(subscription_template(DelaySeconds=1), subscription_template(DelaySeconds=2))
    assert changes["Subscription"]["Replacement"] == "Conditional"
    assert details(changes["Subscription"]) == [("Endpoint", "ResourceAttribute", "Dynamic", "Queue.Arn")]
    assert "Policy" not in changes, "the id of a resource that is not replaced does not change"


def test_reference_to_replaced_resource_is_static_change() -> None:
    changes = diff(subscription_template(QueueName="a"), subscription_template(QueueName="b"))
    assert details(changes["Policy"]) == [("Queues", "ResourceReference", "Static", "Queue")]


def test_reference_to_changed_parameter_is_static_change() -> None:
    changes = diff(
        {"Queue": resource(QUEUE, DelaySeconds="1")}, {"Queue": resource(QUEUE, DelaySeconds={"Ref": "Delay"})}, "Delay"
    )
    assert details(changes["Queue"]) == [
        ("DelaySeconds", "DirectModification", "Dynamic", None),
        ("DelaySeconds", "ParameterReference", "Static", "Delay"),
    ]


def test_reference_in_fn_sub_is_a_change() -> None:
    def template(delay: int) -> dict[str, Any]:
        return {
            "Queue": resource(QUEUE, DelaySeconds=delay),
            "Topic": resource(TOPIC, DisplayName={"Fn::Sub": "${Queue.Arn} and ${!Queue.Url} in ${AWS::Region}"}),
        }

    assert actions(template(1), template(2)) == {"Queue": ("Modify", "False"), "Topic": ("Modify", "False")}


def test_values_before_and_after_are_text() -> None:
    old, new = subscription_template(DelaySeconds=1), subscription_template(DelaySeconds=2, SqsManagedSseEnabled=True)
    changes = diff(old, new)
    for name, change in changes.items():
        add_values(change, old[name], new[name], {"Queue": "https://queue"}, set())
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
    add_values(change, None, policy, {"Queue": "https://queue"}, set())
    assert json.loads(change["AfterContext"]) == {"Properties": {"Queues": ["https://queue"]}}
    assert "BeforeContext" not in change


def test_attribute_is_old_value_unless_its_resource_is_replaced() -> None:
    """As in AWS's responses: of a resource that is updated in place, change sets assume the old values."""
    old, new = subscription_template(DelaySeconds=1), subscription_template(DelaySeconds=2)
    old["Subscription"]["Properties"]["Endpoint"] = new["Subscription"]["Properties"]["Endpoint"] = "${Queue.Arn}"
    known = {"Queue": "https://queue", "Queue.Arn": "arn:queue"}
    dependent = diff(subscription_template(DelaySeconds=1), subscription_template(DelaySeconds=2))["Subscription"]
    add_values(dependent, old["Subscription"], new["Subscription"], known, set())
    assert is_unchanged(dependent), "the description with values omits it"
    add_values(dependent, old["Subscription"], new["Subscription"], known, {"Queue"})
    endpoints = [json.loads(dependent[f"{when}Context"])["Properties"]["Endpoint"] for when in ("Before", "After")]
    assert endpoints == ["arn:queue", "{{changeSet:KNOWN_AFTER_APPLY}}"]
    assert not is_unchanged(dependent)


def test_change_set_values_omit_conditions_and_mark_references() -> None:
    name = {"Fn::Sub": "${Queue} of ${AWS::StackName}, ${Queue.Arn}, ${!Literal}"}
    resources = subscription_template() | {"Other": resource(QUEUE) | {"Condition": "IsLive"}}
    resources["Topic"] = resource(TOPIC, DisplayName=name)
    conditions = {"IsLive": {"Fn::Equals": ["a", "b"]}}
    template = {"Conditions": conditions, "Resources": resources}
    resolved = effective_values(cloudformation.resolve_for_diff.original, template, {}, "stack", "id")["Resources"]
    assert "Other" not in resolved
    assert resolved["Subscription"]["Properties"]["Endpoint"] == "${Queue.Arn}"
    assert resolved["Policy"]["Properties"]["Queues"] == ["${Queue}"]
    shown = as_text(resolved["Topic"], {"Queue": "https://queue"})["Properties"]["DisplayName"]
    assert shown == "https://queue of stack, {{changeSet:KNOWN_AFTER_APPLY}}, ${Literal}"


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
    behavior = {
        "TargetOriginId": "a",
        "ViewerProtocolPolicy": "https-only",
        "LambdaFunctionAssociations": [association],
    }
    config = {"Enabled": True, "DefaultCacheBehavior": behavior}
    failing = resource("AWS::CloudFront::Distribution", DistributionConfig=config) | {"DependsOn": [*names]}
    clients = session(deployed)
    stacks, sqs = clients.client("cloudformation"), clients.client("sqs")
    template = json.dumps({"Resources": queues | {"Distribution": failing}})
    stacks.create_stack(StackName="Failed", TemplateBody=template)
    target_of(deployed).wait_until(
        lambda: stacks.describe_stacks(StackName="Failed")["Stacks"][0]["StackStatus"] == "ROLLBACK_COMPLETE",
        "the creation is rolled back",
    )
    remaining = sqs.list_queues(QueueNamePrefix="failed-").get("QueueUrls", [])
    stacks.delete_stack(StackName="Failed")
    for url in remaining:
        sqs.delete_queue(QueueUrl=url)
    assert [url.rpartition("/")[2] for url in remaining] == ["failed-Retain"]
