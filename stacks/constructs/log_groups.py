"""Keeps the functions of aws-cdk-lib from creating log groups."""

from aws_cdk import CfnResource


def deny_create_log_group(role: CfnResource) -> None:
    """Deny the creation of log groups to a role to which aws-cdk-lib attaches `AWSLambdaBasicExecutionRole`.

    Lambda writes its last lines after CloudFormation has deleted the log group, and would create it again, without
    an expiration. The denial is an inline policy of the role, because CloudFormation deletes a separate one earlier.
    """
    statement = {"Effect": "Deny", "Action": "logs:CreateLogGroup", "Resource": "*"}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    role.add_property_override("Policies", [{"PolicyName": "NoLogGroups", "PolicyDocument": document}])
