"""Systems Manager: parameters that CloudFormation reads."""

from .names import need

find_parameter = need("services.ssm._lookup_parameter", "types of parameters of stacks", "name_or_arn")
parameter_value = need("services.ssm.resolve_parameter_value", "parameters of stacks", "name_or_arn")
