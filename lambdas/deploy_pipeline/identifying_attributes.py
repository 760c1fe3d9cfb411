"""Attributes (``Fn::GetAtt``) whose values stay the same unless the resource is replaced.

These are ``Arn``, except in `OTHER_ATTRIBUTES`, and the attributes in ``identifying_attributes.json``: those that
CloudFormation's schemas list as the primary identifier of a type, or as create-only.
`python -m audit.identifying_attributes` writes the file.
The schemas do not contain the others, which are in `OTHER_ATTRIBUTES`. Any other attribute may change.
"""

import json
from collections.abc import Collection
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_suffix(".json")
# Each with the properties of the same resource that can change the attribute.
OTHER_ATTRIBUTES: dict[str, dict[str, tuple[str, ...]]] = {
    # The default network ACL and security group of a VPC cannot be deleted.
    "AWS::EC2::VPC": {"DefaultNetworkAcl": (), "DefaultSecurityGroup": ()},
    "AWS::EC2::SecurityGroup": {"GroupId": ()},  # the same as Id
    # An import can delete all resources of an API.
    "AWS::ApiGateway::RestApi": {"RootResourceId": ("Body", "BodyS3Location", "CloneFrom", "Mode", "Parameters")},
    "AWS::AppSync::FunctionConfiguration": {"FunctionId": ()},  # the last part of the ARN, as in the next four types
    "AWS::AppSync::GraphQLApi": {"ApiId": ()},
    "AWS::ElasticLoadBalancingV2::LoadBalancer": {"LoadBalancerFullName": (), "LoadBalancerName": ()},
    "AWS::ElasticLoadBalancingV2::TargetGroup": {"TargetGroupFullName": (), "TargetGroupName": ()},
    "AWS::StepFunctions::StateMachine": {"Name": ()},
    # A stream that is disabled and enabled again is another stream.
    "AWS::DynamoDB::Table": {"StreamArn": ("StreamSpecification",)},
    "AWS::DynamoDB::GlobalTable": {"StreamArn": ("Replicas", "StreamSpecification")},
    # The name of the repository, which is create-only, after the registry.
    "AWS::ECR::Repository": {"RepositoryUri": ()},
    "AWS::IAM::Role": {"RoleId": ()},
    "AWS::CloudFront::CloudFrontOriginAccessIdentity": {"S3CanonicalUserId": ()},
    # ARNs that are not called Arn.
    "AWS::Backup::BackupVault": {"BackupVaultArn": ()},
    "AWS::Backup::LogicallyAirGappedBackupVault": {"BackupVaultArn": ()},
    "AWS::OpenSearchService::Domain": {"DomainArn": ()},
    "AWS::RDS::DBCluster": {"DBClusterArn": ()},
    "AWS::RDS::DBInstance": {"DBInstanceArn": ()},
    # ARNs with the value of a property that is not create-only.
    "AWS::CodeCommit::Repository": {"Arn": ("RepositoryName",)},
    "AWS::IAM::Group": {"Arn": ("Path",)},
    "AWS::IAM::ServerCertificate": {"Arn": ("Path",)},
    "AWS::IAM::User": {"Arn": ("Path",)},
}


@cache
def _identifiers() -> dict[str, list[str]]:
    identifiers: dict[str, list[str]] = json.loads(FILE.read_text())
    return identifiers


def is_identifying(resource_type: str, attribute: str, changed: Collection[str] | None) -> bool:
    """Return whether an attribute stays the same if the resource is updated in place.

    `changed` are the names of the properties that change; None if they are unknown.
    """
    causes = OTHER_ATTRIBUTES.get(resource_type, {}).get(attribute)
    if causes is None:
        return attribute == "Arn" or attribute in _identifiers().get(resource_type, ())
    return not causes or (changed is not None and not set(causes) & set(changed))
