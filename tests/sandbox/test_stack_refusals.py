"""Templates, parameters and capabilities that CloudFormation refuses, and transforms that it processes."""

import json
import textwrap
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .stacks import QUEUE, Stacks

pytestmark = [pytest.mark.enable_socket, pytest.mark.needs("ministack")]

ASSUME_ROLE = {
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]
}
ROLE = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": ASSUME_ROLE}}


def test_unresolved_reference_is_refused_by_every_operation(stacks: Stacks) -> None:
    body = json.dumps({"Resources": {"Jobs": QUEUE | {"Properties": {"QueueName": {"Ref": "Name"}}}}})
    client, name = stacks.cloudformation, stacks.name()
    for operation, options in (
        (client.validate_template, {}),
        (client.create_stack, {"StackName": name}),
        (client.create_change_set, {"StackName": name, "ChangeSetName": "a", "ChangeSetType": "CREATE"}),
    ):
        with pytest.raises(ClientError) as refused:
            operation(TemplateBody=body, **options)
        assert refused.value.response["Error"]["Code"] == "ValidationError"
        assert "Unresolved resource dependencies [Name] in the Resources block" in str(refused.value)
    assert name not in [stack["StackName"] for stack in client.describe_stacks()["Stacks"]]


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"Resources": {f"Jobs{number}": QUEUE for number in range(501)}},
            "Number of resources, 501, is greater than maximum allowed, 500",
        ),
        (
            {"Resources": {"Jobs": QUEUE}, "Outputs": {f"Name{number}": {"Value": "a"} for number in range(201)}},
            "Number of outputs, 201, is greater than maximum allowed, 200",
        ),
        (
            {
                "Resources": {"Jobs": QUEUE | {"Properties": {"QueueName": {"Fn::FindInMap": ["Names", "a", "b"]}}}},
                "Mappings": {"Names": {"a": {"c": "d"}}},
            },
            "Template error: Unable to get mapping for Names::a::b",
        ),
        ({"Resources": {"Jobs": QUEUE}, "Conditions": ["a"]}, "Template format error: unsupported structure."),
        ({"Resources": {"Jobs": {"Type": "AWS::SQS::Line"}}}, "Unrecognized resource types: [AWS::SQS::Line]"),
        (
            {
                "Parameters": {"Stage": {"Type": "String"}},
                "Rules": {
                    "Known": {
                        "Assertions": [
                            {"Assert": {"Fn::Contains": [["a", "b"], {"Ref": "Stage"}]}, "AssertDescription": "unknown"}
                        ]
                    }
                },
                "Resources": {"Jobs": QUEUE},
                "values": {"Stage": "c"},
            },
            "unknown",
        ),
    ],
)
def test_template_with_invalid_section_is_rejected(stacks: Stacks, sections: Any, message: str) -> None:
    with pytest.raises(ClientError) as refused:
        stacks.create(stacks.name(), **sections)
    assert message in str(refused.value)


def test_type_that_emulator_lacks_fails_when_it_is_created(stacks: Stacks) -> None:
    name = stacks.name()
    patches = {"Type": "AWS::SSM::PatchBaseline", "Properties": {"Name": "patches"}}
    assert stacks.create(name, Resources={"Patches": patches})["StackStatus"] == "ROLLBACK_COMPLETE"
    (reason,) = [reason for resource, status, reason in stacks.events(name) if status == "ROLLBACK_IN_PROGRESS"]
    assert reason == "The following resource(s) failed to create: [Patches]. Rollback requested by user."


@pytest.mark.parametrize(
    ("properties", "required", "sufficient"),
    [
        ({}, "CAPABILITY_IAM", "CAPABILITY_IAM"),
        ({}, "CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"),
        ({"RoleName": "worker"}, "CAPABILITY_NAMED_IAM", "CAPABILITY_NAMED_IAM"),
    ],
)
def test_iam_resource_requires_capability(stacks: Stacks, properties: Any, required: str, sufficient: str) -> None:
    name = stacks.name()
    role = ROLE | {"Properties": ROLE["Properties"] | properties}
    for capabilities in ([], ["CAPABILITY_AUTO_EXPAND"]):
        with pytest.raises(ClientError) as refused:
            stacks.create(name, Resources={"Role": role}, Capabilities=capabilities)
        assert refused.value.response["Error"]["Code"] == "InsufficientCapabilitiesException"
        assert f"Requires capabilities : [{required}]" in str(refused.value)
    assert stacks.create(name, Resources={"Role": role}, Capabilities=[sufficient])["StackStatus"] == "CREATE_COMPLETE"
    stacks.cloudformation.delete_stack(StackName=name)


