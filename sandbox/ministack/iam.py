"""IAM: roles and instance profiles."""

from .names import need

roles = need("services.iam._roles", "roles of functions and instances")
instance_profiles = need("services.iam._instance_profiles", "roles of instances")
