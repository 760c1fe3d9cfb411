"""Read what a plan is about: the groups and roles of the settings, and the running resources with the project's tag.

Source: API references of IAM, EC2, EC2 Auto Scaling and RDS.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from .enforce import reason
from .options import Options
from .plan import (
    DENY_GROUP,
    DENY_ROLE,
    SCALE_TO_ZERO,
    SIZES,
    STOP_CLUSTER,
    STOP_DATABASE,
    STOP_INSTANCE,
    Principal,
    Resource,
)
from .principals import group_problem, role_problem

if TYPE_CHECKING:
    from types_boto3_autoscaling import AutoScalingClient
    from types_boto3_autoscaling.type_defs import AutoScalingGroupTypeDef, TagDescriptionTypeDef
    from types_boto3_ec2 import EC2Client
    from types_boto3_ec2.type_defs import FilterTypeDef, TagTypeDef as Ec2TagTypeDef
    from types_boto3_iam import IAMClient
    from types_boto3_iam.literals import SummaryKeyTypeType
    from types_boto3_rds import RDSClient
    from types_boto3_rds.type_defs import DBClusterTypeDef, DBInstanceTypeDef, TagTypeDef as RdsTagTypeDef

AUTO_SCALING_TAG = "aws:autoscaling:groupName"  # Auto Scaling sets it on its instances


@dataclass(frozen=True)
class Inventory:
    """The clients and options with which resources are read."""

    iam: "IAMClient"
    ec2: "EC2Client"
    autoscaling: "AutoScalingClient"
    rds: "RDSClient"
    options: Options
    policy_arn: str
    stack_name: str

    def principals(self) -> list[Principal]:
        """Return the groups and roles of the settings, with the reason why one cannot be denied."""
        if not self.options.groups and not self.options.roles:
            return []
        quotas = self._quotas()
        groups = [self._group(group, quotas.get("AttachedPoliciesPerGroupQuota")) for group in self.options.groups]
        roles = [self._role(role, quotas.get("AttachedPoliciesPerRoleQuota")) for role in self.options.roles]
        return groups + roles

    def _quotas(self) -> "Mapping[SummaryKeyTypeType, int]":
        """Return the account's quotas. If they cannot be read, IAM reports a full one when the policy is attached."""
        try:
            return self.iam.get_account_summary()["SummaryMap"]
        except (BotoCoreError, ClientError) as error:
            reason(error, "quotas")
            return {}

    def _group(self, group: str, quota: int | None) -> Principal:
        name = group.rpartition("/")[2]
        try:
            members, exempt = group_members(self.iam, name), with_members(self.iam, self.options.exempt_principals)
            policies = self.iam.get_paginator("list_attached_group_policies").paginate(GroupName=name)
            attached = [policy["PolicyArn"] for page in policies for policy in page["AttachedPolicies"]]
        except (BotoCoreError, ClientError) as error:
            return Principal(DENY_GROUP, name, problem=reason(error, group))
        problem = group_problem(group, exempt, members)
        return self._principal(DENY_GROUP, name, attached, quota, problem)

    def _role(self, role: str, quota: int | None) -> Principal:
        name = role.rpartition("/")[2]
        problem = role_problem(role, self.stack_name, self.options.exempt_principals)
        try:
            policies = self.iam.get_paginator("list_attached_role_policies").paginate(RoleName=name)
            attached = [policy["PolicyArn"] for page in policies for policy in page["AttachedPolicies"]]
        except (BotoCoreError, ClientError) as error:
            return Principal(DENY_ROLE, name, problem=problem or reason(error, role))
        return self._principal(DENY_ROLE, name, attached, quota, problem)

    def _principal(self, kind: str, name: str, attached: list[str], quota: int | None, problem: str) -> Principal:
        denied = self.policy_arn in attached
        if not problem and not denied and quota is not None and len(attached) >= quota:
            problem = f"it already has {len(attached)} managed policies, and the account's quota is {quota}"
        return Principal(kind, name, denied, problem)

    def resources(self) -> list[Resource]:
        """Return the running resources with the project's tag and without the exempt tag."""
        resources: list[Resource] = []
        if self.options.stop_instances:
            resources += self._read(STOP_INSTANCE, self._groups_and_instances)
        if self.options.stop_databases:
            resources += self._read(STOP_DATABASE, self._databases) + self._read(STOP_CLUSTER, self._clusters)
        return resources

    def _read(self, kind: str, read: Callable[[], Iterable[Resource]]) -> list[Resource]:
        """Return resources or, if AWS refuses to list them, one with the reason: the rest must be done anyway."""
        try:
            return list(read())
        except (BotoCoreError, ClientError) as error:
            return [Resource(kind, "list", problem=f"cannot be read: {reason(error, kind)}")]

    def _groups_and_instances(self) -> Iterator[Resource]:
        groups = self._auto_scaling_groups()
        exempt_instances = self._exempt_instances() if groups else {}
        for group in groups:
            name = group["AutoScalingGroupName"]
            sizes: dict[str, int] = {size: group[size] for size in SIZES}
            if any(sizes.values()) and self.options.exempt_tag not in _tags(group["Tags"]):
                has_tag = f"its instance {exempt_instances.get(name)} has the tag {self.options.exempt_tag}"
                yield Resource(SCALE_TO_ZERO, name, sizes, problem=has_tag if name in exempt_instances else "")
        yield from self._instances({group["AutoScalingGroupName"] for group in groups})

    def _instances(self, groups: set[str]) -> Iterator[Resource]:
        """Yield instances that run, except those of `groups`: Auto Scaling would replace them, so it scales to zero."""
        project: FilterTypeDef = {"Name": f"tag:{self.options.tag}", "Values": [self.options.project]}
        for instance_id, tags in self._describe_instances(project, "running"):
            group = tags.get(AUTO_SCALING_TAG)
            if self.options.exempt_tag in tags or group in groups:
                continue
            problem = f"its Auto Scaling group {group} does not have the project's tag" if group else ""
            yield Resource(STOP_INSTANCE, instance_id, problem=problem)

    def _exempt_instances(self) -> dict[str, str]:
        """Return an instance with the exempt tag for each group that has one; scaling to zero would terminate it."""
        exempt: FilterTypeDef = {"Name": "tag-key", "Values": [self.options.exempt_tag]}
        instances = self._describe_instances(exempt, "pending", "running")
        return {tags[AUTO_SCALING_TAG]: instance_id for instance_id, tags in instances if AUTO_SCALING_TAG in tags}

    def _describe_instances(self, condition: "FilterTypeDef", *states: str) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield ID and tags of instances."""
        filters: list[FilterTypeDef] = [condition, {"Name": "instance-state-name", "Values": list(states)}]
        for page in self.ec2.get_paginator("describe_instances").paginate(Filters=filters):
            for instance in (i for reservation in page["Reservations"] for i in reservation["Instances"]):
                yield instance["InstanceId"], _tags(instance.get("Tags", ()))

    def _auto_scaling_groups(self) -> "list[AutoScalingGroupTypeDef]":
        """Return the groups with the project's tag, including exempt and empty ones."""
        pages = self.autoscaling.get_paginator("describe_auto_scaling_groups").paginate(
            Filters=[{"Name": f"tag:{self.options.tag}", "Values": [self.options.project]}]
        )
        return [group for page in pages for group in page["AutoScalingGroups"]]

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

    def _matches(self, resource: "DBInstanceTypeDef | DBClusterTypeDef") -> bool:
        tags = _tags(resource.get("TagList", ()))
        return tags.get(self.options.tag) == self.options.project and self.options.exempt_tag not in tags


def _tags(tags: "Iterable[TagDescriptionTypeDef | Ec2TagTypeDef | RdsTagTypeDef]") -> dict[str, str]:
    return {tag["Key"]: tag.get("Value", "") for tag in tags}


def group_members(iam: "IAMClient", group: str) -> list[str]:
    """Return the names of a group's users."""
    return [
        user["UserName"] for page in iam.get_paginator("get_group").paginate(GroupName=group) for user in page["Users"]
    ]


def with_members(iam: "IAMClient", exempt: Collection[str]) -> list[str]:
    """Return the exempt principals, and the members of exempt groups as exempt users."""
    groups = [principal.rpartition("/")[2] for principal in exempt if principal.startswith("group/")]
    return [*exempt, *(f"user/{member}" for group in groups for member in group_members(iam, group))]
