"""Systems Manager: parameters that CloudFormation reads."""

from .names import need

find_parameter = need("services.ssm._lookup_parameter", "parameters of stacks", "name_or_arn")
find_public_parameter = need("services.ssm._public_parameter", "parameters of stacks", "name")
