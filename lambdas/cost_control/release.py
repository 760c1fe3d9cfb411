"""Undo exactly what the record shows, and nothing that somebody else has done since.

A resource that is no longer as this stack left it was changed by somebody else, and is kept as it is.
Source: API references of IAM, EC2, EC2 Auto Scaling and RDS.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from .enforce import reason
from .plan import (
    DENY_GROUP,
    DENY_ROLE,
    DONE,
    GONE,
    KEPT,
    SCALE_TO_ZERO,
    SIZES,
    STOP_CLUSTER,
    STOP_DATABASE,
    STOP_INSTANCE,
    UNDONE,
)
from .record import OpenItem, Result

if TYPE_CHECKING:
    from types_boto3_autoscaling import AutoScalingClient
    from types_boto3_ec2 import EC2Client
    from types_boto3_iam import IAMClient
    from types_boto3_rds import RDSClient

MAX_UNDONE = 100  # in an attempt, which has five minutes; the state machine repeats it
# Resources first: they start while their users are still denied.
ORDER = (STOP_CLUSTER, STOP_DATABASE, SCALE_TO_ZERO, STOP_INSTANCE, DENY_ROLE, DENY_GROUP)
MISSING = frozenset({"NoSuchEntity", "InvalidInstanceID.NotFound", "DBInstanceNotFound", "DBClusterNotFoundFault"})


class NotYetError(Exception):
    """The resource is still stopping; it can be started later."""


@dataclass(frozen=True)
class Releaser:
    """Undoes recorded actions."""

    iam: "IAMClient"
    ec2: "EC2Client"
    autoscaling: "AutoScalingClient"
    rds: "RDSClient"
    policy_arn: str

    def release(self, items: Iterable[OpenItem], failed: Collection[str]) -> Iterator[tuple[OpenItem, Result]]:
        """Undo at most `MAX_UNDONE` of `items`, those that `failed` before last, and yield each result at once.

        A failure leaves its item open, with the reason, and the others are still undone.
        """
        ordered = sorted(items, key=lambda item: (item.item in failed, ORDER.index(item.kind)))
        for item in ordered[:MAX_UNDONE]:
            yield item, self._undo(item)

    def _undo(self, item: OpenItem) -> Result:
        undo: Mapping[str, Callable[[OpenItem], str]] = {
            DENY_GROUP: self._detach_from_group,
            DENY_ROLE: self._detach_from_role,
            STOP_INSTANCE: self._start_instance,
            SCALE_TO_ZERO: self._scale_back,
            STOP_DATABASE: self._start_database,
            STOP_CLUSTER: self._start_cluster,
        }
        try:
            return Result(item=item.item, status=undo[item.kind](item), reason="")
        except (BotoCoreError, ClientError, NotYetError) as error:
            code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
            text = reason(error, item.item)
            return Result(item=item.item, status=GONE if code in MISSING else DONE, reason=text)

    def _detach_from_group(self, item: OpenItem) -> str:
        self.iam.detach_group_policy(GroupName=item.name, PolicyArn=self.policy_arn)
        return UNDONE

    def _detach_from_role(self, item: OpenItem) -> str:
        self.iam.detach_role_policy(RoleName=item.name, PolicyArn=self.policy_arn)
        return UNDONE

    def _start_instance(self, item: OpenItem) -> str:
        reservations = self.ec2.describe_instances(InstanceIds=[item.name])["Reservations"]
        states = [instance["State"]["Name"] for r in reservations for instance in r["Instances"]]
        state = states[0] if states else "terminated"
        if state == "stopping":
            raise NotYetError(f"{item.name} is still stopping")
        if state in ("terminated", "shutting-down"):
            return GONE
        if state != "stopped":
            return KEPT
        self.ec2.start_instances(InstanceIds=[item.name])
        return UNDONE

    def _scale_back(self, item: OpenItem) -> str:
        groups = self.autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[item.name])["AutoScalingGroups"]
        if not groups:
            return GONE
        if any(groups[0][name] for name in SIZES):
            return KEPT
        minimum, maximum, desired = (item.undo[name] for name in SIZES)  # nothing else of the record
        self.autoscaling.update_auto_scaling_group(
            AutoScalingGroupName=item.name, MinSize=minimum, MaxSize=maximum, DesiredCapacity=desired
        )
        return UNDONE

    def _start_database(self, item: OpenItem) -> str:
        databases = self.rds.describe_db_instances(DBInstanceIdentifier=item.name)["DBInstances"]
        if not _is_stopped(item.name, databases[0]["DBInstanceStatus"]):
            return KEPT
        self.rds.start_db_instance(DBInstanceIdentifier=item.name)
        return UNDONE

    def _start_cluster(self, item: OpenItem) -> str:
        clusters = self.rds.describe_db_clusters(DBClusterIdentifier=item.name)["DBClusters"]
        if not _is_stopped(item.name, clusters[0]["Status"]):
            return KEPT
        self.rds.start_db_cluster(DBClusterIdentifier=item.name)
        return UNDONE


def _is_stopped(name: str, status: str) -> bool:
    if status == "stopping":
        raise NotYetError(f"{name} is still stopping")
    return status == "stopped"
