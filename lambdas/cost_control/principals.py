"""Principals that must never be denied: the stack's own roles, those that deploy, and the exempt ones.

The settings refuse them at synth, and the function refuses them again before it attaches the policy, because a group
can have new members. Source: IAM user guide, IAM identifiers; AWS CDK developer guide, bootstrapping.
"""

import re
from collections.abc import Collection, Iterable

# Names of the roles with which the CDK CLI and CloudFormation deploy: cdk-<qualifier>-<name>-role-<account>-<Region>.
# IAM does not distinguish names by case.
DEPLOYMENT_ROLE = re.compile(r"cdk-[a-z0-9_-]{1,10}-[a-z-]+-role-.+", re.IGNORECASE)
# Paths of roles to which nobody but AWS can attach a policy.
AWS_ROLE = re.compile(r"(aws-service-role|aws-reserved)/.+")


def role_problem(role: str, stack_name: str, exempt: Collection[str]) -> str:
    """Return why a role, with its path, must not be denied; empty if it can be."""
    name = role.rpartition("/")[2].lower()
    if f"role/{name}" in names(exempt):
        return "it is exempt"
    if DEPLOYMENT_ROLE.fullmatch(name):
        return "the CDK deploys with it"
    if name.startswith(f"{stack_name.lower()}-"):
        return f"it belongs to the stack {stack_name}"
    if AWS_ROLE.match(role):
        return "only AWS can attach policies to it"
    return ""


def group_problem(group: str, exempt: Collection[str], members: Iterable[str] = ()) -> str:
    """Return why a group, with its path and the names of its `members`, must not be denied; empty if it can be."""
    if f"group/{group.rpartition('/')[2].lower()}" in names(exempt):
        return "it is exempt"
    exempt_members = sorted(member for member in members if f"user/{member.lower()}" in names(exempt))
    if exempt_members:
        return f"exempt users are members: {', '.join(exempt_members)}"
    return ""


def names(principals: Iterable[str]) -> set[str]:
    """Return principals without their path, ``role/ops`` for ``role/team/Ops``: IAM names are unique in any path."""
    return {f"{kind}/{path.rpartition('/')[2].lower()}" for kind, _, path in (p.partition("/") for p in principals)}
