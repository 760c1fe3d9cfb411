"""Attributes that stay the same while a resource is updated in place, and the ones that may change.

The change sets have the form in which CloudFormation returns them for a resource that refers to another one.
"""

import json
from typing import Any

import pytest

from audit.identifying_attributes import identifying
from lambdas.deploy_pipeline.identifying_attributes import FILE, OTHER_ATTRIBUTES
from lambdas.deploy_pipeline.inspection import Lookups

from .changes import MARKER, change, detail, reasons, update
from .test_lossy_table import SCHEMAS, schema

TABLE: dict[str, list[str]] = json.loads(FILE.read_text())
KNOWN_TYPES = json.loads((SCHEMAS / "providers/us-east-1.json").read_text())


def reference(kind: str, attribute: str, *changed: str) -> tuple[Any, Any]:
    """Return an update in place of the properties `changed`, and a create-only property that refers to the resource."""
    cause = change("Modify", "Cause", kind, Details=[detail("Never", name=name) for name in changed])
    value = detail("Always", "Dynamic", name="SourceArn", source="ResourceAttribute", entity=f"Cause.{attribute}")
    return cause, change("Modify", "Dependent", "A::B::C", Replacement="Conditional", Details=[value])


@pytest.mark.parametrize(
    ("kind", "attribute", "changed"),
    [
        ("AWS::ApiGateway::RestApi", "RootResourceId", "Description"),
        ("AWS::DynamoDB::Table", "StreamArn", "TableClass"),
        ("AWS::SNS::Topic", "TopicArn", "DisplayName"),
        ("AWS::SNS::Topic", "TopicName", "DisplayName"),
        ("AWS::SQS::Queue", "QueueName", "VisibilityTimeout"),
        ("AWS::EC2::SecurityGroup", "GroupId", "SecurityGroupIngress"),
        ("AWS::EC2::VPC", "VpcId", "Tags"),
        ("AWS::EC2::EIP", "AllocationId", "Tags"),
        ("AWS::ApiGatewayV2::Api", "ApiId", "Description"),
        ("AWS::AppSync::GraphQLApi", "ApiId", "XrayEnabled"),
        ("AWS::Backup::BackupVault", "BackupVaultArn", "BackupVaultTags"),
        (
            "AWS::CloudFront::CloudFrontOriginAccessIdentity",
            "S3CanonicalUserId",
            "CloudFrontOriginAccessIdentityConfig",
        ),
        ("AWS::IAM::Role", "RoleId", "ManagedPolicyArns"),
        ("AWS::IAM::User", "Arn", "ManagedPolicyArns"),
        ("AWS::CodeCommit::Repository", "Arn", "RepositoryDescription"),
    ],
)
def test_reference_to_identifying_attribute_is_safe(kind: str, attribute: str, changed: str) -> None:
    assert not reasons(*reference(kind, attribute, changed))


@pytest.mark.parametrize(
    ("kind", "attribute", "changed"),
    [
        ("AWS::ApiGateway::RestApi", "RootResourceId", "Body"),
        ("AWS::DynamoDB::Table", "StreamArn", "StreamSpecification"),
        ("AWS::DynamoDB::Table", "StreamArn", ""),
        ("AWS::EC2::LaunchTemplate", "LatestVersionNumber", "LaunchTemplateData"),
        ("AWS::EC2::Instance", "PublicIp", "InstanceType"),
        ("AWS::StepFunctions::StateMachine", "StateMachineRevisionId", "DefinitionString"),
        ("AWS::CloudFormation::Stack", "Outputs.Arn", "Parameters"),
        ("AWS::RDS::DBInstance", "AvailabilityZone", "MultiAZ"),  # create-only under a condition
        ("A::B::C", "TopicArn", "DisplayName"),
        ("AWS::IAM::User", "Arn", "Path"),
        ("AWS::IAM::Group", "Arn", "Path"),
        ("AWS::IAM::ServerCertificate", "Arn", "Path"),
        ("AWS::CodeCommit::Repository", "Arn", "RepositoryName"),
    ],
)
@pytest.mark.reliability(
    "deploy_pipeline",
    "System-specific",
    fault="a create-only property uses an attribute of a resource that is updated in place",
    expected="safe only if the attribute identifies the resource; rejected if it may change",
    observed="`TopicArn` is safe; `StreamArn` is safe unless `StreamSpecification` changes",
)
def test_reference_to_other_attribute_is_unsafe(kind: str, attribute: str, changed: str) -> None:
    assert "may be replaced because of SourceArn" in reasons(*reference(kind, attribute, changed))


