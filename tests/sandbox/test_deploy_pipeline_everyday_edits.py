"""Everyday edits of templates: the deployed state machine makes them, and rejects similar edits that replace something.

Each template refers to another resource, most of them by an attribute other than `Ref` and `Arn`.
"""

import json
from typing import Any

import pytest

from .deployment import QUEUE, Deployment

pytestmark = pytest.mark.enable_socket


def api(description: str, **definition: Any) -> dict[str, Any]:
    properties = {"Name": "orders", "Description": description, **definition}
    items = {"RestApiId": {"Ref": "Api"}, "ParentId": {"Fn::GetAtt": ["Api", "RootResourceId"]}, "PathPart": "items"}
    return {
        "Api": {"Type": "AWS::ApiGateway::RestApi", "Properties": properties},
        "Items": {"Type": "AWS::ApiGateway::Resource", "Properties": items},
    }


def function(code: str = "return 1") -> dict[str, Any]:
    statement = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    trust = {"Version": "2012-10-17", "Statement": [statement]}
    properties = {
        "Runtime": "python3.13",
        "Handler": "index.handler",
        "Role": {"Fn::GetAtt": ["Role", "Arn"]},
        "Code": {"ZipFile": f"def handler(event, context): {code}"},
    }
    return {
        "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": trust}},
        "Function": {"Type": "AWS::Lambda::Function", "Properties": properties},
    }


def table(view: str = "NEW_IMAGE", *, protected: bool = False) -> dict[str, Any]:
    properties = {
        "BillingMode": "PAY_PER_REQUEST",
        "DeletionProtectionEnabled": protected,
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "StreamSpecification": {"StreamViewType": view},
    }
    mapping = {
        "FunctionName": {"Ref": "Function"},
        "EventSourceArn": {"Fn::GetAtt": ["Table", "StreamArn"]},
        "StartingPosition": "LATEST",
    }
    return {
        **function(),
        "Table": {"Type": "AWS::DynamoDB::Table", "Properties": properties},
        "Mapping": {"Type": "AWS::Lambda::EventSourceMapping", "Properties": mapping},
    }


def network(tag: str, cidr: str = "10.0.0.0/16") -> dict[str, Any]:
    vpc = {"CidrBlock": cidr, "Tags": [{"Key": "team", "Value": tag}]}
    group = {"GroupDescription": "Databases", "VpcId": {"Fn::GetAtt": ["Vpc", "VpcId"]}}
    return {
        "Vpc": {"Type": "AWS::EC2::VPC", "Properties": vpc},
        "Group": {"Type": "AWS::EC2::SecurityGroup", "Properties": group},
    }


def queue(*, timeout: int = 30, has_policy: bool = True) -> dict[str, Any]:
    """Return a queue with a dead-letter queue and a policy, as CDK writes it for `enforceSSL`."""
    resource = {"Fn::GetAtt": ["Queue", "Arn"]}
    condition = {"Bool": {"aws:SecureTransport": "false"}}
    statement = {"Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": resource, "Condition": condition}
    properties = {"Queues": [{"Ref": "Queue"}], "PolicyDocument": {"Version": "2012-10-17", "Statement": [statement]}}
    redrive = {"deadLetterTargetArn": {"Fn::GetAtt": ["Failed", "Arn"]}, "maxReceiveCount": 3}
    policy = {"Policy": {"Type": "AWS::SQS::QueuePolicy", "Properties": properties}}
    return {
        "Failed": QUEUE,
        "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": timeout, "RedrivePolicy": redrive}},
        **(policy if has_policy else {}),
    }


HARMLESS = {
    "Arn": (queue(), queue(timeout=60)),
    "Ref": (queue(has_policy=False), queue()),
    "RootResourceId": (api("Orders"), api("Orders and items")),
    "StreamArn": (table(), table(protected=True)),
    "VpcId": (network("orders"), network("shop")),
}
REPLACING = {
    "StreamArn": (table(), table("KEYS_ONLY"), "Mapping", "it may be replaced because of EventSourceArn"),
    "VpcId": (network("orders"), network("orders", "10.1.0.0/16"), "Vpc", "it is replaced because of CidrBlock"),
}


@pytest.mark.parametrize("attribute", HARMLESS)
def test_edit_that_keeps_attribute_is_deployed(app: Deployment, attribute: str) -> None:
    before, after = HARMLESS[attribute]
    created = app.deploy(before, capabilities=["CAPABILITY_IAM"])
    assert created["status"] == "SUCCEEDED", created["cause"]
    updated = app.deploy(after, capabilities=["CAPABILITY_IAM"])
    assert updated["status"] == "SUCCEEDED", updated["cause"]
    assert json.loads(updated["output"])["outcome"] == "updated"


@pytest.mark.parametrize("attribute", REPLACING)
def test_edit_that_changes_attribute_is_rejected(app: Deployment, attribute: str) -> None:
    before, after, logical_id, reason = REPLACING[attribute]
    created = app.deploy(before, capabilities=["CAPABILITY_IAM"])
    assert created["status"] == "SUCCEEDED", created["cause"]
    rejected = app.deploy(after, capabilities=["CAPABILITY_IAM"])
    assert rejected["error"] == "UnsafeChanges", rejected
    assert any(line.startswith(f"- {logical_id} ") and reason in line for line in rejected["cause"].splitlines())
    assert app.status() == "CREATE_COMPLETE"
    assert not app.left()


def version_app(number: int) -> dict[str, Any]:
    """Return a function, an alias and a retained version, as SAM writes them for `AutoPublishAlias`."""
    name = f"Version{number}"
    version = {"Type": "AWS::Lambda::Version", "DeletionPolicy": "Retain"}
    version["Properties"] = {"FunctionName": {"Ref": "Function"}}  # type: ignore[assignment]
    alias = {"Name": "live", "FunctionName": {"Ref": "Function"}}
    alias["FunctionVersion"] = {"Fn::GetAtt": [name, "Version"]}
    return {
        **function(f"return {number}"),
        name: version,
        "Live": {"Type": "AWS::Lambda::Alias", "Properties": alias},
    }


def test_retained_version_is_superseded_and_never_called_deleted(app: Deployment) -> None:
    assert app.deploy(version_app(1), capabilities=["CAPABILITY_IAM"])["status"] == "SUCCEEDED"
    rejected = app.deploy(version_app(2), capabilities=["CAPABILITY_IAM"], policy={"revisions": "reject"})
    assert rejected["cause"].splitlines()[1:] == [
        "- Version1 (AWS::Lambda::Version), Remove: it is retained, but no longer part of the stack"
    ]
    updated = app.deploy(version_app(2), capabilities=["CAPABILITY_IAM"])
    assert json.loads(updated["output"])["outcome"] == "updated", updated


def test_exempt_types_are_added_to_metadata_of_cdk(app: Deployment) -> None:
    def with_metadata(analytics: str) -> dict[str, Any]:
        return {"Queue": QUEUE, "CDKMetadata": {"Type": "AWS::CDK::Metadata", "Properties": {"Analytics": analytics}}}

    app.create(with_metadata("v2:one"))
    ended = app.deploy(with_metadata("v2:two"), policy={"exemptTypes": ["AWS::ApiGateway::Deployment"]})
    assert json.loads(ended["output"])["outcome"] == "updated", ended
