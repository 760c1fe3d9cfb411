"""Read what a plan is about: the groups and roles of the settings, and the running resources with the project's tag.

Source: API references of IAM, EC2, EC2 Auto Scaling and RDS.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from .options import Options
from .plan import (
    DENY_GROUP,
    DENY_ROLE,
    SCALE_TO_ZERO,
    STOP_CLUSTER,
    STOP_DATABASE,
    STOP_INSTANCE,
    Principal,
    Resource,
)
from .principals import group_problem, role_problem

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client

AUTO_SCALING_TAG = "aws:autoscaling:groupName"  # Auto Scaling sets it on its instances


@dataclass(frozen=True)
class Inventory:
    """The clients and options with which resources are read."""

    iam: Any
    ec2: "EC2Client"
    autoscaling: Any
    rds: Any
    options: Options
    policy_arn: str
    stack_name: str

    def principals(self) -> list[Principal]:
        """Return the groups and roles of the settings, with the reason why one cannot be denied."""
        if not self.options.groups and not self.options.roles:
            return []
        quotas = self.iam.get_account_summary()["SummaryMap"]
        groups = [self._group(group, quotas["AttachedPoliciesPerGroupQuota"]) for group in self.options.groups]
        roles = [self._role(role, quotas["AttachedPoliciesPerRoleQuota"]) for role in self.options.roles]
        return groups + roles

    def _group(self, group: str, quota: int) -> Principal:
        name = group.rpartition("/")[2]
        try:
            pages = self.iam.get_paginator("get_group").paginate(GroupName=name)
            members = [user["UserName"] for page in pages for user in page["Users"]]
            policies = self.iam.get_paginator("list_attached_group_policies").paginate(GroupName=name)
            attached = [policy["PolicyArn"] for page in policies for policy in page["AttachedPolicies"]]
        except ClientError as error:
            return Principal(DENY_GROUP, name, problem=_reason(error))
        problem = group_problem(group, self.options.exempt_principals, members)
        return self._principal(DENY_GROUP, name, attached, quota, problem)

    def _role(self, role: str, quota: int) -> Principal:
        name = role.rpartition("/")[2]
        problem = role_problem(role, self.stack_name, self.options.exempt_principals)
        try:
            policies = self.iam.get_paginator("list_attached_role_policies").paginate(RoleName=name)
            attached = [policy["PolicyArn"] for page in policies for policy in page["AttachedPolicies"]]
        except ClientError as error:
            return Principal(DENY_ROLE, name, problem=problem or _reason(error))
        return self._principal(DENY_ROLE, name, attached, quota, problem)

    def _principal(self, kind: str, name: str, attached: list[str], quota: int, problem: str) -> Principal:
        denied = self.policy_arn in attached
        if not problem and not denied and len(attached) >= quota:
            problem = f"it already has {len(attached)} managed policies, and the account's quota is {quota}"
        return Principal(kind, name, denied, problem)

    def resources(self) -> list[Resource]:
        """Return the running resources with the project's tag and without the exempt tag."""
        resources: list[Resource] = []
        if self.options.stop_instances:
            groups = self._auto_scaling_groups()
            resources += [group for group in groups if any(group.undo.values())]
            resources += self._instances({group.name: any(group.undo.values()) for group in groups})
        if self.options.stop_databases:
            resources += [*self._databases(), *self._clusters()]
        return resources

    def _instances(self, groups: Mapping[str, bool]) -> Iterator[Resource]:
        """Yield instances that run, except those of `groups`: Auto Scaling would replace them, so it scales to zero.

        groups: whether each still has a size above zero. Instances of the others are reported.
        """
        filters: Any = [
            {"Name": f"tag:{self.options.tag}", "Values": [self.options.project]},
            {"Name": "instance-state-name", "Values": ["running"]},
        ]
        for page in self.ec2.get_paginator("describe_instances").paginate(Filters=filters):
            for instance in (i for reservation in page["Reservations"] for i in reservation["Instances"]):
                tags = _tags(instance.get("Tags", ()))
                group = tags.get(AUTO_SCALING_TAG)
                if self.options.exempt_tag in tags or (group and groups.get(group)):
                    continue
                problem = f"its Auto Scaling group {group} does not have the project's tag" if group else ""
                if group in groups:
                    problem = f"it runs on although its Auto Scaling group {group} is scaled to zero"
                yield Resource(STOP_INSTANCE, instance["InstanceId"], problem=problem)

    def _auto_scaling_groups(self) -> list[Resource]:
        """Return the groups with the project's tag, also those that have no instances."""
        filters: Any = [{"Name": f"tag:{self.options.tag}", "Values": [self.options.project]}]
        pages = self.autoscaling.get_paginator("describe_auto_scaling_groups").paginate(Filters=filters)
        return [
            Resource(
                SCALE_TO_ZERO,
                group["AutoScalingGroupName"],
                {"MinSize": group["MinSize"], "MaxSize": group["MaxSize"], "DesiredCapacity": group["DesiredCapacity"]},
            )
            for page in pages
            for group in page["AutoScalingGroups"]
            if self.options.exempt_tag not in _tags(group["Tags"])
        ]

    def _databases(self) -> Iterator[Resource]:
        for page in self.rds.get_paginator("describe_db_instances").paginate():
            for database in page["DBInstances"]:
                belongs_to_cluster = bool(database.get("DBClusterIdentifier"))
                if self._matches(database) and database["DBInstanceStatus"] == "available" and not belongs_to_cluster:
                    yield Resource(STOP_DATABASE, database["DBInstanceIdentifier"])

    def _clusters(self) -> Iterator[Resource]:
        for page in self.rds.get_paginator("describe_db_clusters").paginate():
            for cluster in page["DBClusters"]:
                if self._matches(cluster) and cluster["Status"] == "available":
                    yield Resource(STOP_CLUSTER, cluster["DBClusterIdentifier"])

    def _matches(self, resource: Mapping[str, Any]) -> bool:
        tags = _tags(resource.get("TagList", ()))
        return tags.get(self.options.tag) == self.options.project and self.options.exempt_tag not in tags


def _tags(tags: Iterable[Any]) -> dict[str, str]:
    return {tag["Key"]: tag.get("Value", "") for tag in tags}


def _reason(error: ClientError) -> str:
    return f"{error.response['Error']['Code']}: {error.response['Error']['Message']}"