def test_deletion_protection_of_table_does_not_change_stream() -> None:
    name = "DeletionProtectionEnabled"
    table = update("AWS::DynamoDB::Table", {name: False}, {name: True}, "Cause")
    _, mapping = reference("AWS::DynamoDB::Table", "StreamArn", name)
    assert not reasons(table, mapping)


@pytest.mark.parametrize("value", ["{{resolve:secretsmanager:app:SecretString:path}}", MARKER])
def test_unresolved_reference_in_part_of_arn_is_unsafe(value: str) -> None:
    """Its value changes although no detail lists it; a marker is the output of another stack."""
    user = update("AWS::IAM::User", {"Path": value, "Tags": []}, {"Path": value, "Tags": [{"Key": "a"}]}, "Cause")
    user["ResourceChange"]["Details"] = [detail("Never", name="Tags")]
    _, dependent = reference("AWS::IAM::User", "Arn")
    lookups = Lookups(create_only=lambda _: ())
    assert "may be replaced because of SourceArn" in reasons(user, dependent, lookups=lookups)


def test_drift_that_is_reverted_changes_attribute() -> None:
    table = update("AWS::DynamoDB::Table", {}, {"Tags": [{"Key": "a", "Value": "b"}]}, "Cause")
    _, mapping = reference("AWS::DynamoDB::Table", "StreamArn")
    assert not reasons(table, mapping)
    drifted = {"Attribute": "Properties", "Name": "StreamSpecification", "Drift": {}}
    table["ResourceChange"] |= {"ResourceDriftStatus": "MODIFIED", "DetailsWithValues": [{"Target": drifted}]}
    assert "may be replaced because of SourceArn" in reasons(table, mapping)


def test_reference_with_unknown_cause_is_unsafe() -> None:
    """Without details it is unknown what changes, and so whether the stream changes."""
    assert "may be replaced" in reasons(*reference("AWS::DynamoDB::Table", "StreamArn"))
    replaced, dependent = reference("AWS::SNS::Topic", "TopicArn", "TopicName")
    replaced["ResourceChange"]["Replacement"] = "True"
    assert "may be replaced because of SourceArn" in reasons(replaced, dependent)


def test_table_has_only_attributes_that_schemas_confirm() -> None:
    """The installed schemas can be older or newer than those from which the table was written."""
    compared = TABLE.keys() & KNOWN_TYPES.keys()
    assert len(compared) > 1000
    wrong = {kind: set(TABLE[kind]).difference(identifying(schema(kind), TABLE[kind])) for kind in compared}
    assert not any(wrong.values()), "run python -m audit.identifying_attributes"


def test_other_attributes_are_not_in_table() -> None:
    for kind, attributes in OTHER_ATTRIBUTES.items():
        assert not attributes.keys() & set(TABLE.get(kind, ())), kind
        read_only = {pointer.removeprefix("/properties/") for pointer in schema(kind)["readOnlyProperties"]}
        assert attributes.keys() <= read_only, kind
        assert {name for names in attributes.values() for name in names} <= schema(kind)["properties"].keys(), kind


def test_identifying_reads_schema() -> None:
    example = {
        "primaryIdentifier": ["/properties/Id", "/properties/Mutable"],
        "readOnlyProperties": ["/properties/Id", "/properties/Arn", "/properties/Endpoint/Address"],
        "createOnlyProperties": ["/properties/Name", "/properties/Zone", "/properties/Settings/Mode"],
        "conditionalCreateOnlyProperties": ["/properties/Zone"],
    }
    attributes = ["Arn", "Endpoint.Address", "Id", "Mutable", "Name", "Settings.Mode", "Zone"]
    assert identifying(example, attributes) == ["Id", "Name", "Settings.Mode"]
    assert identifying(example, ["Id"]) == ["Id"], "a create-only property that is not an attribute"