def test_policies_beyond_iam_quotas_are_refused(stacks: Stacks) -> None:
    def document(size: int) -> dict[str, Any]:
        return {"Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:" + "a" * size}]}

    def policy(name: str, size: int) -> dict[str, Any]:
        properties = {"PolicyName": name, "PolicyDocument": document(size), "Roles": [{"Ref": "Role"}]}
        return {"Type": "AWS::IAM::Policy", "Properties": properties}

    managed = {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": document(6100)}}
    options = {"Capabilities": ["CAPABILITY_NAMED_IAM"]}
    for resources, reason in (
        ({"Policy": managed}, "Cannot exceed quota for PolicySize: 6144"),
        ({"Role": ROLE, "A": policy("a", 5000), "B": policy("b", 5100)}, "Maximum policy size of 10240 bytes exceeded"),
    ):
        name = stacks.name()
        assert stacks.create(name, Resources=resources, **options)["StackStatus"] == "ROLLBACK_COMPLETE"
        assert [event for event in stacks.events(name) if event[1] == "CREATE_FAILED" and reason in event[2]]


@pytest.mark.parametrize(
    ("resources", "reason"),
    [
        ({"Jobs": QUEUE | {"DependsOn": "News"}}, "Unresolved resource dependencies [News] in the Resources block"),
        ({"Role": ROLE}, "Requires capabilities : [CAPABILITY_IAM]"),
    ],
)
def test_template_of_nested_stack_is_refused(stacks: Stacks, resources: dict[str, Any], reason: str) -> None:
    name = stacks.name()
    s3 = stacks.clients.client("s3")
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="nested.json", Body=json.dumps({"Resources": resources}))
    url = f"https://{name}.s3.us-east-1.amazonaws.com/nested.json"
    nested = {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": url}}
    assert stacks.create(name, Resources={"Nested": nested})["StackStatus"] == "ROLLBACK_COMPLETE"
    assert [event for event in stacks.events(name) if event[1] == "CREATE_FAILED" and reason in event[2]]


def test_transform_requires_capability(stacks: Stacks) -> None:
    loop = {"Fn::ForEach::Queues": ["Name", ["Red", "Blue"], {"${Name}Jobs": QUEUE}]}
    sections = {"Transform": "AWS::LanguageExtensions", "Resources": loop}
    with pytest.raises(ClientError, match=r"Requires capabilities : \[CAPABILITY_AUTO_EXPAND\]"):
        stacks.create(stacks.name(), **sections)
    name = stacks.name()
    stacks.create(name, **sections, Capabilities=["CAPABILITY_AUTO_EXPAND"])
    assert set(stacks.physical_ids(name)) == {"RedJobs", "BlueJobs"}


def test_short_forms_of_language_extensions_are_processed(stacks: Stacks) -> None:
    body = """
    Transform: AWS::LanguageExtensions
    Resources:
      Size:
        Type: AWS::SSM::Parameter
        Properties: {Type: String, Name: /size, Value: !ToJsonString {size: !Length [a, b]}}
    """
    name = stacks.name()
    options = {"Capabilities": ["CAPABILITY_AUTO_EXPAND"]}
    stacks.cloudformation.create_stack(StackName=name, TemplateBody=textwrap.dedent(body), **options)
    stacks.wait(name)
    assert stacks.clients.client("ssm").get_parameter(Name="/size")["Parameter"]["Value"] == '{"size":2}'


def test_serverless_transform_creates_function_and_role(stacks: Stacks) -> None:
    pytest.importorskip("samtranslator", reason="needs aws-sam-translator: pip install --no-deps aws-sam-translator")
    code = {"InlineCode": "def handler(event, context): pass", "Handler": "index.handler", "Runtime": "python3.13"}
    name = stacks.name()
    stacks.create(
        name,
        Transform="AWS::Serverless-2016-10-31",
        Resources={"Worker": {"Type": "AWS::Serverless::Function", "Properties": code}},
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    assert set(stacks.physical_ids(name)) == {"Worker", "WorkerRole"}


def test_stored_parameter_is_read_unless_it_is_secure(stacks: Stacks) -> None:
    ssm, name = stacks.clients.client("ssm"), stacks.name()
    ssm.put_parameter(Name=f"/{name}/plain", Value="5", Type="String")
    ssm.put_parameter(Name=f"/{name}/secure", Value="5", Type="SecureString")
    parameters = {"Delay": {"Type": "AWS::SSM::Parameter::Value<String>"}}
    resources = {"Jobs": QUEUE | {"Properties": {"DelaySeconds": {"Ref": "Delay"}}}}
    with pytest.raises(ClientError, match="have types not supported by CloudFormation"):
        stacks.create(name, Parameters=parameters, Resources=resources, values={"Delay": f"/{name}/secure"})
    stacks.create(name, Parameters=parameters, Resources=resources, values={"Delay": f"/{name}/plain"})
    url = stacks.physical_ids(name)["Jobs"]
    attributes = stacks.clients.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["DelaySeconds"])
    assert attributes["Attributes"] == {"DelaySeconds": "5"}


def test_list_parameter_is_a_list(stacks: Stacks) -> None:
    name = stacks.name()
    value = {"Fn::Join": ["|", {"Ref": "Zones"}]}
    parameter = {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Name": "/zones", "Value": value}}
    definitions = {"Zones": {"Type": "CommaDelimitedList"}}
    stacks.create(name, Parameters=definitions, Resources={"List": parameter}, values={"Zones": "a, b"})
    assert stacks.clients.client("ssm").get_parameter(Name="/zones")["Parameter"]["Value"] == "a|b"
