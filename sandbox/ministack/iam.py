"""IAM: users, groups, roles, instance profiles and managed policies."""

from .names import Replaceable, need

users = need("services.iam._users", "policies of users")
user_policies = need("services.iam._user_inline_policies", "policies of users")
access_keys = need("services.iam._access_keys", "access keys of users")
groups = need("services.iam._groups", "policies of groups")
group_policies = need("services.iam._group_inline_policies", "policies of groups")
roles = need("services.iam._roles", "roles of functions and instances")
instance_profiles = need("services.iam._instance_profiles", "roles of instances")
find_policy = need("services.iam._lookup_policy", "managed policies", "arn")
operations = need("services.iam._IAM_HANDLERS", "quotas, conflicts and access keys")
error_response = need("services.iam._error", "error responses", "status code message")
attach_to_user = Replaceable("services.iam._attach_user_policy", "the quota of attached policies", "p")
attach_policy = Replaceable(
    "services.iam.attach_managed_policy", "the quota of policies that templates attach", "entity policy_arn"
)
