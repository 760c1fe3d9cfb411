"""Do the actions of a plan: attach the deny policy, stop instances and databases, scale groups to zero.

Each action can be repeated. One that fails is returned with AWS's reason, and the others are still done.
Source: API references of IAM, EC2, EC2 Auto Scaling and RDS.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from .plan import (
    DENY_GROUP,
    DENY_ROLE,
    DONE,
    FAILED,
    MAX_REASON,
    PLANNED,
    SCALE_TO_ZERO,
    STOP_CLUSTER,
    STOP_DATABASE,
    STOP_INSTANCE,
    Action,
)
from .record import Result

if TYPE_CHECKING:
    from types_boto3_autoscaling import AutoScalingClient
    from types_boto3_ec2 import EC2Client
    from types_boto3_iam import IAMClient
    from types_boto3_rds import RDSClient

logger = logging.getLogger(__name__)
SERVER_ERROR = 500  # HTTP status
MAX_INSTANCES = 50  # per call; EC2 rejects the whole call for one instance


@dataclass(frozen=True)
class Denier:
    """Attaches one policy. `refuse` returns why a principal must not be denied, or an empty text."""

    iam: "IAMClient"
    policy_arn: str
    refuse: Callable[[Action], str]

    def deny(self, actions: Iterable[Action]) -> list[Result]:
        """Attach the policy to groups and roles; attaching it again has no effect."""
        return [attempt(action, self._attach) for action in actions if action.kind in (DENY_GROUP, DENY_ROLE)]

    def _attach(self, action: Action) -> None:
        problem = self.refuse(action)
        if problem:
            raise RefusedError(problem)
        if action.kind == DENY_GROUP:
            self.iam.attach_group_policy(GroupName=action.name, PolicyArn=self.policy_arn)
        else:
            self.iam.attach_role_policy(RoleName=action.name, PolicyArn=self.policy_arn)


class RefusedError(Exception):
    """A principal must not be denied."""


@dataclass(frozen=True)
class Stopper:
    """Stops resources."""

    ec2: "EC2Client"
    autoscaling: "AutoScalingClient"
    rds: "RDSClient"

    def stop(self, actions: Iterable[Action]) -> list[Result]:
        """Scale groups to zero, and stop instances and databases."""
        actions = list(actions)
        single: Mapping[str, Callable[[Action], object]] = {
            SCALE_TO_ZERO: lambda action: self.autoscaling.update_auto_scaling_group(
                AutoScalingGroupName=action.name, MinSize=0, MaxSize=0, DesiredCapacity=0
            ),
            STOP_DATABASE: lambda action: self.rds.stop_db_instance(DBInstanceIdentifier=action.name),
            STOP_CLUSTER: lambda action: self.rds.stop_db_cluster(DBClusterIdentifier=action.name),
        }
        results = [attempt(action, single[action.kind]) for action in actions if action.kind in single]
        instances = [action for action in actions if action.kind == STOP_INSTANCE]
        for start in range(0, len(instances), MAX_INSTANCES):
            results += self._stop_instances(instances[start : start + MAX_INSTANCES])
        return results

    def _stop_instances(self, actions: list[Action]) -> list[Result]:
        """Stop instances with one call or, if EC2 rejects it, each half separately."""
        try:
            self.ec2.stop_instances(InstanceIds=[action.name for action in actions])
        except ClientError as error:
            if len(actions) > 1:
                half = len(actions) // 2
                return self._stop_instances(actions[:half]) + self._stop_instances(actions[half:])
            return [failure(actions[0], error)]
        except BotoCoreError as error:
            return [failure(action, error) for action in actions]
        return [Result(item=action.item, status=DONE, reason="") for action in actions]


def attempt(action: Action, call: Callable[[Action], object]) -> Result:
    """Do one action; return AWS's reason if it fails."""
    try:
        call(action)
    except (BotoCoreError, ClientError, RefusedError) as error:
        return failure(action, error)
    return Result(item=action.item, status=DONE, reason="")


def failure(action: Action, error: Exception) -> Result:
    """Return the result of an action that failed. Without an answer of AWS it may have been done: it stays planned."""
    status = error.response["ResponseMetadata"]["HTTPStatusCode"] if isinstance(error, ClientError) else None
    is_unknown = isinstance(error, BotoCoreError) or (status is not None and status >= SERVER_ERROR)
    return Result(item=action.item, status=PLANNED if is_unknown else FAILED, reason=reason(error, action.item))


def reason(error: Exception, item: str) -> str:
    """Log an error whole, and return its text: for an error of AWS, code and message, at most `MAX_REASON` characters.

    EC2's messages about permissions can have thousands of characters.
    """
    text = str(error)
    if isinstance(error, ClientError):
        text = f"{error.response['Error']['Code']}: {error.response['Error']['Message']}"
    logger.warning("AWS refused a call", extra={"item": item, "reason": text})
    return text if len(text) <= MAX_REASON else f"{text[: MAX_REASON - 3]}..."
