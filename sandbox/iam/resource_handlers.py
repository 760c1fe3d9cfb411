"""CloudFormation resource handlers whose results policies refer to.

MiniStack ignores the boundaries of roles in templates. The physical id of a secret is its name; on AWS it is the ARN,
which policies contain. The generated name of an SSM parameter contains slashes, unlike on AWS, so its ARN differs.
"""

import secrets
from functools import partial
from typing import Any

from ..ministack import iam
from ..ministack.cloudformation import add_steps, resource_handlers

Properties = dict[str, Any]
Created = tuple[str, dict[str, Any]]


def install() -> None:
    """Extend MiniStack's handlers."""
    add_steps("AWS::IAM::Role", apply=_store_boundary)
    secret, parameter = resource_handlers["AWS::SecretsManager::Secret"], resource_handlers["AWS::SSM::Parameter"]
    resource_handlers["AWS::SSM::Parameter"] = parameter | {"create": partial(_create_parameter, parameter["create"])}
    resource_handlers["AWS::SecretsManager::Secret"] = secret | {
        "create": lambda *arguments: _with_arn(secret["create"](*arguments)),
        "update": lambda arn, *arguments: _with_arn(secret["update"](_name(arn), *arguments)),
        "delete": lambda arn, properties: secret["delete"](_name(arn), properties),
    }


def _create_parameter(create: Any, logical_id: str, properties: Properties, stack: str) -> Created:
    name = {"Name": f"CFN-{logical_id}-{secrets.token_hex(6)}"}
    created: Created = create(logical_id, name | properties, stack)
    return created


def _store_boundary(name: str, properties: Properties) -> None:
    iam.roles[name]["PermissionsBoundary"] = properties.get("PermissionsBoundary")


def _with_arn(secret: Created) -> Created:
    return secret[1]["Arn"], secret[1]


def _name(arn: str) -> str:
    """Return the name of a secret: its ARN also has a hyphen and six characters."""
    return arn.rpartition(":")[2].rpartition("-")[0]
