"""Prevent aws-cdk-lib's functions from creating log groups."""

from typing import Any

from aws_cdk import CfnResource


def deny_create_log_group(role: CfnResource, *others: dict[str, Any]) -> None:
    """Deny `logs:CreateLogGroup` to a role to which aws-cdk-lib attaches `AWSLambdaBasicExecutionRole`.

    Lambda writes the last log lines after CloudFormation has deleted the log group, and would create the group again
    without a retention period. The Deny is an inline policy of the role, because CloudFormation would delete a
    separate policy too early. `others` are statements to add to it.
    """
    statement = {"Effect": "Deny", "Action": "logs:CreateLogGroup", "Resource": "*"}
    document = {"Version": "2012-10-17", "Statement": [statement, *others]}
    role.add_property_override("Policies", [{"PolicyName": "NoLogGroups", "PolicyDocument": document}])
