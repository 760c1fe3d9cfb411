"""IAM: roles, instance profiles and managed policies."""

from .names import need

roles = need("services.iam._roles", "roles of functions and instances")
instance_profiles = need("services.iam._instance_profiles", "roles of instances")
policies = need("services.iam._policies", "managed policies")
aws_managed_policies = need("services.iam._aws_managed_policies", "managed policies")
