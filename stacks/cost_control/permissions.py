"""Permissions of the functions.

`Deny` and `Stop` can change something only with the mode ``enforce``. `Release` always can: what was done before the
settings changed has to be undone too.
"""

from aws_cdk import ArnFormat, Stack, aws_iam as iam

from settings.cost_control import CostControlSettings

from ..constructs.grants import grant
from .deny_policy import DenyPolicy, is_caller, principal_arn, principal_arns

NO_ARNS = "The action has no resource-level permissions."
TAGGED = "The condition limits it to resources with the project's tag; their names are not known in advance."
# One text for lists and changes: cdk-nag has one acknowledgement for the same resource.
DATABASES = "A condition limits changes to resources with the project's tag; RDS has none for lists."


class Permissions:
    """Grants the permissions that the settings require."""

    def __init__(self, stack: Stack, settings: CostControlSettings, policy: DenyPolicy) -> None:
        self.stack, self.settings = stack, settings
        self.groups = principal_arns(stack, "group", settings.groups)
        self.roles = principal_arns(stack, "role", settings.roles)
        self.exempt_groups = [
            principal_arn(stack, principal) for principal in settings.exempt_principals if not is_caller(principal)
        ]
        self.only_policy = {"ArnEquals": {"iam:PolicyARN": policy.managed_policy_arn}}
        self.tagged = {"StringEquals": {f"aws:ResourceTag/{settings.tag}": settings.project}}

    def grant_read(self, function: iam.IGrantable) -> None:
        """Allow reading the principals and resources of a plan."""
        if self.groups or self.roles:
            grant(function, ["iam:GetAccountSummary"], "*", wildcard_reason=NO_ARNS)
        if self.groups:
            grant(function, ["iam:GetGroup", "iam:ListAttachedGroupPolicies"], *self.groups)
            self._grant_members(function)
        if self.roles:
            grant(function, ["iam:ListAttachedRolePolicies"], *self.roles)
        if self.settings.stop_instances:
            self._grant_describe(function)
        if self.settings.stop_databases:
            self._grant_describe_databases(function)

    def grant_deny(self, function: iam.IGrantable) -> None:
        """Allow attaching the deny policy, and no other, to the groups and roles of the settings."""
        if self.groups:
            grant(function, ["iam:AttachGroupPolicy"], *self.groups, conditions=self.only_policy)
            grant(function, ["iam:GetGroup"], *self.groups)
            self._grant_members(function)
        if self.roles:
            grant(function, ["iam:AttachRolePolicy"], *self.roles, conditions=self.only_policy)

    def grant_stop(self, function: iam.IGrantable) -> None:
        """Allow stopping resources with the project's tag and without the exempt tag."""
        conditions = self.tagged | {"Null": {f"aws:ResourceTag/{self.settings.exempt_tag}": "true"}}
        if self.settings.stop_instances:
            self._grant(function, "ec2:StopInstances", conditions, self._instances())
            self._grant(function, "autoscaling:UpdateAutoScalingGroup", conditions, self._scaling_groups())
        if self.settings.stop_databases:
            self._grant(function, "rds:StopDBInstance", conditions, self._databases("db"), DATABASES)
            self._grant(function, "rds:StopDBCluster", conditions, self._databases("cluster"), DATABASES)

    def grant_release(self, function: iam.IGrantable) -> None:
        """Allow undoing everything, also for groups and roles that are no longer in the settings."""
        reason = "The condition limits it to one policy, also on principals that the settings no longer have."
        for action, kind in (("iam:DetachGroupPolicy", "group"), ("iam:DetachRolePolicy", "role")):
            arn = principal_arn(self.stack, f"{kind}/*")
            grant(function, [action], arn, conditions=self.only_policy, wildcard_reason=reason)
        self._grant_describe(function)
        self._grant_describe_databases(function)
        self._grant(function, "ec2:StartInstances", self.tagged, self._instances())
        self._grant(function, "autoscaling:UpdateAutoScalingGroup", self.tagged, self._scaling_groups())
        self._grant(function, "rds:StartDBInstance", self.tagged, self._databases("db"), DATABASES)
        self._grant(function, "rds:StartDBCluster", self.tagged, self._databases("cluster"), DATABASES)
        if self.settings.volume_keys:
            conditions = {
                "Bool": {"kms:GrantIsForAWSResource": "true"},
                "StringEquals": {"kms:ViaService": f"ec2.{self.stack.region}.amazonaws.com"},
            }
            grant(function, ["kms:CreateGrant"], *self.settings.volume_keys, conditions=conditions)

    def _grant_members(self, function: iam.IGrantable) -> None:
        if self.exempt_groups:
            grant(function, ["iam:GetGroup"], *self.exempt_groups)

    def _grant_describe(self, function: iam.IGrantable) -> None:
        actions = ["autoscaling:DescribeAutoScalingGroups", "ec2:DescribeInstances"]
        grant(function, actions, "*", wildcard_reason=NO_ARNS)

    def _grant_describe_databases(self, function: iam.IGrantable) -> None:
        grant(function, ["rds:DescribeDBInstances"], self._databases("db"), wildcard_reason=DATABASES)
        grant(function, ["rds:DescribeDBClusters"], self._databases("cluster"), wildcard_reason=DATABASES)

    def _grant(
        self,
        function: iam.IGrantable,
        action: str,
        conditions: dict[str, dict[str, str]],
        arn: str,
        reason: str = TAGGED,
    ) -> None:
        grant(function, [action], arn, conditions=conditions, wildcard_reason=reason)

    def _instances(self) -> str:
        return self.stack.format_arn(service="ec2", resource="instance", resource_name="*")

    def _scaling_groups(self) -> str:
        return self.stack.format_arn(
            service="autoscaling",
            resource="autoScalingGroup",
            resource_name="*:autoScalingGroupName/*",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )

    def _databases(self, kind: str) -> str:
        return self.stack.format_arn(
            service="rds", resource=kind, resource_name="*", arn_format=ArnFormat.COLON_RESOURCE_NAME
        )
