"""Lambda functions: each with a role, a log and permissions of its own."""

from typing import Any

from aws_cdk import CfnResource, Duration, RemovalPolicy, aws_iam as iam, aws_lambda as lambda_, aws_logs as logs
from constructs import Construct

from .acknowledgments import acknowledge_wildcards


def make_function(
    scope: Construct,
    name: str,
    code: lambda_.Code,
    *,
    handler: str,
    description: str,
    retention: logs.RetentionDays = logs.RetentionDays.ONE_YEAR,
    memory_size: int = 512,
    seconds: int = 120,
    **options: Any,
) -> lambda_.Function:
    """Make a function whose role may write its log, and nothing else yet.

    `seconds` is its timeout, `memory_size` in MiB; `options` are further ones of `lambda_.Function`.
    """
    log_group = logs.LogGroup(scope, f"{name}Log", retention=retention, removal_policy=RemovalPolicy.DESTROY)
    role = iam.Role(scope, f"{name}Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    log_group.grant_write(role)
    return lambda_.Function(
        scope,
        name,
        description=description,
        runtime=lambda_.Runtime.PYTHON_3_14,
        architecture=lambda_.Architecture.ARM_64,
        handler=handler,
        code=code,
        role=role,
        memory_size=memory_size,
        timeout=Duration.seconds(seconds),
        log_group=log_group,
        **options,
    )


def allow(grantee: Any, actions: list[str], *resources: str, wildcards: dict[str, str] | None = None) -> None:
    """Allow actions on resources to a function or a state machine.

    `wildcards` are those in the resources as cdk-nag names them, each with its reason.
    """
    grantee.add_to_role_policy(iam.PolicyStatement(actions=actions, resources=list(resources)))
    if wildcards:
        named = {f"Resource::{resource}": reason for resource, reason in wildcards.items()}
        acknowledge_wildcards(grantee.role, named)


def deny_log_groups(role: CfnResource) -> None:
    """Deny the creation of log groups to a role that aws-cdk-lib gives `AWSLambdaBasicExecutionRole`.

    Lambda writes its last lines after CloudFormation has deleted the log group, and would create it anew, without
    an expiration. The denial is part of the role: CloudFormation deletes a policy of its own earlier.
    """
    statement = {"Effect": "Deny", "Action": "logs:CreateLogGroup", "Resource": "*"}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    role.add_property_override("Policies", [{"PolicyName": "NoLogGroups", "PolicyDocument": document}])
