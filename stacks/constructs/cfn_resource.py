"""The CloudFormation resource of a construct, for properties that the construct lacks."""

from typing import TypeVar

from aws_cdk import CfnResource
from constructs import IConstruct

Resource = TypeVar("Resource", bound=CfnResource)


def cfn_resource(construct: IConstruct, resource_type: type[Resource]) -> Resource:
    """Return the default child of `construct`.

    Raises:
        TypeError: it is not a `resource_type`, for example after an upgrade of aws-cdk-lib.
    """
    resource = construct.node.default_child
    if not isinstance(resource, resource_type):
        raise TypeError(f"{construct.node.path}: expected {resource_type.__name__}, found {type(resource).__name__}")
    return resource
